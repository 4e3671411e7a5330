//! One round of a slot: tell the queue server how the last job ended and reserve the next, hear of both, execute.
//!
//! Whoever has the slot's [`Berth`](super::burst::Berth) makes its rounds: its own thread, which waits for the answers,
//! or the worker's [burst](super::burst), which waits for those of all slots at once.

use asynccall_client::{
    connection::{Connection, ConnectionError},
    protocol::{Command, JobId, Reply, Verb},
};
use tracing::{debug, info};

use super::{
    execute::execute,
    fatal,
    lane::Lane,
    recover::Unsettled,
    settle::{Inconclusive, Pending},
};
use crate::{
    ipc::row::State,
    observe::log::{self, JobIdentity},
};

/// The memory that a slot keeps for bodies; a larger one is given back after its job.
const BODY_KEPT: usize = 1024 * 1024;

/// Whether the slot goes on with its connection.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// By telling and reserving.
    On,
    /// It does not: the worker is quiet, the slot is paused, or its connection is somebody else's.
    Over,
}

/// Why a connection is not used any further, and what was left unsettled on it.
pub(super) struct Lost {
    pub(super) error: ConnectionError,
    pub(super) unsettled: Option<Unsettled>,
}

impl From<ConnectionError> for Box<Lost> {
    fn from(error: ConnectionError) -> Box<Lost> {
        Box::new(Lost {
            error,
            unsettled: None,
        })
    }
}

/// What came of a round.
enum Heard {
    Job(JobId),
    /// There was no job in time.
    Nothing,
    /// The last job is settled, and no reserve was sent.
    Last,
}

/// What a slot's rounds hand on from one to the next.
#[derive(Default)]
pub(super) struct Round {
    /// How the last job ended, until the queue server has answered.
    pending: Option<Pending>,
    /// A reserve was sent with it.
    reserves: bool,
    body: Vec<u8>,
    /// What log lines say of the job, while nobody makes the round.
    job: Option<JobIdentity>,
}

impl Round {
    /// Before the first round on a connection.
    pub(super) fn begin(&mut self) {
        self.pending = None;
    }

    /// Whether a reserve was sent, so that more than an answer about the last job is to come.
    pub(super) fn reserves(&self) -> bool {
        self.reserves
    }

    /// This thread makes the rounds from now on.
    pub(super) fn take_up(&mut self, lane: &Lane) {
        fatal::mark_thread(lane.shared.mark(lane.row_index()));
        log::set_job(self.job.take());
    }

    /// Another thread makes them next.
    pub(super) fn hand_over(&mut self) {
        self.job = log::take_job();
        fatal::unmark_thread();
    }

    /// Tells what was decided and reserves the next job, in one write; over where there is neither.
    pub(super) fn send(&mut self, lane: &Lane) -> Result<Course, Box<Lost>> {
        match lane.connection().as_mut() {
            Some(connection) => self.send_over(lane, connection),
            None => Ok(Course::Over),
        }
    }

    fn send_over(&mut self, lane: &Lane, connection: &mut Connection) -> Result<Course, Box<Lost>> {
        self.reserves = lane.reserves();
        if self.pending.is_none() && !self.reserves {
            return Ok(Course::Over);
        }
        if let Some(pending) = &self.pending {
            connection.queue(&pending.command());
        }
        if self.reserves {
            connection.queue(&Command::ReserveWithTimeout {
                seconds: lane.shared.reserve_seconds,
            });
        }
        match connection.flush() {
            Err(error) => self.conclude(lane, Err(error))?,
            Ok(()) if self.pending.is_none() => {
                lane.begin_waiting();
                lane.enter(State::Idle, 0, None);
            }
            Ok(()) => {}
        }
        Ok(Course::On)
    }

    /// Waits for the answers and executes the job that comes.
    pub(super) fn hear_and_work(&mut self, lane: &Lane) -> Result<Course, Box<Lost>> {
        let heard = loop {
            if let Some(heard) = self.hear(lane, |connection| connection.receive().map(Some))? {
                break heard;
            }
        };
        self.follow(lane, heard)
    }

    /// Hears what has come, and executes the job if it has; tells and reserves then. `None` where answers are still to come.
    pub(super) fn advance(&mut self, lane: &Lane) -> Result<Option<Course>, Box<Lost>> {
        let Some(heard) = self.hear(lane, Connection::receive_now)? else {
            return Ok(None);
        };
        if self.follow(lane, heard)? == Course::Over {
            return Ok(Some(Course::Over));
        }
        let mut guard = lane.connection();
        let Some(connection) = guard.as_mut() else {
            return Ok(Some(Course::Over));
        };
        if self.send_over(lane, connection)? == Course::Over {
            return Ok(Some(Course::Over));
        }
        // An error is reported with the next reply.
        let _reported = connection.wait_outside();
        Ok(None)
    }

    /// Hears the answer about the last job, and then the one to the reserve; `None` where `receive` has none yet.
    fn hear(
        &mut self,
        lane: &Lane,
        receive: impl Fn(&mut Connection) -> Result<Option<Reply<'_>>, ConnectionError>,
    ) -> Result<Option<Heard>, Box<Lost>> {
        let mut guard = lane.connection();
        let Some(connection) = guard.as_mut() else {
            return Ok(Some(Heard::Last));
        };
        if self.pending.is_some() {
            let Some(reply) = receive(connection).transpose() else {
                return Ok(None);
            };
            self.conclude(lane, reply)?;
            if !self.reserves {
                return Ok(Some(Heard::Last));
            }
            lane.begin_waiting();
            // It mostly comes with the first answer, and then the slot is never idle.
            if let Some(reply) = connection.receive_read()? {
                return Ok(Some(receive_job(reply, &mut self.body)?));
            }
            lane.enter(State::Idle, 0, None);
        }
        match receive(connection)? {
            Some(reply) => Ok(Some(receive_job(reply, &mut self.body)?)),
            None => Ok(None),
        }
    }

    fn conclude(&mut self, lane: &Lane, reply: Result<Reply<'_>, ConnectionError>) -> Result<(), Box<Lost>> {
        let Some(pending) = self.pending.take() else {
            return reply.map(drop).map_err(Into::into);
        };
        let concluded = pending.conclude(lane, reply);
        concluded.map_err(|inconclusive| lost(*inconclusive, &mut self.body))?;
        lane.end_job();
        log::set_job(None);
        Ok(())
    }

    fn follow(&mut self, lane: &Lane, heard: Heard) -> Result<Course, Box<Lost>> {
        let id = match heard {
            Heard::Job(id) => id,
            Heard::Last => return Ok(Course::Over),
            Heard::Nothing => {
                lane.end_job();
                return Ok(Course::On);
            }
        };
        if !lane.begin_job(id) {
            info!(
                job = id.0,
                "reserved while going quiet: the queue server hands it out again"
            );
            return Ok(Course::Over);
        }
        self.pending = execute(lane, &lane.shared, id, &self.body);
        if lane.is_given_back() {
            // Whoever gives it back still writes the row and uses the connection.
            lane.errand().wait_until_over();
            return Ok(Course::Over);
        }
        if self.pending.is_none() {
            // Settled already, or not ours any more.
            lane.pen().settling();
            lane.end_job();
        }
        if lane.is_unusable() {
            self.conclude(lane, Err(ConnectionError::Broken))?;
        }
        Ok(Course::On)
    }
}

fn lost(inconclusive: Inconclusive, body: &mut Vec<u8>) -> Box<Lost> {
    let unsettled = inconclusive.left.map(|pending| Unsettled {
        pending,
        body: std::mem::take(body),
    });
    Box::new(Lost {
        error: inconclusive.error,
        unsettled,
    })
}

fn receive_job(reply: Reply<'_>, body: &mut Vec<u8>) -> Result<Heard, ConnectionError> {
    match reply {
        Reply::Reserved { id, body: bytes } => {
            body.clear();
            if bytes.len() <= BODY_KEPT {
                body.shrink_to(BODY_KEPT);
            }
            body.extend_from_slice(bytes);
            Ok(Heard::Job(id))
        }
        Reply::TimedOut => Ok(Heard::Nothing),
        Reply::DeadlineSoon => {
            debug!("the queue server says that a job of this connection is about to run out of time");
            Ok(Heard::Nothing)
        }
        Reply::Error(reply) => Err(ConnectionError::Server {
            command: Verb::ReserveWithTimeout,
            reply,
        }),
        // The connection has checked that the reply fits the command.
        _ => Err(ConnectionError::Broken),
    }
}
