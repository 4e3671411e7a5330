//! Giving back a job whose handler still runs: the one settlement that is not the slot's own.
//!
//! Once the job is claimed the slot settles nothing; the connection is free, or
//! will be in a moment, because no reserve waits while a job runs.

use std::{
    borrow::Cow,
    sync::MutexGuard,
    thread,
    time::{Duration, Instant},
};

use asynccall_client::{
    connection::{Connection, ConnectionError, Released},
    payload::RetryFields,
    protocol::JobId,
};
use jiff::Zoned;
use tracing::{field::display, warn};

use super::{
    facts::Facts,
    lane::{Lane, Settler},
};
use crate::{
    ipc::row::State,
    observe::line::chain,
    policy::{self, Action, Failure},
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
    /// The worker holds more memory than `memory_hard`.
    Memory,
}

impl Why {
    fn outcome(self) -> &'static str {
        match self {
            Why::Leaving => "unfinished",
            Why::TimedOut => "timed_out",
            Why::Memory => "out_of_memory",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Why::Leaving => "the worker has to leave at once",
            Why::TimedOut => "max_runtime is over",
            Why::Memory => "memory_hard is reached",
        }
    }
}

/// Settles the job in hand with its own priority, unless its slot has begun to settle it.
///
/// Waits for the queue server: an [errand](super::errand).
pub(super) fn give_back(lane: &Lane, why: Why) {
    if !lane.claim(Settler::Keeper) {
        return;
    }
    let (id, outcome) = (lane.job(), why.outcome());
    // Whatever comes of it, the job runs no longer, and its worker does not die of it: before the queue server
    // can hand it to a slot that would find it here, and before the master looks.
    lane.not_running();
    lane.enter(State::Away, 0, None);
    let Some(mut guard) = free_connection(lane) else {
        // It goes back by itself when the process ends.
        return warn!(
            job = id.0,
            outcome,
            settled = "unknown",
            "the handler holds the connection"
        );
    };
    let Some(connection) = guard.as_mut() else {
        return warn!(job = id.0, outcome, settled = "unknown", "the connection is gone");
    };
    let Some(facts) = lane.facts_over(Some(connection), id) else {
        return match lane.is_unusable() {
            true => warn!(
                job = id.0,
                outcome,
                settled = "unknown",
                "cannot ask about the job"
            ),
            false => warn!(
                job = id.0,
                outcome,
                settled = "lost",
                "the job is not ours any more"
            ),
        };
    };
    let (action, reason) = decide(lane, id, &facts, why);
    let settled = settle(connection, id, facts.priority, action);
    match settled {
        Ok(Some(settled)) => {
            count(lane, id, settled, why);
            let delay = match action {
                Action::Release { delay } => Some(display(format!("{delay}s"))),
                _ => None,
            };
            warn!(job = id.0, outcome, settled, delay, reason = &*reason);
        }
        Ok(None) => warn!(
            job = id.0,
            outcome,
            settled = "lost",
            "the job is not ours any more"
        ),
        Err(error) => {
            let error = chain(&error);
            warn!(
                job = id.0,
                outcome,
                settled = "unknown",
                error,
                "cannot give the job back"
            );
        }
    }
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

/// A job that is at fault is retried and buried like one that failed; another goes back as if nothing had happened.
fn decide(lane: &Lane, id: JobId, facts: &Facts, why: Why) -> (Action, Cow<'static, str>) {
    if why == Why::Leaving {
        return (Action::Release { delay: 0 }, why.reason().into());
    }
    let facts = policy::Facts {
        id: id.0,
        attempt: facts.attempt.saturating_sub(lane.delays().count(id.0)),
        priority: facts.priority,
    };
    let message = RetryFields::default();
    let disposition = policy::decide(Failure::TimedOut, facts, &message, lane.retry(), &Zoned::now());
    (
        disposition.action,
        format!("{}; {}", why.reason(), disposition.reason).into(),
    )
}

/// Tells the queue server; the name of what was done, or nothing where it does not know the job.
fn settle(
    connection: &mut Connection,
    id: JobId,
    priority: u32,
    action: Action,
) -> Result<Option<&'static str>, ConnectionError> {
    Ok(match action {
        Action::Release { delay } => match connection.release(id, priority, delay)? {
            Released::NotFound => None,
            Released::Released => Some("release"),
            Released::Buried => Some("bury"),
        },
        Action::Bury => connection.bury(id, priority)?.then_some("bury"),
        Action::Delete => connection.delete(id)?.then_some("delete"),
    })
}

fn count(lane: &Lane, id: JobId, settled: &str, why: Why) {
    match settled {
        "release" => lane.row().count_released(),
        "bury" => {
            lane.row().count_buried();
            lane.forget(id);
        }
        _ => {
            lane.row().count_done();
            lane.forget(id);
        }
    }
    if why != Why::Leaving {
        lane.row().count_failed();
    }
}
