//! One call for each command: send, receive, and the reply as a typed result.
//!
//! `NOT_FOUND`, `TIMED_OUT`, `DEADLINE_SOON` and `NOT_IGNORED` are results, not errors. Every call needs a
//! connection without outstanding replies.

use std::sync::Arc;

use super::{Connection, ConnectionError, PutError};
use crate::protocol::{
    Body, BodyTooLong, Command, JobId, JobStats, Reply, ServerError, Stats, StatsError, Verb, tube_list,
};
use crate::tube::TubeName;

/// A job with its body, borrowed from the connection's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job<'a> {
    /// Its id.
    pub id: JobId,
    /// Its body, as it was put.
    pub body: &'a [u8],
}

/// What came of waiting for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve<'a> {
    /// A job, now reserved by this connection.
    Job(Job<'a>),
    /// No job came in time, or the wait was ended by [`super::Waker`].
    TimedOut,
    /// A job that this connection holds has less than a second left.
    DeadlineSoon,
}

/// What came of giving a job back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// It is ready or delayed.
    Released,
    /// The server had no memory to queue it and buried it.
    Buried,
    /// It is not reserved by this connection.
    NotFound,
}

/// The server's statistic that tells its largest job (protocol.txt, "stats").
pub(crate) const JOB_LIMIT: &str = "max-job-size";

type Result<T> = std::result::Result<T, ConnectionError>;

impl Connection {
    /// Puts a job into the used tube. `delay` and `ttr` are seconds.
    ///
    /// # Errors
    /// Each refusal of the server as its own variant.
    pub fn put(
        &mut self,
        pri: u32,
        delay: u32,
        ttr: u32,
        body: &[u8],
    ) -> std::result::Result<JobId, PutError> {
        let reply = self.call(&put_command((pri, delay, ttr), body)?)?;
        put_result(&reply, body.len())
    }

    /// The same after choosing a tube, which goes out in the same write.
    ///
    /// # Errors
    /// Each refusal of the server as its own variant. [`PutError::Unknown`] also where the server did not take the tube:
    /// the job may be in the one used before.
    pub fn use_and_put(
        &mut self,
        tube: &TubeName,
        pri: u32,
        delay: u32,
        ttr: u32,
        body: &[u8],
    ) -> std::result::Result<JobId, PutError> {
        let command = put_command((pri, delay, ttr), body)?;
        let outstanding = self.outstanding();
        if outstanding > 0 {
            return Err(ConnectionError::OutOfTurn { outstanding }.into());
        }
        self.queue(&Command::Use(tube.clone()));
        self.queue(&command);
        let not_used = match self.receive()? {
            Reply::Using(_) => None,
            reply => Some(refused(Verb::Use, &reply)),
        };
        let put = put_result(&self.receive()?, body.len());
        not_used.map_or(put, |error| {
            let source = Arc::new(error);
            Err(PutError::Unknown { source })
        })
    }

    /// Chooses the tube of the following puts, peeks and kicks.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn use_tube(&mut self, tube: &TubeName) -> Result<()> {
        match self.call(&Command::Use(tube.clone()))? {
            Reply::Using(_) => Ok(()),
            reply => Err(refused(Verb::Use, &reply)),
        }
    }

    /// Adds a tube to those that a reserve takes jobs from; how many are watched now.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn watch(&mut self, tube: &TubeName) -> Result<u64> {
        match self.call(&Command::Watch(tube.clone()))? {
            Reply::Watching(count) => Ok(count),
            reply => Err(refused(Verb::Watch, &reply)),
        }
    }

    /// Takes a tube off those that a reserve takes jobs from; how many are watched now, or `None` where it is
    /// the only one.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn ignore(&mut self, tube: &TubeName) -> Result<Option<u64>> {
        match self.call(&Command::Ignore(tube.clone()))? {
            Reply::Watching(count) => Ok(Some(count)),
            Reply::NotIgnored => Ok(None),
            reply => Err(refused(Verb::Ignore, &reply)),
        }
    }

    /// Waits for a job without limit.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn reserve(&mut self) -> Result<Reserve<'_>> {
        self.reserve_by(&Command::Reserve)
    }

    /// Waits for a job up to `seconds`, at most [`crate::protocol::MAX_RESERVE_SECONDS`].
    ///
    /// # Errors
    /// See [`ConnectionError`]; no job in time is [`Reserve::TimedOut`].
    pub fn reserve_with_timeout(&mut self, seconds: u32) -> Result<Reserve<'_>> {
        self.reserve_by(&Command::ReserveWithTimeout { seconds })
    }

    fn reserve_by(&mut self, command: &Command<'_>) -> Result<Reserve<'_>> {
        match self.call(command)? {
            Reply::Reserved { id, body } => Ok(Reserve::Job(Job { id, body })),
            Reply::TimedOut => Ok(Reserve::TimedOut),
            Reply::DeadlineSoon => Ok(Reserve::DeadlineSoon),
            reply => Err(refused(command.verb(), &reply)),
        }
    }

    /// Reserves a ready, delayed or buried job by its id; `None` for any other.
    ///
    /// # Errors
    /// See [`ConnectionError`]; a server before 1.12 answers `UNKNOWN_COMMAND`.
    pub fn reserve_job(&mut self, id: JobId) -> Result<Option<Job<'_>>> {
        self.job_by(&Command::ReserveJob(id))
    }

    /// Removes a job; `false` where it is not there, or reserved elsewhere.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn delete(&mut self, id: JobId) -> Result<bool> {
        self.done_by(&Command::Delete(id))
    }

    /// Gives a reserved job back; `delay` is seconds.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn release(&mut self, id: JobId, pri: u32, delay: u32) -> Result<Released> {
        match self.call(&Command::Release { id, pri, delay })? {
            Reply::Released => Ok(Released::Released),
            Reply::Buried(None) => Ok(Released::Buried),
            Reply::NotFound => Ok(Released::NotFound),
            reply => Err(refused(Verb::Release, &reply)),
        }
    }

    /// Lays a reserved job aside; `false` where it is not reserved by this connection.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn bury(&mut self, id: JobId, pri: u32) -> Result<bool> {
        self.done_by(&Command::Bury { id, pri })
    }

    /// Starts the TTR of a reserved job anew; `false` where it is not reserved by this connection.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn touch(&mut self, id: JobId) -> Result<bool> {
        self.done_by(&Command::Touch(id))
    }

    /// Makes up to `bound` jobs of the used tube ready; how many it were.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn kick(&mut self, bound: u32) -> Result<u64> {
        match self.call(&Command::Kick { bound })? {
            Reply::Kicked(Some(count)) => Ok(count),
            reply => Err(refused(Verb::Kick, &reply)),
        }
    }

    /// Makes one buried or delayed job ready; `false` for any other.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn kick_job(&mut self, id: JobId) -> Result<bool> {
        self.done_by(&Command::KickJob(id))
    }

    /// Shows a job.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn peek(&mut self, id: JobId) -> Result<Option<Job<'_>>> {
        self.job_by(&Command::Peek(id))
    }

    /// Shows the next ready job of the used tube.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn peek_ready(&mut self) -> Result<Option<Job<'_>>> {
        self.job_by(&Command::PeekReady)
    }

    /// Shows the delayed job of the used tube that is due first.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn peek_delayed(&mut self) -> Result<Option<Job<'_>>> {
        self.job_by(&Command::PeekDelayed)
    }

    /// Shows the first buried job of the used tube.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn peek_buried(&mut self) -> Result<Option<Job<'_>>> {
        self.job_by(&Command::PeekBuried)
    }

    /// Statistics of the server.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn stats(&mut self) -> Result<Stats<'_>> {
        match self.call(&Command::Stats)? {
            Reply::Ok(body) => Stats::parse(body).map_err(unreadable(Verb::Stats)),
            reply => Err(refused(Verb::Stats, &reply)),
        }
    }

    /// The longest body that the server takes, in bytes, where it tells.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn job_limit(&mut self) -> Result<Option<u64>> {
        Ok(self.stats()?.number(JOB_LIMIT))
    }

    /// Statistics of a tube, or `None` where no such tube is.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn stats_tube(&mut self, tube: &TubeName) -> Result<Option<Stats<'_>>> {
        match self.call(&Command::StatsTube(tube.clone()))? {
            Reply::Ok(body) => Stats::parse(body).map(Some).map_err(unreadable(Verb::StatsTube)),
            Reply::NotFound => Ok(None),
            reply => Err(refused(Verb::StatsTube, &reply)),
        }
    }

    /// Statistics of a job, or `None` where no such job is.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn stats_job(&mut self, id: JobId) -> Result<Option<JobStats<'_>>> {
        match self.call(&Command::StatsJob(id))? {
            Reply::Ok(body) => JobStats::parse(body)
                .map(Some)
                .map_err(unreadable(Verb::StatsJob)),
            Reply::NotFound => Ok(None),
            reply => Err(refused(Verb::StatsJob, &reply)),
        }
    }

    /// Names of all tubes.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn list_tubes(&mut self) -> Result<Vec<TubeName>> {
        self.tubes_by(&Command::ListTubes)
    }

    /// Names of the tubes that a reserve takes jobs from.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn list_tubes_watched(&mut self) -> Result<Vec<TubeName>> {
        self.tubes_by(&Command::ListTubesWatched)
    }

    /// Name of the used tube.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn list_tube_used(&mut self) -> Result<TubeName> {
        match self.call(&Command::ListTubeUsed)? {
            Reply::Using(tube) => Ok(tube),
            reply => Err(refused(Verb::ListTubeUsed, &reply)),
        }
    }

    /// Holds back a tube's jobs for `delay` seconds; `false` where no such tube is.
    ///
    /// # Errors
    /// See [`ConnectionError`].
    pub fn pause_tube(&mut self, tube: &TubeName, delay: u32) -> Result<bool> {
        self.done_by(&Command::PauseTube {
            tube: tube.clone(),
            delay,
        })
    }

    /// Says goodbye and closes. Dropping the connection does as well, without the word.
    ///
    /// # Errors
    /// See [`ConnectionError`]; the connection is closed in any case.
    pub fn quit(mut self) -> Result<()> {
        self.queue(&Command::Quit);
        self.flush()
    }

    /// A command that either does its one thing or finds nothing to do it to.
    fn done_by(&mut self, command: &Command<'_>) -> Result<bool> {
        match self.call(command)? {
            Reply::NotFound => Ok(false),
            reply @ Reply::Error(_) => Err(refused(command.verb(), &reply)),
            // `receive` has checked that this is the reply of this command.
            _ => Ok(true),
        }
    }

    fn job_by(&mut self, command: &Command<'_>) -> Result<Option<Job<'_>>> {
        match self.call(command)? {
            Reply::Reserved { id, body } | Reply::Found { id, body } => Ok(Some(Job { id, body })),
            Reply::NotFound => Ok(None),
            reply => Err(refused(command.verb(), &reply)),
        }
    }

    fn tubes_by(&mut self, command: &Command<'_>) -> Result<Vec<TubeName>> {
        match self.call(command)? {
            Reply::Ok(body) => tube_list(body).map_err(unreadable(command.verb())),
            reply => Err(refused(command.verb(), &reply)),
        }
    }
}

fn put_command(
    (pri, delay, ttr): (u32, u32, u32),
    body: &[u8],
) -> std::result::Result<Command<'_>, BodyTooLong> {
    let body = Body::new(body)?;
    Ok(Command::Put {
        pri,
        delay,
        ttr,
        body,
    })
}

/// What `reply` says of a put of so many bytes.
pub(crate) fn put_result(reply: &Reply<'_>, bytes: usize) -> std::result::Result<JobId, PutError> {
    Err(match reply {
        Reply::Inserted(id) => return Ok(*id),
        Reply::Buried(Some(id)) => PutError::Buried { id: *id },
        Reply::Error(ServerError::JobTooBig) => PutError::JobTooBig { bytes, limit: None },
        Reply::Error(ServerError::Draining) => PutError::Draining,
        Reply::Error(ServerError::OutOfMemory) => PutError::OutOfMemory,
        Reply::Error(ServerError::ExpectedCrlf) => PutError::ExpectedCrlf,
        reply => refused(Verb::Put, reply).into(),
    })
}

/// The error for a reply that carries no result of `command`.
fn refused(command: Verb, reply: &Reply<'_>) -> ConnectionError {
    match reply {
        Reply::Error(error) => ConnectionError::Server {
            command,
            reply: *error,
        },
        other => ConnectionError::Unexpected {
            command,
            found: other.excerpt(),
        },
    }
}

fn unreadable(command: Verb) -> impl Fn(StatsError) -> ConnectionError {
    move |source| ConnectionError::Stats { command, source }
}
