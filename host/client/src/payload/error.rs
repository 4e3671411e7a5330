//! Why a body has no JSON view.

use thiserror::Error;

use super::php;
use super::view::ViewError;

/// Why a body could not be decoded. The job is at fault, not the connection: it will fail the same way again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The body has no bytes.
    #[error("the body is empty, wanted JSON or PHP serialize() text")]
    Empty,
    /// The body is in neither format.
    #[error("the body begins with `{beginning}`, which is neither JSON nor PHP serialize() text")]
    Unknown {
        /// The first bytes, escaped for a log line.
        beginning: String,
    },
    /// The body begins like PHP `serialize()` text but is malformed.
    #[error("the body is not valid PHP serialize() text")]
    Php(#[from] php::Error),
    /// The body begins like JSON but is malformed.
    #[error("the body is not valid JSON")]
    Json(#[from] serde_json::Error),
    /// The body begins like JSON but is not UTF-8.
    #[error("the body is not valid JSON: it is not UTF-8 after byte {valid_up_to}")]
    NotUtf8 {
        /// Bytes before the first invalid one.
        valid_up_to: usize,
    },
    /// The body is valid PHP `serialize()` text, which JSON cannot hold.
    #[error("the body has no JSON view")]
    View(#[from] ViewError),
}

impl PayloadError {
    pub(super) fn unknown(body: &[u8]) -> PayloadError {
        let shown = body.get(..16).unwrap_or(body);
        PayloadError::Unknown {
            beginning: shown.escape_ascii().to_string(),
        }
    }
}
