//! The nine keys of the message, in either format.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Call, InvalidCall, StopAt};
use crate::payload::php::{self, Key, Value};
use crate::payload::{Limits, MAX_DEPTH, json_view};
use crate::protocol::MAX_BODY_BYTES;

/// What a message is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// A JSON object.
    #[default]
    Json,
    /// PHP's `serialize()`, as the PHP library's own workers need it.
    Php,
}

/// A word for [`Encoding`] that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown encoding `{}`, wanted `json` or `php`", .found.escape_debug())]
pub struct UnknownEncoding {
    /// The text as it was given.
    pub found: String,
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(text: &str) -> Result<Encoding, UnknownEncoding> {
        match text {
            "json" => Ok(Encoding::Json),
            "php" => Ok(Encoding::Php),
            _ => Err(UnknownEncoding {
                found: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Json => "json",
            Encoding::Php => "php",
        })
    }
}

/// The message of `call`, made at `now`.
pub(super) fn write(call: &Call, now: i64, encoding: Encoding) -> Result<Vec<u8>, InvalidCall> {
    let mut serialized = Vec::new();
    php::write(&message(call, now)?, &mut serialized);
    match encoding {
        Encoding::Php => Ok(serialized),
        // The view itself, so that both encodings say the same by construction.
        Encoding::Json => {
            let limits = Limits {
                body: MAX_BODY_BYTES,
                depth: MAX_DEPTH,
                output: MAX_BODY_BYTES,
            };
            let mut json = Vec::new();
            match json_view(&serialized, &limits, &mut json) {
                Ok(_) => Ok(json),
                Err(error) => Err(InvalidCall::NoJson(error)),
            }
        }
    }
}

fn message(call: &Call, now: i64) -> Result<Value<'_>, InvalidCall> {
    let model_params = match &call.model_params {
        Value::Null => text(""),
        given => given.clone(),
    };
    let stop_at = call.retry_stop_at.as_ref().map_or("", StopAt::as_str);
    let entries = [
        ("model", text(&call.model)),
        ("method", text(&call.method)),
        ("modelParams", model_params),
        ("methodParams", arguments(&call.method_params)?),
        ("errorRetry", Value::Bool(call.error_retry)),
        ("noRetry", Value::Bool(call.no_retry)),
        ("priority", Value::Int(now)),
        (
            "retryIntervalTime",
            Value::Int(call.retry_interval_time.unwrap_or(0)),
        ),
        ("retryStopAt", text(stop_at)),
    ];
    let entries = entries.map(|(key, value)| (Key::Bytes(Cow::Borrowed(key.as_bytes())), value));
    Ok(Value::Array(entries.into()))
}

fn text(text: &str) -> Value<'_> {
    Value::string(text.as_bytes())
}

fn arguments(given: &Value<'static>) -> Result<Value<'static>, InvalidCall> {
    let found = match given {
        Value::Array(_) => return Ok(given.clone()),
        Value::Null | Value::Bool(false) | Value::Int(0) => return Ok(Value::Array(Vec::new())),
        Value::Float(number) if number.value() == 0.0 => return Ok(Value::Array(Vec::new())),
        Value::String(bytes) if matches!(bytes.as_ref(), b"" | b"0") => return Ok(Value::Array(Vec::new())),
        Value::Bool(true) => "true",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::String(_) => "a string",
        Value::Object(_) | Value::Custom(_) | Value::Enum(_) | Value::SameObject(_) => "an object",
        Value::Reference(_) => "a reference",
    };
    Err(InvalidCall::MethodParams { found })
}
