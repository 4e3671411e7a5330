//! What is sent for a job: the body and the headers. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

use plugin_api::{
    Error, Job, Result,
    schemars::{self, JsonSchema},
    serde_json,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use ureq::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_TYPE, InvalidHeaderValue},
};

use crate::{
    config::Secret,
    signature::{hex, sign},
};

pub(crate) const JOB_ID: HeaderName = HeaderName::from_static("x-job-id");
pub(crate) const JOB_TUBE: HeaderName = HeaderName::from_static("x-job-tube");
pub(crate) const JOB_ATTEMPT: HeaderName = HeaderName::from_static("x-job-attempt");
pub(crate) const JOB_PRIORITY: HeaderName = HeaderName::from_static("x-job-priority");
pub(crate) const JOB_AGE: HeaderName = HeaderName::from_static("x-job-age");
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// How much of the body's hash is part of the key: enough to tell bodies apart that share tube and id.
const KEY_HASH_BYTES: usize = 16;

/// Which form of the job's body is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// The JSON view: a JSON body as it is, a PHP-serialized one as JSON.
    #[default]
    Json,
    /// The bytes as they were put.
    Raw,
}

/// Makes requests of jobs.
#[derive(Debug)]
pub(crate) struct Composer {
    pub(crate) form: Form,
    /// The same for every job.
    pub(crate) headers: HeaderMap,
    /// Where the message holds its own idempotency key, as a JSON pointer.
    pub(crate) key: Option<String>,
    pub(crate) secret: Option<Secret>,
}

/// One request, without its URL.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) headers: HeaderMap,
    pub(crate) body: &'a [u8],
}

impl Composer {
    /// The request for a job, signed for this moment.
    ///
    /// # Errors
    ///
    /// Buries the job where it lacks what the configuration counts on: a JSON view, or an idempotency key.
    pub(crate) fn compose<'a>(&self, job: &'a Job<'_>, now: SystemTime) -> Result<Request<'a>> {
        let (body, content_type) = match self.form {
            Form::Json => (job.json()?, JSON),
            Form::Raw if job.json().is_ok_and(|json| json == job.body()) => (job.body(), JSON),
            Form::Raw => (job.body(), BYTES),
        };
        let mut headers = self.headers.clone();
        headers.entry(CONTENT_TYPE).or_insert(content_type);
        headers.insert(JOB_ID, job.id().into());
        headers.insert(JOB_TUBE, text(job.tube())?);
        let facts = [
            (
                JOB_ATTEMPT,
                Some(u64::from(job.attempt())).filter(|attempt| *attempt > 0),
            ),
            (JOB_PRIORITY, job.priority().map(u64::from)),
            (JOB_AGE, job.age().map(|age| age.as_secs())),
        ];
        for (name, fact) in facts {
            if let Some(number) = fact {
                headers.insert(name, number.into());
            }
        }
        headers.insert(IDEMPOTENCY_KEY, self.idempotency_key(job)?);
        if let Some(secret) = &self.secret {
            let time = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let mut signature = text(&sign(secret.expose().as_bytes(), time, body))?;
            signature.set_sensitive(true);
            headers.insert(SIGNATURE, signature);
        }
        Ok(Request { headers, body })
    }

    /// The same for every attempt of a job, and another one for another job.
    fn idempotency_key(&self, job: &Job<'_>) -> Result<HeaderValue> {
        let Some(pointer) = &self.key else {
            // The id alone would come again when a queue server without binlog has restarted. The time of the put is
            // no help: it is known to the second only, and so not the same at each attempt.
            let hash = Sha256::digest(job.body());
            let hash = hex(hash.get(..KEY_HASH_BYTES).unwrap_or(&hash));
            return Ok(text(&format!("{}-{}-{hash}", job.tube(), job.id()))?);
        };
        let message: Value = job.decode()?;
        let key = match message.pointer(pointer) {
            Some(Value::String(key)) if !key.is_empty() => key.clone(),
            Some(Value::Number(key)) => key.to_string(),
            _ => {
                let wanted = "wanted the idempotency key, as text or number";
                return Err(Error::bury(format_args!(
                    "the message has nothing usable at `{pointer}`, {wanted}"
                )));
            }
        };
        text(&key).map_err(|_| {
            Error::bury(format_args!(
                "the idempotency key at `{pointer}` holds characters that no header can"
            ))
        })
    }
}

/// A header's value. A tube's name and a number always are one.
fn text(value: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    HeaderValue::from_str(value)
}
