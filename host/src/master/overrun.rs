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
use crate::ipc::row::{State, monotonic_ns};

/// How much longer than `max_runtime` and `cancel_grace` a worker is given.
const MARGIN: Duration = Duration::from_secs(5);
/// The longest time between two looks.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

impl Master {
    /// When overruns are looked for next; nothing where no pool has a limit.
    pub(super) fn next_overrun_look(&self) -> Option<Instant> {
        let pools = self
            .generations
            .values()
            .flat_map(|generation| &generation.config.pools);
        let limits = pools
            .map(|pool| pool.max_runtime)
            .filter(|limit| !limit.is_zero());
        let shortest = limits.min()?;
        Some(self.looked_for_overruns + (shortest + MARGIN).min(LONGEST_LOOK))
    }

    /// Kills the workers whose jobs are past every limit.
    pub(super) fn end_overruns(&mut self, now: Instant) {
        if self.next_overrun_look().is_none_or(|due| now < due) {
            return;
        }
        self.looked_for_overruns = now;
        for id in self.overrunning() {
            self.processes.kill_group(id);
        }
    }

    fn overrunning(&self) -> Vec<Id> {
        let now = monotonic_ns();
        let mut found = Vec::new();
        for (id, process) in self.processes.iter() {
            let generation = self.generations.get(&process.generation);
            let Some(pool) = generation.and_then(|generation| generation.pool(&process.pool)) else {
                continue;
            };
            if pool.max_runtime.is_zero() || process.exit.is_some() {
                continue;
            }
            let limit = pool.max_runtime + pool.cancel_grace + MARGIN;
            for row in self.processes.rows(process) {
                let activity = row.activity();
                let ran = Duration::from_nanos(now.saturating_sub(activity.progress_ns));
                if activity.state == State::Running && ran > limit {
                    // So that this slot is found at fault, and no other of the worker.
                    row.fault().store(SIGKILL as u32, Ordering::Release);
                    let (nr, pid, job) = (process.nr, process.pid, activity.job);
                    let generation = process.generation;
                    let text = "max_runtime is over and the worker does not see to it: killing";
                    error!(worker = nr, "gen" = generation, pid, job, limit = ?limit, "{text}");
                    found.push(id);
                }
            }
        }
        found.dedup();
        found
    }
}
