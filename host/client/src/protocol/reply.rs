//! What the server says: bytes → [`Reply`] and back.

use std::fmt;
use std::str::FromStr;

use super::error::{Excerpt, ProtocolError};
use super::line::{Parsed, Words, body_at, body_length, decimal, first_line, push_decimal};
use crate::tube::TubeName;

/// The id of a job, unique within one run of one server (protocol.txt, "reserve").
///
/// A server without a binlog counts from 1 again when it restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// A reply of the server; a body is borrowed from the bytes it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// `INSERTED <id>`: the job was put.
    Inserted(JobId),
    /// `BURIED`, or `BURIED <id>` in answer to a put that the server had no memory to queue.
    Buried(Option<JobId>),
    /// `RESERVED <id> <bytes>` and the body.
    Reserved {
        /// The job, now reserved by this connection.
        id: JobId,
        /// Its body, as it was put.
        body: &'a [u8],
    },
    /// `FOUND <id> <bytes>` and the body: a peek.
    Found {
        /// The job.
        id: JobId,
        /// Its body, as it was put.
        body: &'a [u8],
    },
    /// `OK <bytes>` and a body of statistics or names.
    Ok(&'a [u8]),
    /// `USING <tube>`
    Using(TubeName),
    /// `WATCHING <count>`: so many tubes are watched now.
    Watching(u64),
    /// `KICKED` for one job, `KICKED <count>` for many.
    Kicked(Option<u64>),
    /// `DELETED`
    Deleted,
    /// `RELEASED`
    Released,
    /// `TOUCHED`
    Touched,
    /// `PAUSED`
    Paused,
    /// `NOT_FOUND`: no such job or tube, or the job is not this connection's to settle.
    NotFound,
    /// `NOT_IGNORED`: the only watched tube cannot be ignored.
    NotIgnored,
    /// `TIMED_OUT`: no job came in time, or this side half-closed the connection.
    TimedOut,
    /// `DEADLINE_SOON`: a job reserved by this connection has less than a second of its TTR left.
    DeadlineSoon,
    /// The server refuses or cannot.
    Error(ServerError),
}

/// The error replies (protocol.txt, "Protocol" and "put").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerError {
    /// `OUT_OF_MEMORY`: try again later.
    OutOfMemory,
    /// `INTERNAL_ERROR`: a defect of the server.
    InternalError,
    /// `BAD_FORMAT`: the command line was not well-formed.
    BadFormat,
    /// `UNKNOWN_COMMAND`: the server is too old for the command.
    UnknownCommand,
    /// `EXPECTED_CRLF`: the body of a put was not followed by a line end.
    ExpectedCrlf,
    /// `JOB_TOO_BIG`: the body of a put is over the server's limit.
    JobTooBig,
    /// `DRAINING`: the server takes no new jobs.
    Draining,
}

impl ServerError {
    /// Every error reply.
    pub const ALL: &[Self] = &[
        Self::OutOfMemory,
        Self::InternalError,
        Self::BadFormat,
        Self::UnknownCommand,
        Self::ExpectedCrlf,
        Self::JobTooBig,
        Self::Draining,
    ];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfMemory => "OUT_OF_MEMORY",
            Self::InternalError => "INTERNAL_ERROR",
            Self::BadFormat => "BAD_FORMAT",
            Self::UnknownCommand => "UNKNOWN_COMMAND",
            Self::ExpectedCrlf => "EXPECTED_CRLF",
            Self::JobTooBig => "JOB_TOO_BIG",
            Self::Draining => "DRAINING",
        }
    }
}

/// Parses the reply at the beginning of `input`.
///
/// Depends on nothing but the bytes. A body of more than `body_limit` bytes is refused when its line announces it.
///
/// # Errors
/// The input cannot be the beginning of a reply.
pub fn parse_reply(input: &[u8], body_limit: usize) -> Result<Parsed<Reply<'_>>, ProtocolError> {
    Ok(match parse_head(input, body_limit)? {
        Parsed::Complete { value, consumed } => Parsed::Complete {
            value: value.with_body_from(input),
            consumed,
        },
        Parsed::Incomplete { needed } => Parsed::Incomplete { needed },
    })
}

/// A complete reply that does not borrow its input, so that a read loop can go on using its buffer.
pub(crate) struct ReplyHead {
    kind: Kind,
    body: std::ops::Range<usize>,
}

enum Kind {
    Line(Reply<'static>),
    Reserved(JobId),
    Found(JobId),
    Ok,
}

impl ReplyHead {
    /// The reply; `input` must be the bytes that the head was parsed from.
    pub(crate) fn with_body_from(self, input: &[u8]) -> Reply<'_> {
        let body = &input[self.body];
        match self.kind {
            Kind::Line(reply) => reply,
            Kind::Reserved(id) => Reply::Reserved { id, body },
            Kind::Found(id) => Reply::Found { id, body },
            Kind::Ok => Reply::Ok(body),
        }
    }
}

/// Finds the end of the reply at the beginning of `input` and parses its line.
pub(crate) fn parse_head(input: &[u8], body_limit: usize) -> Result<Parsed<ReplyHead>, ProtocolError> {
    let (line, start) = match first_line(input)? {
        Parsed::Complete { value, consumed } => (value, consumed),
        Parsed::Incomplete { needed } => return Ok(Parsed::Incomplete { needed }),
    };
    let (kind, announced) = match parse_line(line)? {
        (kind @ Kind::Line(_), _) => {
            return Ok(Parsed::Complete {
                value: ReplyHead { kind, body: 0..0 },
                consumed: start,
            });
        }
        with_body => with_body,
    };
    let length = body_length(announced, body_limit)?;
    Ok(match body_at(input, start, length)? {
        Parsed::Complete {
            value: body,
            consumed,
        } => Parsed::Complete {
            value: ReplyHead { kind, body },
            consumed,
        },
        Parsed::Incomplete { needed } => Parsed::Incomplete { needed },
    })
}

/// The meaning of a reply's line, and the announced length of the body that follows it (0 where none does).
fn parse_line(line: &[u8]) -> Result<(Kind, u64), ProtocolError> {
    let (word, words) = Words::split(line);
    let malformed = |wanted| ProtocolError::Malformed {
        found: Excerpt::new(line),
        wanted,
    };
    let plain = |reply: Option<Reply<'static>>, form| {
        reply
            .map(|reply| (Kind::Line(reply), 0))
            .ok_or_else(|| malformed(form))
    };
    match word {
        b"RESERVED" => {
            let (id, bytes) = id_and_bytes(words).ok_or_else(|| malformed("RESERVED <id> <bytes>"))?;
            Ok((Kind::Reserved(id), bytes))
        }
        b"FOUND" => {
            let (id, bytes) = id_and_bytes(words).ok_or_else(|| malformed("FOUND <id> <bytes>"))?;
            Ok((Kind::Found(id), bytes))
        }
        b"OK" => Ok((
            Kind::Ok,
            one_number(words).ok_or_else(|| malformed("OK <bytes>"))?,
        )),
        b"INSERTED" => plain(
            one_number(words).map(|id| Reply::Inserted(JobId(id))),
            "INSERTED <id>",
        ),
        b"BURIED" if !words.is_empty() => plain(
            one_number(words).map(|id| Reply::Buried(Some(JobId(id)))),
            "BURIED [<id>]",
        ),
        b"KICKED" if !words.is_empty() => plain(
            one_number(words).map(|count| Reply::Kicked(Some(count))),
            "KICKED [<count>]",
        ),
        b"WATCHING" => plain(one_number(words).map(Reply::Watching), "WATCHING <count>"),
        b"USING" => plain(one_tube(words).map(Reply::Using), "USING <tube>"),
        _ => match bare_reply(word) {
            Some(reply) if words.is_empty() => Ok((Kind::Line(reply), 0)),
            Some(_) => Err(malformed("no argument after this word")),
            None => Err(ProtocolError::Unknown {
                found: Excerpt::new(line),
                wanted: "reply",
            }),
        },
    }
}

/// The reply that `word` is when nothing follows it.
fn bare_reply(word: &[u8]) -> Option<Reply<'static>> {
    Some(match word {
        b"DELETED" => Reply::Deleted,
        b"TIMED_OUT" => Reply::TimedOut,
        b"DEADLINE_SOON" => Reply::DeadlineSoon,
        b"NOT_FOUND" => Reply::NotFound,
        b"RELEASED" => Reply::Released,
        b"BURIED" => Reply::Buried(None),
        b"TOUCHED" => Reply::Touched,
        b"KICKED" => Reply::Kicked(None),
        b"PAUSED" => Reply::Paused,
        b"NOT_IGNORED" => Reply::NotIgnored,
        _ => {
            let error = ServerError::ALL
                .iter()
                .find(|error| error.as_str().as_bytes() == word)?;
            Reply::Error(*error)
        }
    })
}

fn one_number(mut words: Words<'_>) -> Option<u64> {
    let number = words.u64()?;
    words.end().map(|()| number)
}

fn id_and_bytes(mut words: Words<'_>) -> Option<(JobId, u64)> {
    let (id, bytes) = (words.u64()?, words.u64()?);
    words.end().map(|()| (JobId(id), bytes))
}

fn one_tube(mut words: Words<'_>) -> Option<TubeName> {
    let tube = TubeName::new(std::str::from_utf8(words.word()?).ok()?).ok()?;
    words.end().map(|()| tube)
}

impl Reply<'_> {
    /// Appends the reply as the server writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let body = match self {
            Self::Reserved { body, .. } | Self::Found { body, .. } | Self::Ok(body) => Some(*body),
            _ => None,
        };
        let (word, number) = self.word_and_number();
        out.extend_from_slice(word.as_bytes());
        if let Self::Using(tube) = self {
            out.push(b' ');
            out.extend_from_slice(tube.as_str().as_bytes());
        }
        for number in number.into_iter().chain(body.map(|body| body.len() as u64)) {
            out.push(b' ');
            push_decimal(out, number);
        }
        out.extend_from_slice(b"\r\n");
        if let Some(body) = body {
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The first line of the reply, without its body, bounded: what an error text shows.
    #[must_use]
    pub fn excerpt(&self) -> Excerpt {
        let (word, number) = self.word_and_number();
        let text = match number {
            Some(number) => format!("{word} {number}"),
            None => word.to_owned(),
        };
        Excerpt::new(text.as_bytes())
    }

    fn word_and_number(&self) -> (&'static str, Option<u64>) {
        match self {
            Self::Inserted(id) => ("INSERTED", Some(id.0)),
            Self::Buried(id) => ("BURIED", id.map(|id| id.0)),
            Self::Reserved { id, .. } => ("RESERVED", Some(id.0)),
            Self::Found { id, .. } => ("FOUND", Some(id.0)),
            Self::Ok(_) => ("OK", None),
            Self::Using(_) => ("USING", None),
            Self::Watching(count) => ("WATCHING", Some(*count)),
            Self::Kicked(count) => ("KICKED", *count),
            Self::Deleted => ("DELETED", None),
            Self::Released => ("RELEASED", None),
            Self::Touched => ("TOUCHED", None),
            Self::Paused => ("PAUSED", None),
            Self::NotFound => ("NOT_FOUND", None),
            Self::NotIgnored => ("NOT_IGNORED", None),
            Self::TimedOut => ("TIMED_OUT", None),
            Self::DeadlineSoon => ("DEADLINE_SOON", None),
            Self::Error(error) => (error.as_str(), None),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for JobId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

/// A text that is no job id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found `{found}`, wanted a job id (a number)")]
pub struct NotAJobId {
    found: Excerpt,
}

impl FromStr for JobId {
    type Err = NotAJobId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decimal(text.as_bytes()).map(Self).ok_or_else(|| NotAJobId {
            found: Excerpt::new(text.as_bytes()),
        })
    }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
