//! A string that must not be shown.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Error, de::IgnoredAny};

/// A password. Neither `Debug` nor an error about its type shows it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// Written out because serde's own error would quote a value of the wrong type, `password = 12345` for one.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Text(String),
            Other(IgnoredAny),
        }
        match Any::deserialize(deserializer) {
            Ok(Any::Text(text)) => Ok(Secret(text)),
            Ok(Any::Other(_)) | Err(_) => Err(D::Error::custom("a password must be a string, in quotes")),
        }
    }
}
