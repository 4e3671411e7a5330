//! Settling: what the queue server is told of a job, and what is counted, remembered and logged of its answer.
//!
//! Whoever has claimed a job settles it, once, by a [`Pending`]. There are four
//! ways to the queue server, and all of them end in [`Pending::settled`]:
//!
//! - the slot, in one write with its next reserve ([`super::slot`]),
//! - the slot, before the handler of a job that runs at most once ([`super::execute`]),
//! - the slot, on its next connection, for a delete that was lost with the last ([`super::recover`]),
//! - somebody for a handler that does not end ([`super::give_back`]).

use std::borrow::Cow;

use asynccall_abi::outcome::{Outcome, Verdict};
use asynccall_client::{
    connection::ConnectionError,
    protocol::{Command, JobId, Reply},
};
use tracing::{debug, field::display, info, warn};

use super::lane::Lane;
use crate::{
    ipc::row::monotonic_ns,
    isolation::hint::Hints,
    observe::log,
    policy::{Action, Disposition},
};

/// A decision that the queue server has not heard of yet.
pub(super) struct Pending {
    id: JobId,
    action: Action,
    priority: u32,
    reason: Cow<'static, str>,
    purpose: Purpose,
    answer: Answer,
}

/// What a release is to the tries that the job has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One of them is over.
    Attempt,
    /// None is: its handler asked for the delay, or it ended for no fault of the job's.
    NoAttempt,
    /// It serves the delay of a job under suspicion.
    ServesDelay,
}

/// What the queue server has done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Deleted,
    Released,
    Buried,
}

impl Settled {
    fn name(self) -> &'static str {
        match self {
            Settled::Deleted => "delete",
            Settled::Released => "release",
            Settled::Buried => "bury",
        }
    }
}

/// A settlement whose connection is of no more use.
pub(super) struct Inconclusive {
    /// What is wrong with the connection.
    pub(super) error: ConnectionError,
    /// The decision, where the job is done and nobody knows whether the queue server knows.
    pub(super) left: Option<Pending>,
}

impl Pending {
    /// What was decided, and for which answer.
    pub(super) fn new(
        id: JobId,
        disposition: Disposition,
        priority: u32,
        purpose: Purpose,
        mut answer: Answer,
    ) -> Pending {
        let Disposition {
            action,
            reason,
            stop_at,
        } = disposition;
        answer.stop_at = stop_at;
        Pending {
            id,
            action,
            priority,
            reason,
            purpose,
            answer,
        }
    }

    /// The end of a job for which there is nothing more to do.
    pub(super) fn delete(id: JobId, answer: Answer) -> Pending {
        let disposition = Disposition::new(Action::Delete, "");
        Pending::new(id, disposition, 0, Purpose::Attempt, answer)
    }

    /// What the queue server is to be told.
    pub(super) fn command(&self) -> Command<'static> {
        let Pending {
            id, priority: pri, ..
        } = *self;
        match self.action {
            Action::Delete => Command::Delete(id),
            Action::Release { delay } => Command::Release { id, pri, delay },
            Action::Bury => Command::Bury { id, pri },
        }
    }

    /// The job's id.
    pub(super) fn id(&self) -> JobId {
        self.id
    }

    /// When its handler began, in nanoseconds of the shared clock.
    pub(super) fn started_ns(&self) -> u64 {
        self.answer.started_ns
    }

    /// The delay after which the job is handed out again, in seconds.
    pub(super) fn delay(&self) -> Option<u32> {
        match self.action {
            Action::Release { delay } => Some(delay),
            _ => None,
        }
    }

    /// Counts what the queue server has answered, and forgets what was remembered of the job until then.
    ///
    /// `None`: the job was not ours any more.
    pub(super) fn settled(
        &self,
        lane: &Lane,
        reply: Result<Reply<'_>, ConnectionError>,
    ) -> Result<Option<Settled>, ConnectionError> {
        let settled = match reply? {
            Reply::Deleted => Settled::Deleted,
            Reply::Released => Settled::Released,
            Reply::Buried(_) => Settled::Buried,
            Reply::NotFound => return Ok(None),
            Reply::Error(reply) => {
                let command = self.command().verb();
                return Err(ConnectionError::Server { command, reply });
            }
            // The connection has checked that the reply fits the command.
            _ => return Err(ConnectionError::Broken),
        };
        self.account(lane, settled);
        Ok(Some(settled))
    }

    fn account(&self, lane: &Lane, settled: Settled) {
        match settled {
            Settled::Deleted => lane.row().count_done(),
            Settled::Buried => lane.row().count_buried(),
            Settled::Released => lane.row().count_released(),
        }
        match (settled, self.purpose) {
            (Settled::Deleted | Settled::Buried, _) => lane.forget(self.id),
            (Settled::Released, Purpose::Attempt) => {}
            (Settled::Released, Purpose::NoAttempt) => lane.leave_uncounted(self.id),
            (Settled::Released, Purpose::ServesDelay) => lane.delay_served(self.id),
        }
    }

    /// Counts and logs what the queue server answered.
    pub(super) fn conclude(
        self,
        lane: &Lane,
        reply: Result<Reply<'_>, ConnectionError>,
    ) -> Result<(), Box<Inconclusive>> {
        let error = match self.settled(lane, reply) {
            Ok(Some(settled)) => {
                let full = "the queue server had no memory to release it";
                let (delay, reason) = match (settled, self.delay()) {
                    (Settled::Released, delay) => (delay, &*self.reason),
                    (_, Some(_)) => (None, full),
                    (_, None) => (None, &*self.reason),
                };
                self.answer.log(settled.name(), delay, reason);
                return Ok(());
            }
            Ok(None) => {
                let reason = "its time to run was over, or somebody else deleted it";
                self.answer.log("lost", None, reason);
                return Ok(());
            }
            Err(error) => error,
        };
        let left = match &error {
            ConnectionError::Server { reply, .. } => {
                self.log_unknown(&reply.to_string());
                None
            }
            // Done, but nobody knows whether the queue server does: looked after on the next connection.
            _ if self.action == Action::Delete => Some(self),
            _ => {
                self.log_unknown("the connection was lost before the answer");
                None
            }
        };
        Err(Box::new(Inconclusive { error, left }))
    }

    /// The job is found to be deleted, although the answer was lost.
    pub(super) fn is_deleted(&self, lane: &Lane) {
        self.account(lane, Settled::Deleted);
    }

    /// The log line of a settlement of which nobody knows whether it has arrived.
    pub(super) fn log_unknown(&self, reason: &str) {
        self.answer.log("unknown", None, reason);
    }
}

/// How a handler ended, or why it was not waited for; for the log.
pub(super) struct Answer {
    label: &'static str,
    failed: bool,
    error: String,
    result: Vec<u8>,
    /// The end that the message named for its retries, where that is over.
    stop_at: Option<String>,
    started_ns: u64,
}

/// In the log: the job was deleted before its handler began.
pub(super) const DELETED_BEFORE: &str = "deleted_before_running";

/// The name of a verdict in the log.
pub(super) fn label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::DONE => "done",
        Verdict::BURY => "bury",
        Verdict::FAILED => "failed",
        Verdict::EXCEPTION => "exception",
        _ => "retry",
    }
}

impl Answer {
    /// The handler's words, where the job counts as failed.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.then_some(&self.error)
    }

    /// What a handler answered that began at `started_ns`.
    pub(super) fn of(outcome: Outcome, started_ns: u64, hints: &Hints) -> Answer {
        let mut error: String = outcome.message.into();
        if let Some(hint) = hints.to(&error) {
            error = format!("{error}; hint: {hint}");
        }
        Answer {
            label: label(outcome.verdict),
            failed: matches!(outcome.verdict, Verdict::FAILED | Verdict::EXCEPTION),
            error,
            result: outcome.result.into(),
            stop_at: None,
            started_ns,
        }
    }

    /// What stands for the answer of a handler that has not begun, or does not end.
    pub(super) fn without_handler(label: &'static str, started_ns: u64) -> Answer {
        Answer {
            label,
            failed: false,
            error: String::new(),
            result: Vec::new(),
            stop_at: None,
            started_ns,
        }
    }

    /// One log line for the job's end: where all went well at debug, or at info where the PHP library's lines are
    /// wanted; else a warning with the reason.
    pub(super) fn log(&self, settled: &str, delay: Option<u32>, reason: &str) {
        let outcome = self.label;
        if outcome == "done" && matches!(settled, "delete" | DELETED_BEFORE) {
            let ms = || monotonic_ns().saturating_sub(self.started_ns) / 1_000_000;
            let result = || String::from_utf8_lossy(&self.result);
            match log::wants_bodies() {
                true => info!(outcome, settled, ms = ms(), result = %result()),
                false => debug!(outcome, settled, ms = ms(), result = %result()),
            }
            return;
        }
        let delay = delay.map(|seconds| display(format!("{seconds}s")));
        let error = Some(self.error.as_str()).filter(|error| !error.is_empty());
        let stop_at = self.stop_at.as_deref();
        warn!(outcome, settled, delay, reason, stop_at, error);
    }

    /// The log line of a job that can be settled no more.
    pub(super) fn log_lost(&self, lane: &Lane) {
        match lane.is_unusable() {
            true => self.log(
                "unknown",
                None,
                "the connection was lost: the queue server hands the job out again",
            ),
            false => self.log("lost", None, "the job is not ours any more"),
        }
    }

    /// The log line of a job that was deleted before its handler began.
    pub(super) fn log_settled_before(&self) {
        let reason = "the message asks to run at most once (noRetry)";
        self.log(DELETED_BEFORE, None, reason);
    }
}
