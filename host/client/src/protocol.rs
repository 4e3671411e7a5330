//! The beanstalkd protocol, versions 1.12 and 1.13, as pure functions between bytes and values.
//!
//! Both directions of both sides are here, so a test can play the server with the same code:
//!
//! ```text
//! client   Command::encode ──▶ bytes ──▶ parse_command   server
//!          parse_reply     ◀── bytes ◀── Reply::encode
//! ```
//!
//! Parsing is incremental: [`Parsed::Incomplete`] says how many bytes it takes to get on. Nothing is allocated by
//! announcement: a length in a line is a number until that many bytes are there. Owns no socket and reads no clock.
//! Source of the rules: beanstalkd's `doc/protocol.txt`.

mod command;
mod error;
mod line;
mod reply;
mod stats;
mod verb;

#[cfg(test)]
mod properties;

pub use self::command::{Body, BodyTooLong, Command, MAX_RESERVE_SECONDS, parse_command};
pub use self::error::{Excerpt, ProtocolError, StatsError};
pub use self::line::{MAX_LINE_BYTES, Parsed};
pub use self::reply::{JobId, NotAJobId, Reply, ServerError, parse_reply};
pub(crate) use self::reply::{ReplyHead, parse_head};
pub use self::stats::{JobState, JobStats, Stats, tube_list};
pub use self::verb::Verb;

/// The largest job body that any beanstalkd takes: its option `-z` ends at 1 GiB.
///
/// A server's own limit is usually lower (65,535 by default) and is told by `JOB_TOO_BIG`.
pub const MAX_BODY_BYTES: usize = 1 << 30;
