//! Whether a job that was just reserved may be executed at all.
//!
//! beanstalkd hands the job of a dead worker to the next waiting slot within a
//! fraction of a millisecond. Executed at once, a job that takes workers down
//! would take down one after the other. So a slot first looks whether the job
//! still counts as running elsewhere, or is under suspicion, and then serves
//! the delay or the burial instead of executing it.

use asynccall_client::protocol::JobId;

use super::{Shared, lane::Lane};
use crate::{
    ipc::{scoreboard::Predecessor, suspects::Sentence},
    policy::{self, Disposition, Facts},
};

/// What is to become of the job instead of executing it, with its priority; `None`: it may be executed.
pub(super) fn heed(lane: &Lane, shared: &Shared, id: JobId) -> Option<Heeded> {
    let unfinished = shared.scoreboard.predecessor(id.0, lane.row_index()) == Some(Predecessor::Unfinished);
    let suspect = shared.scoreboard.suspects().find(id.0);
    let sentence = suspect.map(|suspect| suspect.sentence);
    let deaths = suspect.map_or(0, |suspect| suspect.deaths);
    let (deaths, condemned) = match sentence {
        Some(Sentence::Bury) => (deaths, true),
        Some(Sentence::Delay) => (deaths, false),
        // The master has not heard of this death yet.
        _ if unfinished => (deaths + 1, false),
        Some(Sentence::Served) => (deaths, false),
        None => return None,
    };
    let Some(known) = lane.facts(id) else {
        return Some(Heeded::Lost);
    };
    if !unfinished && known.crashes == 0 {
        // Another job of the same id: the server counts from 1 again after a restart without a binlog.
        shared.scoreboard.suspects().remove(id.0);
        return None;
    }
    if !unfinished && sentence == Some(Sentence::Served) {
        return None;
    }
    let facts = Facts {
        id: id.0,
        attempt: known.attempt,
        priority: known.priority,
    };
    let disposition = policy::after_deaths(deaths, condemned, facts, &shared.retry);
    Some(Heeded::Instead {
        disposition,
        priority: known.priority,
    })
}

/// What becomes of a job that is not executed.
pub(super) enum Heeded {
    /// The queue server does not know it, or cannot be asked.
    Lost,
    /// This.
    Instead {
        /// Released with a delay, or buried.
        disposition: Disposition,
        /// The job's priority.
        priority: u32,
    },
}
