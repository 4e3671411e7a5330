//! The messages that the handler and its children exchange, as JSON documents. Does no I/O.
//!
//! ```text
//!   handler ── hello ──▶ child          once; each side names the version that it speaks
//!   handler ◀── hello ── child
//!   handler ── job ────▶ child          as often as there are jobs
//!   handler ── cancel ─▶ child          only to a child that wants to hear of it
//!   handler ◀─ result ── child
//! ```
//!
//! The README's protocol section is the text that authors of children go by.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use plugin_api::{Error, Job, serde_json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The protocol's version. Another number stands for messages that are not those of this file.
pub(crate) const VERSION: u64 = 1;

/// What is said to a new child.
#[derive(Serialize)]
pub(crate) struct Greeting<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    version: u64,
    class: Option<&'a str>,
    options: &'a serde_json::Map<String, Value>,
}

impl<'a> Greeting<'a> {
    /// The hello of this version.
    pub(crate) fn new(class: Option<&'a str>, options: &'a serde_json::Map<String, Value>) -> Self {
        Greeting {
            kind: "hello",
            version: VERSION,
            class,
            options,
        }
    }
}

/// What a child wants to be told. By default what costs least for a simple child: the JSON view, tube and attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wants {
    pub(crate) body: bool,
    pub(crate) payload: bool,
    pub(crate) tube: bool,
    pub(crate) attempt: bool,
    pub(crate) age: bool,
    pub(crate) priority: bool,
    pub(crate) cancel: bool,
}

const DEFAULT_WANTS: Wants = Wants {
    body: false,
    payload: true,
    tube: true,
    attempt: true,
    age: false,
    priority: false,
    cancel: false,
};

/// A child's first message.
#[derive(Deserialize)]
struct Hello {
    #[serde(rename = "type")]
    kind: String,
    version: Option<u64>,
    wants: Option<Vec<String>>,
    error: Option<String>,
}

/// Why a child cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("it did not say hello: {0}")]
    Unreadable(String),
    #[error("its first message is of type `{0}`, wanted `hello`")]
    Other(String),
    #[error("it speaks version {found} of the protocol, wanted {VERSION}")]
    Version { found: u64 },
    #[error("it names no `version` of the protocol, wanted {VERSION}")]
    NoVersion,
    #[error(
        "it wants to be told `{0}`, known are `body`, `payload`, `tube`, `attempt`, `age`, `priority`, `cancel`"
    )]
    Want(String),
    #[error("{0}")]
    Refused(String),
}

/// Reads a child's hello.
///
/// # Errors
///
/// [`HelloError`]; the child's own words where it says that it cannot work.
pub(crate) fn read_hello(document: &[u8]) -> Result<Wants, HelloError> {
    let hello: Hello =
        serde_json::from_slice(document).map_err(|error| HelloError::Unreadable(error.to_string()))?;
    if hello.kind != "hello" {
        return Err(HelloError::Other(hello.kind));
    }
    if let Some(text) = hello.error {
        return Err(HelloError::Refused(text));
    }
    match hello.version {
        Some(VERSION) => {}
        Some(found) => return Err(HelloError::Version { found }),
        None => return Err(HelloError::NoVersion),
    }
    hello.wants.map_or(Ok(DEFAULT_WANTS), |names| read_wants(&names))
}

fn read_wants(names: &[String]) -> Result<Wants, HelloError> {
    let mut wants = Wants {
        payload: false,
        tube: false,
        attempt: false,
        ..DEFAULT_WANTS
    };
    for name in names {
        let want = match name.as_str() {
            "body" => &mut wants.body,
            "payload" => &mut wants.payload,
            "tube" => &mut wants.tube,
            "attempt" => &mut wants.attempt,
            "age" => &mut wants.age,
            "priority" => &mut wants.priority,
            "cancel" => &mut wants.cancel,
            _ => return Err(HelloError::Want(name.clone())),
        };
        *want = true;
    }
    Ok(wants)
}

/// Appends a job message.
///
/// # Errors
///
/// A body that is neither JSON nor PHP's, where the child wants the JSON view: it buries the job.
pub(crate) fn write_job(out: &mut Vec<u8>, job: &Job<'_>, wants: Wants) -> Result<(), Error> {
    out.extend_from_slice(b"{\"type\":\"job\",\"id\":");
    out.extend_from_slice(job.id().to_string().as_bytes());
    if wants.tube {
        member(out, "tube", &job.tube())?;
    }
    if wants.attempt {
        member(out, "attempt", &job.attempt())?;
    }
    if wants.age {
        member(out, "age", &job.age().map(|age| age.as_secs()))?;
    }
    if wants.priority {
        member(out, "priority", &job.priority())?;
    }
    if wants.body {
        match std::str::from_utf8(job.body()) {
            Ok(text) => member(out, "body", text)?,
            Err(_) => member(out, "body_base64", &STANDARD.encode(job.body()))?,
        }
    }
    if wants.payload {
        out.extend_from_slice(b",\"payload\":");
        out.extend_from_slice(job.json()?);
    }
    out.push(b'}');
    Ok(())
}

fn member<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) -> Result<(), Error> {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    Ok(serde_json::to_writer(out, value)?)
}

/// Appends a cancel message.
pub(crate) fn write_cancel(out: &mut Vec<u8>, id: u64) {
    out.extend_from_slice(b"{\"type\":\"cancel\",\"id\":");
    out.extend_from_slice(id.to_string().as_bytes());
    out.push(b'}');
}

/// How a child says that a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Done,
    Failed,
    Exception,
    Retry,
    Bury,
}

/// A result message as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    #[serde(rename = "type")]
    kind: String,
    id: u64,
    status: Status,
    delay: Option<f64>,
    priority: Option<u32>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    last: bool,
}

/// A child's answer to a job.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The result, or what becomes of the job.
    pub(crate) outcome: Result<Option<Value>, Error>,
    /// The child leaves after this answer and takes no further job.
    pub(crate) last: bool,
}

/// Why a message is no answer to the job in hand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("its message cannot be read: {0}")]
    Unreadable(String),
    #[error("it sent a message of type `{0}`, wanted `result`")]
    Other(String),
    #[error("it answered for job {found}, wanted {wanted}")]
    Id { found: u64, wanted: u64 },
    #[error("its status is `retry`, which needs a `delay` in seconds")]
    NoDelay,
    #[error("`{0}` is no delay, wanted seconds from 0")]
    Delay(f64),
}

/// Reads a child's answer to job `id`.
///
/// # Errors
///
/// [`AnswerError`]: the child does not keep to the protocol.
pub(crate) fn read_answer(document: &[u8], id: u64) -> Result<Answer, AnswerError> {
    let raw: RawAnswer =
        serde_json::from_slice(document).map_err(|error| AnswerError::Unreadable(error.to_string()))?;
    if raw.kind != "result" {
        return Err(AnswerError::Other(raw.kind));
    }
    if raw.id != id {
        return Err(AnswerError::Id {
            found: raw.id,
            wanted: id,
        });
    }
    let text = raw.error.unwrap_or_default();
    let error = match raw.status {
        Status::Done => {
            return Ok(Answer {
                outcome: Ok(Some(raw.result).filter(|result| !result.is_null())),
                last: raw.last,
            });
        }
        Status::Failed => Error::failed(text),
        Status::Exception => Error::exception(text),
        Status::Bury => Error::bury(text),
        Status::Retry => Error::retry_in(delay(raw.delay)?, text),
    };
    Ok(Answer {
        outcome: Err(match raw.priority {
            Some(priority) => error.priority(priority),
            None => error,
        }),
        last: raw.last,
    })
}

fn delay(seconds: Option<f64>) -> Result<Duration, AnswerError> {
    let seconds = seconds.ok_or(AnswerError::NoDelay)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| AnswerError::Delay(seconds))
}

#[cfg(test)]
mod tests;
