//! Giving back a job whose handler still runs: the one settlement that is not the slot's own.
//!
//! Once the job is claimed the slot settles nothing; the connection is free, or
//! will be in a moment, because no reserve waits while a job runs.

use std::{
    sync::MutexGuard,
    thread,
    time::{Duration, Instant},
};

use asynccall_client::{connection::Connection, payload::RetryFields, protocol::JobId};
use jiff::Zoned;

use super::{
    execute::identify,
    facts::Facts,
    lane::{Lane, Settler},
    settle::{Answer, DELETED_BEFORE, Pending, Purpose},
};
use crate::{
    ipc::row::State,
    observe::log,
    policy::{self, Action, Disposition, Failure},
};

/// How long the handler may keep the connection busy.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why a job is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The worker has to leave at once: it is no fault of the job.
    Leaving,
    /// The job ran longer than `max_runtime`.
    TimedOut,
    /// The worker holds more memory than `memory_hard`, and runs nothing but this job.
    Memory,
    /// The same, and any of several jobs may have taken it.
    SharedMemory,
}

impl Why {
    fn outcome(self) -> &'static str {
        match self {
            Why::Leaving | Why::SharedMemory => "unfinished",
            Why::TimedOut => "timed_out",
            Why::Memory => "out_of_memory",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Why::Leaving => "the worker has to leave at once",
            Why::TimedOut => "max_runtime is over",
            Why::Memory => "memory_hard is reached",
            Why::SharedMemory => "memory_hard is reached by one of several jobs",
        }
    }

    fn blames_the_job(self) -> bool {
        matches!(self, Why::TimedOut | Why::Memory)
    }
}

/// Settles the job in hand with its own priority, unless its slot has begun to settle it.
///
/// Waits for the queue server: an [errand](super::errand).
pub(super) fn give_back(lane: &Lane, why: Why) {
    let deleted = lane.claim_deleted(Settler::Keeper);
    if !deleted && !lane.claim(Settler::Keeper) {
        return;
    }
    // Not before: a handler that gives up at once has not failed.
    lane.cancel();
    let (id, started_ns) = (lane.job(), lane.row().activity().since_ns);
    log::set_job(Some(identify(lane, id)));
    // Whatever comes of it, its worker does not die of it: before the master looks.
    lane.enter(State::Away, 0, None);
    let answer = Answer::without_handler(why.outcome(), started_ns);
    match why.blames_the_job() {
        true => lane.row().count_failed(),
        false => lane.not_running(),
    }
    if why == Why::TimedOut {
        lane.shared.note_outcome(lane, Some(why.reason()));
    }
    if deleted {
        return answer.log(DELETED_BEFORE, None, why.reason());
    }
    settle(lane, id, why, answer);
}

fn settle(lane: &Lane, id: JobId, why: Why, answer: Answer) {
    let mut guard = free_connection(lane);
    let Some(connection) = guard.as_mut().and_then(|guard| guard.as_mut()) else {
        // It goes back by itself when the process ends.
        return answer.log("unknown", None, "its connection is gone, or its handler holds it");
    };
    let Some(facts) = lane.facts_over(Some(connection), id) else {
        return answer.log_lost(lane);
    };
    let (disposition, purpose) = decide(lane, id, &facts, why);
    let pending = Pending::new(id, disposition, facts.priority, purpose, answer);
    let command = pending.command();
    if pending.delay() == Some(0) {
        // Before a slot can get it that would find it running here.
        lane.not_running();
    }
    if let Err(inconclusive) = pending.conclude(lane, connection.call(&command)) {
        lane.give_up_connection();
        if let Some(pending) = inconclusive.left {
            pending.log_unknown("the connection was lost before the answer");
        }
        return;
    }
    // Not before: a release that is lost with its connection leaves the mark to make up for the delay.
    lane.not_running();
}

fn free_connection(lane: &Lane) -> Option<MutexGuard<'_, Option<Connection>>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lane.try_connection() {
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            connection => return connection,
        }
    }
}

/// A job that is at fault is retried and buried like one that failed; another goes back as if nothing had happened, but
/// for a delay where it may have been the one.
fn decide(lane: &Lane, id: JobId, facts: &Facts, why: Why) -> (Disposition, Purpose) {
    let asked = lane.uncounted(id);
    let facts = facts.for_policy(id);
    let counted = policy::Facts {
        attempt: facts.attempt.saturating_sub(asked),
        ..facts
    };
    let (decided, purpose) = match why {
        Why::Leaving => (None, Purpose::NoAttempt),
        Why::SharedMemory => (
            Some(policy::without_proof(facts, lane.retry())),
            Purpose::NoAttempt,
        ),
        Why::TimedOut | Why::Memory => {
            let (failure, message) = (Failure::TimedOut, RetryFields::default());
            let decided = policy::decide(failure, counted, &message, lane.retry(), &Zoned::now());
            (Some(decided), Purpose::Attempt)
        }
    };
    let disposition = match decided {
        None => Disposition::new(Action::Release { delay: 0 }, why.reason()),
        Some(Disposition { action, reason, .. }) => {
            Disposition::new(action, format!("{}; {reason}", why.reason()))
        }
    };
    (disposition, purpose)
}
