//! What the queue server knows of the job in hand: asked at most once, by whoever needs it first.

use std::time::Duration;

use asynccall_client::{
    connection::{Connection, ConnectionError},
    protocol::JobId,
};

use super::tubes::Tubes;

/// What the queue server said of a job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Index of the logical tube; none where the job came from a tube that this pool does not name.
    pub(super) tube: Option<usize>,
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
    /// When the server takes the job back, in nanoseconds of the shared clock; counted from when the reservation or the last
    /// touch was heard of, so the server's own deadline is a little earlier.
    pub(super) deadline_ns: u64,
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

    /// The server has just been told that the job still runs.
    pub(super) fn touched(&mut self, job: JobId, now_ns: u64) {
        if let Some((known, Some(facts))) = &mut self.answer
            && *known == job
        {
            facts.deadline_ns = now_ns.saturating_add(nanoseconds(facts.ttr));
        }
    }
}

/// Asks for the facts of a job that was reserved at `reserved_ns`; `None` where the server does not know it.
pub(super) fn ask(
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
    Ok(Some(Facts {
        tube: tubes.index(stats.tube),
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        crashes,
        priority: stats.pri,
        age: Duration::from_secs(stats.age),
        ttr,
        deadline_ns: reserved_ns.saturating_add(nanoseconds(ttr)),
    }))
}

/// A span in the unit of the shared clock.
pub(super) fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
