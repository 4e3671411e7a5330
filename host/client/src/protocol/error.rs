//! What can be wrong with the bytes of the other side.

use std::fmt;

/// How many bytes of a foreign line an error text shows.
const EXCERPT_BYTES: usize = 64;

/// The beginning of bytes that the other side sent, bounded and escaped, fit for a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(Box<str>);

impl Excerpt {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let shown = &bytes[..bytes.len().min(EXCERPT_BYTES)];
        let mut text = shown.escape_ascii().to_string();
        if shown.len() < bytes.len() {
            text.push('…');
        }
        Self(text.into())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes that are neither a command nor a reply of the protocol, nor the beginning of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// No line end within the longest line of the protocol.
    #[error("found a line longer than {limit} bytes, beginning `{found}`")]
    LineTooLong {
        /// The line's beginning.
        found: Excerpt,
        /// The most bytes a line may have, line end included.
        limit: usize,
    },
    /// The line ends with a bare line feed.
    #[error("found the line `{found}` without a carriage return before its line feed")]
    BareLineFeed {
        /// The line.
        found: Excerpt,
    },
    /// The line's first word is not of the protocol.
    #[error("found `{found}`, which is no {wanted} of the beanstalkd protocol")]
    Unknown {
        /// The line.
        found: Excerpt,
        /// `command` or `reply`.
        wanted: &'static str,
    },
    /// A known first word with arguments that do not fit it.
    #[error("found the line `{found}`, wanted `{wanted}`")]
    Malformed {
        /// The line.
        found: Excerpt,
        /// The form of the line in the words of protocol.txt.
        wanted: &'static str,
    },
    /// The announced body is larger than the caller takes.
    #[error("found a body of {announced} bytes announced, the limit is {limit}")]
    BodyTooLong {
        /// The announced length in bytes.
        announced: u64,
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// The body is not followed by a line end where its announced length ends.
    #[error("found `{found}` after a body of {length} bytes, wanted `\\r\\n`")]
    BodyNotTerminated {
        /// The two bytes in the place of the line end.
        found: Excerpt,
        /// The announced length in bytes.
        length: usize,
    },
    /// The server sent bytes that no command had asked for.
    #[error("found `{found}` from the server where no command was waiting for a reply")]
    Unsolicited {
        /// The beginning of the bytes.
        found: Excerpt,
    },
}

/// A body of a `stats` or `list` command that does not have the documented form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatsError {
    /// The body does not begin with the line `---`.
    #[error("found `{found}` at the beginning of a statistics body, wanted `---`")]
    NoHead {
        /// The beginning of the body.
        found: Excerpt,
    },
    /// A line is not of the form `key: value` or `- item`.
    #[error("found the statistics line `{found}`, wanted `{wanted}`")]
    Line {
        /// The line.
        found: Excerpt,
        /// The form of the line.
        wanted: &'static str,
    },
    /// The body is larger than such a body ever is.
    #[error("found a statistics body of {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Length of the body in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A documented key is not there.
    #[error("found no `{key}` in a statistics body")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// The value of a documented key is not what is documented.
    #[error("found `{key}: {found}` in a statistics body, wanted {wanted}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        found: Excerpt,
        /// What the value should be.
        wanted: &'static str,
    },
}
