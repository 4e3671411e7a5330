//! Where and why the reader stopped.

use thiserror::Error;

/// A malformed or refused PHP body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("byte {offset}: {kind}")]
pub struct Error {
    /// The byte at which reading stopped, from 0.
    pub offset: usize,
    /// What was wrong there.
    pub kind: ErrorKind,
}

/// What was wrong with a PHP body.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The body is longer than [`Limits::body`](crate::payload::Limits::body).
    #[error("the body has {len} bytes, the limit is {limit}")]
    BodyTooLong {
        /// Bytes of the body.
        len: usize,
        /// The limit.
        limit: usize,
    },
    /// The body ends within a value.
    #[error("the body ends here, wanted {wanted}")]
    End {
        /// What should have followed.
        wanted: &'static str,
    },
    /// A byte that does not belong here.
    #[error("found `{}`, wanted {wanted}", found.escape_ascii())]
    Unexpected {
        /// The byte.
        found: u8,
        /// What should have stood here.
        wanted: &'static str,
    },
    /// An integer or a length that 64 bits cannot hold.
    #[error("the number does not fit 64 bits")]
    NumberTooLarge,
    /// A string, name or payload that claims more bytes than there are.
    #[error("{declared} bytes announced, but only {left} are left")]
    TooLong {
        /// The announced length.
        declared: usize,
        /// The bytes left in the body.
        left: usize,
    },
    /// An array or object that claims more elements than the rest of the body could hold.
    #[error("{declared} elements announced, but the {left} bytes left cannot hold them")]
    TooMany {
        /// The announced number of elements.
        declared: usize,
        /// The bytes left in the body.
        left: usize,
    },
    /// A float in no spelling that PHP knows.
    #[error("not a PHP float")]
    Float,
    /// An `S:` string with a `\` that two hexadecimal digits do not follow.
    #[error("wanted two hexadecimal digits after the backslash")]
    Escape,
    /// A class or case name that PHP does not allow.
    #[error("not a PHP {what} name")]
    Name {
        /// Which kind of name: `class` or `case`.
        what: &'static str,
    },
    /// More arrays and objects inside one another than [`Limits::depth`](crate::payload::Limits::depth).
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A reference to a slot that does not come before it.
    #[error("reference to slot {slot}, but only 1 to {known} exist here")]
    Reference {
        /// The slot that was asked for.
        slot: u64,
        /// The slots before the reference.
        known: u64,
    },
    /// Bytes after the value that are not white space.
    #[error("{count} bytes follow the value, wanted the end of the body")]
    Trailing {
        /// How many bytes follow.
        count: usize,
    },
}
