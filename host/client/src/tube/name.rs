//! A tube name that beanstalkd accepts, checked once.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;

/// The longest tube name that beanstalkd takes, in bytes (protocol.txt, "use").
pub const MAX_TUBE_NAME_BYTES: usize = 200;

/// A tube name as it stands on the wire.
///
/// 1 to 200 bytes out of `A-Z a-z 0-9 - + / ; . $ _ ( )`, not beginning with `-` (protocol.txt,
/// "Protocol"). Cloning is cheap: the text is shared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TubeName(Arc<str>);

/// Why beanstalkd would refuse a tube name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TubeNameError {
    /// The name has no character at all.
    #[error("a tube name must have at least one character")]
    Empty,
    /// The name is longer than [`MAX_TUBE_NAME_BYTES`].
    #[error("a tube name has at most {MAX_TUBE_NAME_BYTES} bytes, this one has {bytes}")]
    TooLong {
        /// Length of the name in bytes.
        bytes: usize,
    },
    /// The name begins with a hyphen.
    #[error("tube name `{name}` begins with `-`, which beanstalkd refuses")]
    LeadingHyphen {
        /// The name as it was given.
        name: String,
    },
    /// The name has a character outside beanstalkd's list.
    #[error("tube name `{}` has the character `{}`, but beanstalkd takes only letters, digits and `-+/;.$_()`",
        .name.escape_debug(), .found.escape_debug())]
    Character {
        /// The name as it was given.
        name: String,
        /// The first character that beanstalkd would refuse.
        found: char,
    },
}

impl TubeName {
    /// Checks `name` against the server's rules.
    ///
    /// # Errors
    /// The first rule that `name` breaks.
    pub fn new(name: &str) -> Result<Self, TubeNameError> {
        check(name)?;
        Ok(Self(Arc::from(name)))
    }

    /// The name as text; always ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a name without keeping it.
pub(crate) fn check(name: &str) -> Result<(), TubeNameError> {
    if name.is_empty() {
        return Err(TubeNameError::Empty);
    }
    if name.len() > MAX_TUBE_NAME_BYTES {
        return Err(TubeNameError::TooLong { bytes: name.len() });
    }
    if let Some(found) = name.chars().find(|&found| !is_allowed(found)) {
        return Err(TubeNameError::Character {
            name: name.to_owned(),
            found,
        });
    }
    if name.starts_with('-') {
        return Err(TubeNameError::LeadingHyphen {
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn is_allowed(found: char) -> bool {
    found.is_ascii_alphanumeric() || "-+/;.$_()".contains(found)
}

impl AsRef<str> for TubeName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TubeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TubeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TubeName({})", self.as_str())
    }
}

impl FromStr for TubeName {
    type Err = TubeNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<String> for TubeName {
    type Error = TubeNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_the_protocol_is_accepted() {
        let name = "abcXYZ019-+/;.$_()";
        assert_eq!(TubeName::new(name).unwrap().as_str(), name);
        assert!(TubeName::new(&"a".repeat(200)).is_ok());
    }

    #[test]
    fn what_the_server_refuses_is_refused_with_the_reason() {
        assert_eq!(TubeName::new(""), Err(TubeNameError::Empty));
        assert_eq!(
            TubeName::new(&"a".repeat(201)),
            Err(TubeNameError::TooLong { bytes: 201 })
        );
        assert_eq!(
            TubeName::new("-a"),
            Err(TubeNameError::LeadingHyphen {
                name: "-a".to_owned()
            })
        );
        for (name, found) in [
            ("a b", ' '),
            ("订单", '订'),
            ("a\r\ndelete 1", '\r'),
            ("a\0", '\0'),
            ("a:b", ':'),
        ] {
            assert_eq!(
                TubeName::new(name),
                Err(TubeNameError::Character {
                    name: name.to_owned(),
                    found
                })
            );
        }
    }

    #[test]
    fn an_error_text_shows_control_characters_escaped() {
        let text = TubeName::new("a\nb").unwrap_err().to_string();
        assert!(text.contains(r"`a\nb` has the character `\n`"), "{text}");
    }
}
