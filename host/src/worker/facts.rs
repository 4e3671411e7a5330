//! What the queue server knows of the job in hand: asked at most once, by whoever needs it first.
//!
//! Questions go over the job's own connection, by its slot, by other threads of
//! its handler, and by the worker's main thread. Whoever holds the connection
//! asks; what was answered is noted before the connection is free again, so
//! nobody asks twice.

use std::time::Duration;

use asynccall_client::{
    connection::{Connection, ConnectionError},
    protocol::JobId,
};
use tracing::warn;

use super::{lane::Lane, tubes::Tubes};
use crate::{ipc::row::monotonic_ns, observe::line::chain, policy};

/// What the queue server said of a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Index of the logical tube; none where the job came from a tube that this pool does not name.
    pub(super) tube: Option<usize>,
    /// Index of the tube's name among those that are watched.
    pub(super) wire: Option<usize>,
    /// 1 for the first try.
    pub(super) attempt: u32,
    /// How many reservations ended without any word: its worker died, or lost its connection.
    pub(super) crashes: u64,
    /// The job's priority.
    pub(super) priority: u32,
    /// Time since the job was put, when it was asked for.
    pub(super) age: Duration,
    /// How long the job may run without a touch.
    pub(super) ttr: Duration,
    /// When the server takes the job back, in nanoseconds of the shared clock: up to a second too late where a
    /// reservation was heard of late, else by the time that its reply was on its way; not too late after a touch.
    pub(super) deadline_ns: u64,
}

impl Facts {
    /// What the policy reads of them.
    pub(super) fn for_policy(&self, job: JobId) -> policy::Facts {
        policy::Facts {
            id: job.0,
            attempt: self.attempt,
            priority: self.priority,
        }
    }

    /// Whether half of the job's time is over.
    pub(super) fn wants_touch(&self, now_ns: u64) -> bool {
        now_ns >= self.deadline_ns.saturating_sub(nanoseconds(self.ttr) / 2)
    }
}

/// What is known of the job in hand.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    answer: Option<(JobId, Option<Facts>)>,
}

impl Knowledge {
    /// What is known of `job`: nothing yet, that it is lost, or its facts.
    pub(super) fn of(&self, job: JobId) -> Option<Option<Facts>> {
        self.answer
            .filter(|(known, _)| *known == job)
            .map(|(_, facts)| facts)
    }

    /// Keeps an answer; `None`: the job is not ours any more.
    pub(super) fn learn(&mut self, job: JobId, facts: Option<Facts>) {
        self.answer = Some((job, facts));
    }

    /// Forgets everything: the same id may come back as another try.
    pub(super) fn forget(&mut self) {
        self.answer = None;
    }

    /// The server has heard of a touch that was sent at `sent_ns`.
    pub(super) fn touched(&mut self, job: JobId, sent_ns: u64) {
        if let Some((known, Some(facts))) = &mut self.answer
            && *known == job
        {
            facts.deadline_ns = sent_ns.saturating_add(nanoseconds(facts.ttr));
        }
    }
}

impl Lane {
    /// Sends something about the job in hand over its own connection.
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&mut Connection) -> Result<T, ConnectionError>,
    ) -> Result<T, ConnectionError> {
        self.ask_over(self.connection().as_mut(), question)
    }

    fn ask_over<T>(
        &self,
        connection: Option<&mut Connection>,
        question: impl FnOnce(&mut Connection) -> Result<T, ConnectionError>,
    ) -> Result<T, ConnectionError> {
        let answer = connection.map_or(Err(ConnectionError::Broken), question);
        if answer.is_err() {
            self.give_up_connection();
        }
        answer
    }

    /// What the queue server knows of the job in hand; asks where nobody has. `None`: the job is lost.
    pub(super) fn facts(&self, job: JobId) -> Option<Facts> {
        if let Some(known) = self.known(job) {
            return known;
        }
        self.facts_over(self.connection().as_mut(), job)
    }

    /// The same, and nothing where the connection is in use, or the job is not in hand any more or being settled.
    pub(super) fn try_facts(&self, job: JobId) -> Option<Option<Facts>> {
        if let Some(known) = self.known(job) {
            return Some(known);
        }
        let mut guard = self.try_connection()?;
        // Whoever settles the job takes the connection after this check, so it cannot have been told of it yet.
        self.is_open(job).then(|| self.facts_over(guard.as_mut(), job))
    }

    /// What is known already, as [`Knowledge::of`] has it.
    pub(super) fn known(&self, job: JobId) -> Option<Option<Facts>> {
        self.knowledge().of(job)
    }

    /// The same over a connection that the caller holds.
    pub(super) fn facts_over(&self, connection: Option<&mut Connection>, job: JobId) -> Option<Facts> {
        if let Some(known) = self.known(job) {
            // Somebody has asked while we waited for the connection.
            return known;
        }
        let question =
            |connection: &mut Connection| ask(connection, job, &self.shared.tubes, self.reserved_ns());
        let facts = self.ask_over(connection, question).unwrap_or_else(|error| {
            let error = chain(&error);
            warn!(job = job.0, error, "cannot ask the queue server about the job");
            None
        });
        if let Some(index) = facts.and_then(|facts| facts.tube) {
            self.pen().learn_tube(job.0, index);
        }
        self.knowledge().learn(job, facts);
        facts
    }

    /// Asks the queue server for a fresh time to run. `false` where the job is not ours any more.
    pub(super) fn touch(&self, job: JobId) -> bool {
        let touched = self.touch_over(self.connection().as_mut(), job);
        touched.unwrap_or(false)
    }

    /// The same, and nothing where the connection is in use, or the job is not in hand any more or being settled.
    /// The handler of a job that is not ours any more is asked to give up.
    pub(super) fn try_touch(&self, job: JobId) -> Option<Result<bool, ConnectionError>> {
        let mut guard = self.try_connection()?;
        if !self.is_open(job) {
            return None;
        }
        let touched = self.touch_over(guard.as_mut(), job);
        if matches!(touched, Ok(false)) {
            // While the connection is held: without it the slot cannot go on to another job.
            self.knowledge().learn(job, None);
            self.cancel();
        }
        Some(touched)
    }

    fn touch_over(&self, connection: Option<&mut Connection>, job: JobId) -> Result<bool, ConnectionError> {
        // The server's deadline counts from when it hears of the touch, which is not before now.
        let sent_ns = monotonic_ns();
        let touched = self.ask_over(connection, |connection| connection.touch(job))?;
        if touched {
            self.knowledge().touched(job, sent_ns);
        }
        Ok(touched)
    }
}

/// Asks for the facts of a job whose reservation was heard of at `reserved_ns`; `None` where the server does not know it.
fn ask(
    connection: &mut Connection,
    job: JobId,
    tubes: &Tubes,
    reserved_ns: u64,
) -> Result<Option<Facts>, ConnectionError> {
    let Some(stats) = connection.stats_job(job)? else {
        return Ok(None);
    };
    // Reserves that neither a release, a time-out, a kick nor this reservation accounts for were crashes.
    let accounted = stats.timeouts + stats.releases + stats.kicks + 1;
    let crashes = stats.reserves.saturating_sub(accounted);
    let attempt = stats.releases + stats.timeouts + crashes + 1;
    let ttr = Duration::from_secs(stats.ttr);
    // The reply to the reserve may have lain unread for long. What the server says is left is cut to whole seconds.
    let left = Duration::from_secs(stats.time_left.saturating_add(1));
    let by_server_ns = monotonic_ns().saturating_add(nanoseconds(left));
    Ok(Some(Facts {
        tube: tubes.index(stats.tube),
        wire: tubes.wire_index(stats.tube),
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        crashes,
        priority: stats.pri,
        age: Duration::from_secs(stats.age),
        ttr,
        deadline_ns: reserved_ns.saturating_add(nanoseconds(ttr)).min(by_server_ns),
    }))
}

/// A span in the unit of the shared clock.
pub(super) fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
