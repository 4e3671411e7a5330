//! What the client says: [`Command`] → bytes and back.

use super::MAX_BODY_BYTES;
use super::error::{Excerpt, ProtocolError};
use super::line::{Parsed, Words, body_at, body_length, first_line, push_decimal};
use super::reply::JobId;
use super::verb::Verb;
use crate::tube::TubeName;

/// The longest time-out of a reserve, in seconds (68 years).
///
/// The server keeps the number in a signed 32-bit integer, and a larger one would mean to wait for ever.
pub const MAX_RESERVE_SECONDS: u32 = i32::MAX as u32;

/// A command of the client. Times are whole seconds; the smallest priority is the most urgent.
///
/// Every value that can be built is one that beanstalkd understands: names are [`TubeName`]s, a body is a [`Body`],
/// and numbers have the server's range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// Puts a job into the used tube.
    Put {
        /// Priority.
        pri: u32,
        /// Seconds until the job is ready.
        delay: u32,
        /// Seconds a worker may take; the server makes 0 a 1.
        ttr: u32,
        /// The job.
        body: Body<'a>,
    },
    /// Chooses the tube of the following puts, peeks and kicks.
    Use(TubeName),
    /// Waits for a job without limit.
    Reserve,
    /// Waits for a job.
    ReserveWithTimeout {
        /// Seconds; what is over [`MAX_RESERVE_SECONDS`] is sent as that.
        seconds: u32,
    },
    /// Reserves one job by its id (since beanstalkd 1.12).
    ReserveJob(JobId),
    /// Removes a job.
    Delete(JobId),
    /// Gives a reserved job back.
    Release {
        /// The job.
        id: JobId,
        /// Its new priority.
        pri: u32,
        /// Seconds until it is ready again.
        delay: u32,
    },
    /// Lays a reserved job aside until it is kicked.
    Bury {
        /// The job.
        id: JobId,
        /// Its new priority.
        pri: u32,
    },
    /// Starts the TTR of a reserved job anew.
    Touch(JobId),
    /// Adds a tube to those that a reserve takes jobs from.
    Watch(TubeName),
    /// Takes a tube off those that a reserve takes jobs from.
    Ignore(TubeName),
    /// Shows a job.
    Peek(JobId),
    /// Shows the next ready job of the used tube.
    PeekReady,
    /// Shows the delayed job of the used tube that is due first.
    PeekDelayed,
    /// Shows the first buried job of the used tube.
    PeekBuried,
    /// Makes up to `bound` buried jobs of the used tube ready, or delayed ones where none is buried.
    Kick {
        /// The most jobs to kick.
        bound: u32,
    },
    /// Makes one buried or delayed job ready.
    KickJob(JobId),
    /// Statistics of the server.
    Stats,
    /// Statistics of a job.
    StatsJob(JobId),
    /// Statistics of a tube.
    StatsTube(TubeName),
    /// Names of all tubes.
    ListTubes,
    /// Name of the used tube.
    ListTubeUsed,
    /// Names of the watched tubes.
    ListTubesWatched,
    /// Holds back a tube's jobs.
    PauseTube {
        /// The tube.
        tube: TubeName,
        /// For how many seconds.
        delay: u32,
    },
    /// Asks the server to close the connection; it has no reply.
    Quit,
}

/// The body of a put, at most [`MAX_BODY_BYTES`] long: no server takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body<'a>(&'a [u8]);

/// A body that no beanstalkd takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("found a job body of {bytes} bytes, beanstalkd takes at most {MAX_BODY_BYTES}")]
pub struct BodyTooLong {
    /// Its length in bytes.
    pub bytes: usize,
}

impl<'a> Body<'a> {
    /// Checks the length of `bytes`.
    ///
    /// # Errors
    /// More than [`MAX_BODY_BYTES`].
    pub fn new(bytes: &'a [u8]) -> Result<Self, BodyTooLong> {
        if bytes.len() > MAX_BODY_BYTES {
            return Err(BodyTooLong { bytes: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The bytes of the body.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

impl Command<'_> {
    /// Which command this is.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Put { .. } => Verb::Put,
            Self::Use(_) => Verb::Use,
            Self::Reserve => Verb::Reserve,
            Self::ReserveWithTimeout { .. } => Verb::ReserveWithTimeout,
            Self::ReserveJob(_) => Verb::ReserveJob,
            Self::Delete(_) => Verb::Delete,
            Self::Release { .. } => Verb::Release,
            Self::Bury { .. } => Verb::Bury,
            Self::Touch(_) => Verb::Touch,
            Self::Watch(_) => Verb::Watch,
            Self::Ignore(_) => Verb::Ignore,
            Self::Peek(_) => Verb::Peek,
            Self::PeekReady => Verb::PeekReady,
            Self::PeekDelayed => Verb::PeekDelayed,
            Self::PeekBuried => Verb::PeekBuried,
            Self::Kick { .. } => Verb::Kick,
            Self::KickJob(_) => Verb::KickJob,
            Self::Stats => Verb::Stats,
            Self::StatsJob(_) => Verb::StatsJob,
            Self::StatsTube(_) => Verb::StatsTube,
            Self::ListTubes => Verb::ListTubes,
            Self::ListTubeUsed => Verb::ListTubeUsed,
            Self::ListTubesWatched => Verb::ListTubesWatched,
            Self::PauseTube { .. } => Verb::PauseTube,
            Self::Quit => Verb::Quit,
        }
    }

    /// Appends the command as it goes on the wire; allocates only where `out` has to grow.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.verb().as_str().as_bytes());
        match self {
            Self::Put {
                pri,
                delay,
                ttr,
                body,
            } => {
                push_numbers(
                    out,
                    [
                        u64::from(*pri),
                        u64::from(*delay),
                        u64::from(*ttr),
                        body.0.len() as u64,
                    ],
                );
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(body.0);
            }
            Self::Use(tube) | Self::Watch(tube) | Self::Ignore(tube) | Self::StatsTube(tube) => {
                push_tube(out, tube)
            }
            Self::ReserveWithTimeout { seconds } => {
                push_numbers(out, [u64::from((*seconds).min(MAX_RESERVE_SECONDS))]);
            }
            Self::ReserveJob(id)
            | Self::Delete(id)
            | Self::Touch(id)
            | Self::Peek(id)
            | Self::KickJob(id)
            | Self::StatsJob(id) => push_numbers(out, [id.0]),
            Self::Release { id, pri, delay } => push_numbers(out, [id.0, u64::from(*pri), u64::from(*delay)]),
            Self::Bury { id, pri } => push_numbers(out, [id.0, u64::from(*pri)]),
            Self::Kick { bound } => push_numbers(out, [u64::from(*bound)]),
            Self::PauseTube { tube, delay } => {
                push_tube(out, tube);
                push_numbers(out, [u64::from(*delay)]);
            }
            Self::Reserve
            | Self::PeekReady
            | Self::PeekDelayed
            | Self::PeekBuried
            | Self::Stats
            | Self::ListTubes
            | Self::ListTubeUsed
            | Self::ListTubesWatched
            | Self::Quit => {}
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn push_numbers<const N: usize>(out: &mut Vec<u8>, numbers: [u64; N]) {
    for number in numbers {
        out.push(b' ');
        push_decimal(out, number);
    }
}

fn push_tube(out: &mut Vec<u8>, tube: &TubeName) {
    out.push(b' ');
    out.extend_from_slice(tube.as_str().as_bytes());
}

/// Parses the command at the beginning of `input`, as a server does.
///
/// Stricter than beanstalkd: words are parted by exactly one space. A body of more than `body_limit` bytes is refused
/// when its line announces it.
///
/// # Errors
/// The input cannot be the beginning of a command.
pub fn parse_command(input: &[u8], body_limit: usize) -> Result<Parsed<Command<'_>>, ProtocolError> {
    let (line, start) = match first_line(input)? {
        Parsed::Complete { value, consumed } => (value, consumed),
        Parsed::Incomplete { needed } => return Ok(Parsed::Incomplete { needed }),
    };
    let (word, words) = Words::split(line);
    let Some(verb) = Verb::from_word(word) else {
        return Err(ProtocolError::Unknown {
            found: Excerpt::new(line),
            wanted: "command",
        });
    };
    let malformed = || ProtocolError::Malformed {
        found: Excerpt::new(line),
        wanted: verb.form(),
    };
    if verb != Verb::Put {
        let value = without_body(verb, words).ok_or_else(malformed)?;
        return Ok(Parsed::Complete {
            value,
            consumed: start,
        });
    }
    let (pri, delay, ttr, announced) = put_numbers(words).ok_or_else(malformed)?;
    let length = body_length(u64::from(announced), body_limit.min(MAX_BODY_BYTES))?;
    Ok(match body_at(input, start, length)? {
        Parsed::Complete {
            value: range,
            consumed,
        } => Parsed::Complete {
            value: Command::Put {
                pri,
                delay,
                ttr,
                body: Body(&input[range]),
            },
            consumed,
        },
        Parsed::Incomplete { needed } => Parsed::Incomplete { needed },
    })
}

fn put_numbers(mut words: Words<'_>) -> Option<(u32, u32, u32, u32)> {
    let numbers = (words.u32()?, words.u32()?, words.u32()?, words.u32()?);
    words.end().map(|()| numbers)
}

/// The command `verb` with its arguments, or `None` where they do not fit it.
fn without_body(verb: Verb, mut words: Words<'_>) -> Option<Command<'static>> {
    let words = &mut words;
    let command = match verb {
        Verb::Put => return None,
        Verb::Use => Command::Use(tube(words)?),
        Verb::Reserve => Command::Reserve,
        Verb::ReserveWithTimeout => Command::ReserveWithTimeout {
            seconds: words.u32().filter(|seconds| *seconds <= MAX_RESERVE_SECONDS)?,
        },
        Verb::ReserveJob => Command::ReserveJob(id(words)?),
        Verb::Delete => Command::Delete(id(words)?),
        Verb::Release => Command::Release {
            id: id(words)?,
            pri: words.u32()?,
            delay: words.u32()?,
        },
        Verb::Bury => Command::Bury {
            id: id(words)?,
            pri: words.u32()?,
        },
        Verb::Touch => Command::Touch(id(words)?),
        Verb::Watch => Command::Watch(tube(words)?),
        Verb::Ignore => Command::Ignore(tube(words)?),
        Verb::Peek => Command::Peek(id(words)?),
        Verb::PeekReady => Command::PeekReady,
        Verb::PeekDelayed => Command::PeekDelayed,
        Verb::PeekBuried => Command::PeekBuried,
        Verb::Kick => Command::Kick { bound: words.u32()? },
        Verb::KickJob => Command::KickJob(id(words)?),
        Verb::Stats => Command::Stats,
        Verb::StatsJob => Command::StatsJob(id(words)?),
        Verb::StatsTube => Command::StatsTube(tube(words)?),
        Verb::ListTubes => Command::ListTubes,
        Verb::ListTubeUsed => Command::ListTubeUsed,
        Verb::ListTubesWatched => Command::ListTubesWatched,
        Verb::PauseTube => Command::PauseTube {
            tube: tube(words)?,
            delay: words.u32()?,
        },
        Verb::Quit => Command::Quit,
    };
    words.end().map(|()| command)
}

fn id(words: &mut Words<'_>) -> Option<JobId> {
    words.u64().map(JobId)
}

fn tube(words: &mut Words<'_>) -> Option<TubeName> {
    TubeName::new(std::str::from_utf8(words.word()?).ok()?).ok()
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
