//! What can go wrong on a connection, by what happens next.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use crate::protocol::{BodyTooLong, Excerpt, JobId, ProtocolError, ServerError, StatsError, Verb};

/// What a connection was at when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Writing commands.
    Sending,
    /// Waiting for the reply to a command, or reading it.
    AwaitingReply(Verb),
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sending => f.write_str("sending a command"),
            Self::AwaitingReply(verb) => write!(f, "waiting for the reply to `{verb}`"),
        }
    }
}

/// A failed call on a connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// No connection came about.
    #[error("cannot connect to beanstalkd at `{address}`")]
    Connect {
        /// Where to.
        address: Address,
        /// The cause, of the last address tried.
        source: io::Error,
    },
    /// The server closed the connection.
    #[error("beanstalkd closed the connection while {doing}")]
    Closed {
        /// What was under way.
        doing: Doing,
    },
    /// This side half-closed the connection, so nothing more can be sent.
    #[error("the connection was half-closed to end a waiting reserve, nothing can be sent on it")]
    HalfClosed,
    /// Too long without progress.
    #[error("timed out after {after:?} while {doing}")]
    TimedOut {
        /// What was under way.
        doing: Doing,
        /// The time allowed.
        after: Duration,
    },
    /// Any other failure of the socket.
    #[error("the connection failed while {doing}")]
    Io {
        /// What was under way.
        doing: Doing,
        /// The cause.
        source: io::Error,
    },
    /// The server does not speak the protocol; perhaps it is no beanstalkd.
    #[error("protocol violation while {doing}; hint: is this server a beanstalkd?")]
    Protocol {
        /// What was under way.
        doing: Doing,
        /// What was found, and what was wanted.
        source: ProtocolError,
    },
    /// The server answered with an error reply.
    #[error("beanstalkd answered `{reply}` to `{command}`")]
    Server {
        /// The command.
        command: Verb,
        /// The error reply.
        reply: ServerError,
    },
    /// A proper reply, but to another command.
    #[error("beanstalkd answered `{found}` to `{command}`, which has no such reply")]
    Unexpected {
        /// The command.
        command: Verb,
        /// The reply.
        found: Excerpt,
    },
    /// The body of the reply has not the documented form; the connection can still be used.
    #[error("cannot read the reply to `{command}`")]
    Stats {
        /// The command.
        command: Verb,
        /// What was found, and what was wanted.
        source: StatsError,
    },
    /// An earlier error made the connection unusable.
    #[error("the connection broke earlier and cannot be used any more")]
    Broken,
    /// A call that does not fit the replies still outstanding; nothing was sent.
    #[error("called out of turn with {outstanding} replies outstanding")]
    OutOfTurn {
        /// How many commands wait for their replies.
        outstanding: usize,
    },
}

/// A put that did not make a ready or delayed job, as far as is known.
///
/// Only after [`PutError::Unknown`] may there be a job all the same.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// No beanstalkd takes so long a body; nothing was sent.
    #[error(transparent)]
    BodyTooLong(#[from] BodyTooLong),
    /// The body is over this server's limit.
    #[error(
        "beanstalkd refused a job body of {bytes} bytes as too big{}; hint: its option `-z` sets the limit",
        .limit.map_or(String::new(), |limit| format!(", it takes up to {limit}"))
    )]
    JobTooBig {
        /// The length of the body.
        bytes: usize,
        /// The longest body that this server takes, where it was asked.
        limit: Option<u64>,
    },
    /// The server takes no new jobs.
    #[error("beanstalkd is draining and takes no new jobs")]
    Draining,
    /// The server has no memory for the job.
    #[error("beanstalkd is out of memory, try again later")]
    OutOfMemory,
    /// The server did not find the line end after the body; the connection is broken.
    #[error("beanstalkd found no line end after the job body")]
    ExpectedCrlf,
    /// The job exists, but buried: the server had no memory to queue it.
    #[error("beanstalkd is out of memory and buried the new job `{id}`; hint: kick it later")]
    Buried {
        /// The new job.
        id: JobId,
    },
    /// There was no connection to put the job over, or the server answered with another error: no job was made.
    #[error("the job was not put")]
    NotPut {
        /// Why.
        source: Arc<ConnectionError>,
    },
    /// The connection was lost after the job may have been sent, and before its answer: whether there is a job now is
    /// unknown, and putting it again may make a second one.
    #[error("it is unknown whether the job was put")]
    Unknown {
        /// What became of the connection.
        source: Arc<ConnectionError>,
    },
}

/// By whether anything can have been sent.
impl From<ConnectionError> for PutError {
    fn from(error: ConnectionError) -> PutError {
        use ConnectionError::{Broken, Connect, HalfClosed, OutOfTurn, Server};
        let before_sending = matches!(
            error,
            Connect { .. } | Broken | HalfClosed | OutOfTurn { .. } | Server { .. }
        );
        let source = Arc::new(error);
        match before_sending {
            true => PutError::NotPut { source },
            false => PutError::Unknown { source },
        }
    }
}
