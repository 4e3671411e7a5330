//! Many puts over one connection: what to send next, and which job every answer is about. No I/O.
//!
//! ```text
//! waiting ──next()──▶ sent ──answer()──▶ settled
//!    ▲                  │
//!    └─lose(), again────┘  remembers that it may be there already
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use crate::connection::{ConnectionError, PutError, put_result};
use crate::producer::Put;
use crate::protocol::{Command, JobId, Reply};

/// How many puts may be without an answer. An answer has at most 30 bytes, so all of them fit into any socket's
/// buffers, and the server never has to stop reading because nobody reads its answers.
const WINDOW: usize = 128;
/// How many bytes of bodies are gathered for one write, unless a single body has more.
const GATHERED_BYTES: usize = 256 * 1024;

/// The jobs of one batch.
pub(crate) struct Batch<'j> {
    jobs: &'j [Put<'j>],
    states: Vec<State>,
    /// No job before this one waits to be sent.
    next: usize,
    in_flight: VecDeque<usize>,
    /// How many bytes may still be gathered before the next answer; `None` while answers are awaited first.
    room: Option<usize>,
}

enum State {
    /// To be sent. With the loss of a connection on which it was sent before: it may be in the queue already.
    Waiting(Option<Arc<ConnectionError>>),
    Sent(Option<Arc<ConnectionError>>),
    Settled(Result<JobId, PutError>),
}

impl<'j> Batch<'j> {
    pub(crate) fn new(jobs: &'j [Put<'j>]) -> Batch<'j> {
        let state = |job: &Put<'_>| match job.command() {
            Ok(_) => State::Waiting(None),
            Err(error) => State::Settled(Err(error.into())),
        };
        Batch {
            jobs,
            states: jobs.iter().map(state).collect(),
            next: 0,
            in_flight: VecDeque::new(),
            room: None,
        }
    }

    /// The next put to queue; `None` where answers have to be awaited first, or nothing is left.
    pub(crate) fn next(&mut self) -> Option<Command<'j>> {
        if self.room.is_none() && self.in_flight.len() <= WINDOW / 2 {
            self.room = Some(GATHERED_BYTES);
        }
        let room = self.room?;
        if self.in_flight.len() == WINDOW || room == 0 {
            self.room = None;
            return None;
        }
        let waiting = |state: &State| matches!(state, State::Waiting(_));
        let index = self.next + self.states.get(self.next..)?.iter().position(waiting)?;
        self.next = index + 1;
        let (job, state) = (self.jobs.get(index)?, self.states.get_mut(index)?);
        let command = job.command().ok()?;
        if let State::Waiting(lost) = state {
            *state = State::Sent(lost.take());
        }
        self.in_flight.push_back(index);
        self.room = Some(room.saturating_sub(job.body.len()));
        Some(command)
    }

    /// Whether puts have no answer yet.
    pub(crate) fn awaits_answers(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Whether every job has its result.
    pub(crate) fn is_settled(&self) -> bool {
        self.states.iter().all(|state| matches!(state, State::Settled(_)))
    }

    /// The answer to the oldest put without one.
    pub(crate) fn answer(&mut self, reply: &Reply<'_>) {
        let Some(index) = self.in_flight.pop_front() else {
            return;
        };
        let (Some(job), Some(state)) = (self.jobs.get(index), self.states.get_mut(index)) else {
            return;
        };
        let result = put_result(reply, job.body.len());
        *state = State::Settled(match (result, &*state) {
            (Ok(id), _) => Ok(id),
            // That this one was refused does not say that the first one was.
            (Err(_), State::Sent(Some(lost))) => Err(PutError::Unknown { source: lost.clone() }),
            (Err(error), _) => Err(error),
        });
    }

    /// The connection is lost, or there never was one. `again`: there will be another one, for what has no answer.
    pub(crate) fn lose(&mut self, error: ConnectionError, again: bool) {
        let error = Arc::new(error);
        self.in_flight.clear();
        self.room = None;
        self.next = 0;
        for state in &mut self.states {
            let lost = match state {
                State::Settled(_) => continue,
                State::Waiting(lost) => lost.take(),
                State::Sent(lost) => Some(lost.take().unwrap_or_else(|| error.clone())),
            };
            *state = match (again, lost) {
                (true, lost) => State::Waiting(lost),
                (false, Some(source)) => State::Settled(Err(PutError::Unknown { source })),
                (false, None) => State::Settled(Err(PutError::NotPut {
                    source: error.clone(),
                })),
            };
        }
    }

    /// Whether a job was too big for a limit that nobody knows yet.
    pub(crate) fn wants_limit(&self) -> bool {
        let wants = |state: &State| {
            matches!(
                state,
                State::Settled(Err(PutError::JobTooBig { limit: None, .. }))
            )
        };
        self.states.iter().any(wants)
    }

    /// The server's largest job in bytes, for the errors about it.
    pub(crate) fn tell_limit(&mut self, found: Option<u64>) {
        for state in &mut self.states {
            if let State::Settled(Err(PutError::JobTooBig { limit, .. })) = state {
                *limit = found;
            }
        }
    }

    /// One result for each job.
    pub(crate) fn into_results(self) -> Vec<Result<JobId, PutError>> {
        let result = |state| match state {
            State::Settled(result) => result,
            // Not reached: a batch is driven until it is settled.
            State::Waiting(_) | State::Sent(_) => Err(ConnectionError::Broken.into()),
        };
        self.states.into_iter().map(result).collect()
    }
}
