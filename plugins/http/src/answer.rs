//! What becomes of the job by the receiver's answer. Pure; the time is an argument.

use std::{collections::BTreeMap, time::Duration, time::SystemTime};

use plugin_api::{
    Error, Result,
    schemars::{self, JsonSchema},
    serde_json::{self, Value, json},
};
use serde::Deserialize;
use ureq::http::StatusCode;
use url::Url;

/// How much of a refusal's body is part of the error.
const EXCERPT_CHARS: usize = 200;
/// Retries that the receiver asks for do not count as attempts, so they must not come without a pause.
const SHORTEST_DELAY: Duration = Duration::from_secs(1);

/// What the receiver said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who said it, after redirects.
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// Whether the body claims to be JSON.
    pub(crate) json: bool,
    /// As much of the body as is kept.
    pub(crate) body: Vec<u8>,
    /// Whether that is all of it.
    pub(crate) whole: bool,
}

/// What a status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// The job is done.
    Done,
    /// As failed, but the receiver may say when to come back.
    Retry,
    /// The receiver will never take this job.
    Bury,
    /// The host's retry policy decides.
    Failed,
}

/// What each status means.
#[derive(Debug)]
pub(crate) struct Verdicts {
    /// Statuses that the configuration names.
    pub(crate) named: BTreeMap<u16, Verdict>,
    /// The longest delay that a receiver may ask for.
    pub(crate) max_retry_after: Duration,
}

impl Verdicts {
    /// The job's outcome. `from` names the receiver without anything secret.
    ///
    /// # Errors
    ///
    /// Every answer that does not mean done.
    pub(crate) fn judge(&self, answer: &Answer, from: &str, now: SystemTime) -> Result {
        let text = || refusal(answer, from);
        match self.of(answer.status) {
            Verdict::Done => Ok(result(answer).into()),
            Verdict::Bury => Err(Error::bury(text())),
            Verdict::Failed => Err(Error::failed(text())),
            Verdict::Retry => {
                let asked = answer.retry_after.as_deref();
                Err(match asked.and_then(|value| self.delay(value, now)) {
                    Some(delay) => Error::retry_in(delay, text()),
                    None => Error::failed(text()),
                })
            }
        }
    }

    fn of(&self, status: u16) -> Verdict {
        if let Some(verdict) = self.named.get(&status) {
            return *verdict;
        }
        match status {
            200..=299 => Verdict::Done,
            408 | 425 | 429 | 503 => Verdict::Retry,
            400..=499 => Verdict::Bury,
            _ => Verdict::Failed,
        }
    }

    /// The delay of a `Retry-After`, within bounds; `None` where it is none (RFC 9110, section 10.2.3).
    fn delay(&self, value: &str, now: SystemTime) -> Option<Duration> {
        let value = value.trim();
        let delay = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // What does not fit is beyond every bound.
            Duration::from_secs(value.parse().unwrap_or(u64::MAX))
        } else {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(now).unwrap_or_default()
        };
        Some(delay.min(self.max_retry_after).max(SHORTEST_DELAY))
    }
}

/// The result of a done job.
fn result(answer: &Answer) -> Value {
    let mut result = json!({"status": answer.status});
    if !answer.body.is_empty() {
        let parsed = (answer.json && answer.whole).then(|| serde_json::from_slice(&answer.body).ok());
        let text = || Value::from(String::from_utf8_lossy(&answer.body));
        result["body"] = parsed.flatten().unwrap_or_else(text);
    }
    if !answer.whole {
        result["truncated"] = Value::Bool(true);
    }
    result
}

/// `https://a.example answered 404 Not Found: no such order`.
fn refusal(answer: &Answer, from: &str) -> String {
    let status = answer.status;
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|code| code.canonical_reason());
    let mut text = match reason {
        Some(reason) => format!("{from} answered {status} {reason}"),
        None => format!("{from} answered {status}"),
    };
    if (300..400).contains(&status) {
        text.push_str(", a redirect that is not followed");
    }
    let said = excerpt(&answer.body);
    if !said.is_empty() {
        text.push_str(": ");
        text.push_str(&said);
    }
    text
}

/// The beginning of a body, in one line of printable characters.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests;
