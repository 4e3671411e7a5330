//! Jobs that run too long in workers that do not see to it themselves.
//!
//! A worker ends its own overruns, by its main thread. One that was stopped, or
//! whose main thread hangs, does not: the master sees it on the scoreboard and
//! kills it. The job is to blame like one that took its worker down.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use nix::libc::SIGKILL;
use tracing::error;

use super::{Master, children::Id};
use crate::{
    config::Pool,
    ipc::row::{State, monotonic_ns},
};

/// How much longer than `max_runtime` and `cancel_grace` a worker is given.
const MARGIN: Duration = Duration::from_secs(5);

/// How long a job of the pool may run before its worker is killed; nothing where there is no limit.
fn limit(pool: &Pool) -> Option<Duration> {
    let limited = !pool.max_runtime.is_zero();
    limited.then(|| pool.max_runtime + pool.cancel_grace + MARGIN)
}

/// When to look.
///
/// The master is not told that jobs begin, and does not have to be: one that begins after a look is overdue no
/// earlier than a whole limit later. So an idle master looks once per limit (an hour with the default), and
/// one whose workers are busy when the first of the jobs seen running would be overdue.
pub(super) struct Looks {
    last: Instant,
    /// When the first of the jobs that ran at the last look is overdue.
    first_overdue: Option<Instant>,
}

impl Looks {
    pub(super) fn new(now: Instant) -> Looks {
        Looks {
            last: now,
            first_overdue: None,
        }
    }

    /// A job is overdue then, where it still runs.
    fn seen_running(&mut self, overdue: Option<Instant>) {
        self.first_overdue = self.first_overdue.into_iter().chain(overdue).min();
    }

    fn next(&self, shortest_limit: Option<Duration>) -> Option<Instant> {
        let unseen = self.last.checked_add(shortest_limit?);
        self.first_overdue.into_iter().chain(unseen).min()
    }
}

impl Master {
    /// When overruns are looked for next; nothing where no pool has a limit.
    pub(super) fn next_overrun_look(&self) -> Option<Instant> {
        let generations = self.generations.values();
        let pools = generations.flat_map(|generation| &generation.config.pools);
        self.overruns.next(pools.filter_map(limit).min())
    }

    /// Kills the workers whose jobs are past every limit.
    pub(super) fn end_overruns(&mut self, now: Instant) {
        if self.next_overrun_look().is_none_or(|due| now < due) {
            return;
        }
        self.overruns = Looks::new(now);
        for id in self.overrunning(now) {
            self.processes.kill_group(id);
        }
    }

    fn overrunning(&mut self, now: Instant) -> Vec<Id> {
        let now_ns = monotonic_ns();
        let mut found = Vec::new();
        for (id, process) in self.processes.iter() {
            let generation = self.generations.get(&process.generation);
            let pool = generation.and_then(|generation| generation.pool(&process.pool));
            let Some(limit) = pool.and_then(limit).filter(|_| process.exit.is_none()) else {
                continue;
            };
            for row in self.processes.rows(process) {
                let activity = row.activity();
                let ran = Duration::from_nanos(now_ns.saturating_sub(activity.progress_ns));
                if activity.state != State::Running {
                    continue;
                }
                if let Some(left) = limit.checked_sub(ran).filter(|left| !left.is_zero()) {
                    self.overruns.seen_running(now.checked_add(left));
                    continue;
                }
                // So that this slot is found at fault, and no other of the worker.
                row.fault().store(SIGKILL as u32, Ordering::Release);
                let (nr, pid, job) = (process.nr, process.pid, activity.job);
                let generation = process.generation;
                let text = "max_runtime is over and the worker does not see to it: killing";
                error!(worker = nr, "gen" = generation, pid, job, limit = ?limit, "{text}");
                found.push(id);
            }
        }
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn an_idle_master_looks_once_per_limit_and_never_without_one() {
        let now = Instant::now();
        let looks = Looks::new(now);
        assert_eq!(looks.next(Some(HOUR)), Some(now + HOUR));
        assert_eq!(looks.next(None), None);
    }

    #[test]
    fn a_look_comes_when_the_first_of_the_jobs_seen_running_is_overdue() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        for minutes in [50, 20, 30] {
            looks.seen_running(Some(now + Duration::from_secs(60 * minutes)));
        }
        assert_eq!(looks.next(Some(HOUR)), Some(now + Duration::from_secs(60 * 20)));
        assert_eq!(
            looks.next(Some(Duration::from_secs(60))),
            Some(now + Duration::from_secs(60)),
            "a reload has brought a shorter limit"
        );
    }
}
