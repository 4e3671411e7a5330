//! Extra headers of a message: which names and values are let through.

use lettre::message::header::{HeaderName, HeaderValue};

/// Why an extra header is refused.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("header name `{name}` is not valid, wanted up to 76 printable ASCII characters without `:`")]
    Name { name: String },
    #[error("header `{name}` has a line break or another control character in its value")]
    Control { name: String },
    #[error("header `{name}` cannot be set\n  hint: {hint}")]
    Reserved { name: String, hint: &'static str },
}

/// Headers that say who gets the mail or how its body is built, and what a message has instead. Compared in lower case.
const RESERVED: [(&str, &str); 14] = [
    ("from", "use the key `from`"),
    ("to", "use the key `to`"),
    ("cc", "use the key `cc`"),
    ("bcc", "use the key `bcc`, which no receiver sees"),
    ("reply-to", "use the key `reply_to`"),
    ("subject", "use the key `subject`"),
    ("message-id", "use the key `message_id`"),
    ("date", "it is the time of sending"),
    ("sender", "the mail is sent by `from`"),
    ("mime-version", BODY),
    ("return-path", TRANSIT),
    ("received", TRANSIT),
    ("delivered-to", TRANSIT),
    ("dkim-signature", TRANSIT),
];
const BODY: &str = "it follows from `text`, `html` and `attachments`";
const TRANSIT: &str = "the mail servers on the way write it";

/// Checks one extra header and encodes its value (RFC 2047) as far as it is not ASCII.
pub(super) fn extra(name: String, value: String) -> Result<HeaderValue, HeaderError> {
    if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(HeaderError::Name {
            name: name.escape_debug().to_string(),
        });
    }
    let lower = name.to_ascii_lowercase();
    let reserved = RESERVED
        .iter()
        .find(|(reserved, _)| *reserved == lower)
        .map(|(_, hint)| *hint);
    let family = if lower.starts_with("content-") {
        Some(BODY)
    } else if lower.starts_with("resent-") {
        Some(TRANSIT)
    } else {
        None
    };
    if let Some(hint) = reserved.or(family) {
        return Err(HeaderError::Reserved { name, hint });
    }
    if has_control(&value) {
        return Err(HeaderError::Control { name });
    }
    match HeaderName::new_from_ascii(name.clone()) {
        Ok(header) => Ok(HeaderValue::new(header, value)),
        Err(_) => Err(HeaderError::Name { name }),
    }
}

/// Whether a value could end its header line, or is otherwise no text. A tab is white space.
pub(super) fn has_control(value: &str) -> bool {
    value.contains(|c: char| c.is_control() && c != '\t')
}
