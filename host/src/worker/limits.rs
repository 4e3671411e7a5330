//! When a worker has done enough: limits of jobs, age and memory.
//!
//! A worker that reaches a limit asks for a successor and goes on until that is
//! ready. Only the hard memory limit ends it at once: what runs is given back,
//! and charged for it where it is one job only. Of several nobody can tell which
//! one took the memory.
//! Nothing ticks for a limit that is not set. Memory is read at most once a `cron`, however often the worker wakes,
//! and its proportional size at most once a second: the kernel walks all page tables for that.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use tracing::{error, warn};

use super::{give_back::Why, keeper::Keeper};
use crate::{
    config::{MemoryMeasure, Pool},
    exit::Exit,
    ipc::{Retirement, ToMaster},
};

/// The shortest time between two looks at the proportional size.
const PSS_PERIOD: Duration = Duration::from_secs(1);

/// More than the kernel writes of a process, in bytes: one line or some thirty.
const LONGEST_TEXT: usize = 4096;

/// The limits of one worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Jobs; 0: never.
    pub(super) max_request: u64,
    /// The age before which `max_request` counts for nothing.
    pub(super) min_lifetime: Duration,
    /// Age; zero: never.
    pub(super) max_age: Duration,
    /// Memory in bytes at which a successor is asked for; 0: none.
    pub(super) memory_soft: u64,
    /// Memory in bytes at which the worker ends at once; 0: none.
    pub(super) memory_hard: u64,
    /// How often memory is looked at, and the grain of waits.
    pub(super) cron: Duration,
}

impl Limits {
    /// Those of a pool, for one worker of it.
    pub(super) fn of(pool: &Pool) -> Limits {
        const MIB: u64 = 1024 * 1024;
        Limits {
            max_request: with_jitter(pool.max_request),
            min_lifetime: pool.min_lifetime,
            max_age: Duration::from_secs(with_jitter(pool.max_age.as_secs())),
            memory_soft: pool.memory_soft * MIB,
            memory_hard: pool.memory_hard * MIB,
            cron: pool.cron,
        }
    }

    fn minds_memory(&self) -> bool {
        self.memory_soft > 0 || self.memory_hard > 0
    }
}

/// What this process holds, as the kernel tells it in a file.
pub(super) struct Gauge {
    measure: MemoryMeasure,
    /// `None` where nobody minds, or the kernel does not tell, as without /proc.
    file: Option<File>,
}

impl Gauge {
    /// Opens the file, which an isolated worker cannot do any more; not where the pool has no limit of memory.
    pub(super) fn of(pool: &Pool) -> Gauge {
        let measure = pool.memory_measure;
        let wanted = pool.memory_soft > 0 || pool.memory_hard > 0;
        Gauge {
            measure,
            file: wanted.then(|| File::open(path(measure)).ok()).flatten(),
        }
    }

    /// In bytes; 0 where it cannot be told.
    pub(super) fn read(&self) -> u64 {
        let Some(file) = &self.file else { return 0 };
        // From the beginning, where the kernel takes the measure anew.
        let mut text = [0; LONGEST_TEXT];
        let told = file.read_at(&mut text, 0).ok().and_then(|length| {
            let text = std::str::from_utf8(text.get(..length)?).ok()?;
            match self.measure {
                MemoryMeasure::Rss => resident(text),
                MemoryMeasure::Pss => pss(text),
            }
        });
        told.unwrap_or(0)
    }

    /// The shortest time between two readings.
    fn period(&self, cron: Duration) -> Duration {
        match self.measure {
            MemoryMeasure::Rss => cron,
            MemoryMeasure::Pss => cron.max(PSS_PERIOD),
        }
    }
}

/// Up to a tenth more, so that workers which began together are not replaced together.
fn with_jitter(limit: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    limit + RandomState::new().hash_one(limit) % (limit / 10 + 1)
}

fn path(measure: MemoryMeasure) -> &'static str {
    match measure {
        MemoryMeasure::Rss => "/proc/self/statm",
        MemoryMeasure::Pss => "/proc/self/smaps_rollup",
    }
}

/// The resident memory of such a text (proc_pid_statm(5)), in bytes.
fn resident(statm: &str) -> Option<u64> {
    /// The size of a page on every platform that the abi supports.
    const PAGE: u64 = 4096;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * PAGE)
}

/// The memory with shared pages in part (proc_pid_smaps(5)), in bytes.
fn pss(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib * 1024)
}

impl Keeper {
    /// Asks for a successor when a limit is reached. An exit code ends the worker at once.
    pub(super) fn mind_the_limits(&mut self) -> io::Result<Option<Exit>> {
        let limits = self.shared.limits;
        let age = self.shared.started.elapsed();
        let now = Instant::now();
        if limits.minds_memory() && now >= self.memory_due {
            self.memory_due = now + self.shared.memory.period(limits.cron);
            let held = self.shared.memory.read();
            if limits.memory_hard > 0 && held >= limits.memory_hard {
                self.report_memory("memory_hard", held, limits.memory_hard);
                let busy = self.lanes.iter().filter(|lane| lane.is_claimable()).count();
                let why = if busy > 1 { Why::SharedMemory } else { Why::Memory };
                return self.leave_now(why).map(Some);
            }
            if limits.memory_soft > 0 && held >= limits.memory_soft && !self.retired {
                self.report_memory("memory_soft", held, limits.memory_soft);
                self.retire(Retirement::Memory)?;
            }
        }
        if self.shared.limit_reached() && age >= limits.min_lifetime {
            self.retire(Retirement::MaxRequest)?;
        }
        if !limits.max_age.is_zero() && age >= limits.max_age {
            self.retire(Retirement::MaxAge)?;
        }
        Ok(None)
    }

    fn retire(&mut self, reason: Retirement) -> io::Result<()> {
        if std::mem::replace(&mut self.retired, true) {
            return Ok(());
        }
        self.link.send(&ToMaster::Retire { reason })
    }

    /// Names who grew, and by how much.
    fn report_memory(&self, which: &str, held: u64, limit: u64) {
        const MIB: u64 = 1024 * 1024;
        let handler = self.shared.handlers.names();
        let measure = match self.shared.memory.measure {
            MemoryMeasure::Rss => "rss",
            MemoryMeasure::Pss => "pss",
        };
        let grown = held.saturating_sub(self.memory_at_ready) / MIB;
        let (held, limit) = (held / MIB, limit / MIB);
        let text = "the worker has grown since it was ready";
        match which {
            "memory_hard" => error!(
                handler,
                which, measure, held, limit, grown, "{text} (MiB): leaving at once"
            ),
            _ => warn!(
                handler,
                which, measure, held, limit, grown, "{text} (MiB): a successor is wanted"
            ),
        }
    }

    /// How long until [`Keeper::mind_the_limits`] has something to do, in whole periods of `cron`.
    pub(super) fn limits_due_in(&self) -> Option<Duration> {
        let limits = self.shared.limits;
        let age = self.shared.started.elapsed();
        let looks = limits.minds_memory();
        let memory = looks.then(|| self.memory_due.saturating_duration_since(Instant::now()));
        let of_jobs = self.shared.limit_reached() && !self.retired;
        let jobs = of_jobs.then(|| limits.min_lifetime.saturating_sub(age));
        let of_age = !limits.max_age.is_zero() && !self.retired;
        let old = of_age.then(|| limits.max_age.saturating_sub(age));
        let due = [memory, jobs, old].into_iter().flatten().min()?;
        let cron = limits.cron.max(Duration::from_millis(1));
        let periods = due.as_nanos().div_ceil(cron.as_nanos()).max(1);
        Some(cron.saturating_mul(periods.try_into().unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proportional_size_is_read_from_its_own_line() {
        let rollup = "55d0-7ffd ---p 00000000 00:00 0   [rollup]\nRss:                1932 kB\nPss:                 601 kB\nPss_Dirty:           104 kB\n";
        assert_eq!(pss(rollup), Some(601 * 1024));
        assert_eq!(pss("Rss: 1 kB\n"), None);
    }

    #[test]
    fn memory_is_measured_in_both_ways_and_each_time_anew() {
        for measure in [MemoryMeasure::Rss, MemoryMeasure::Pss] {
            let gauge = Gauge {
                measure,
                file: Some(File::open(path(measure)).expect("a Linux system")),
            };
            let before = gauge.read();
            assert!(before > 0);
            let grown = std::hint::black_box(vec![1_u8; 256 << 20]);
            assert!(gauge.read() > before + (128 << 20), "{measure:?}");
            drop(grown);
        }
    }
}
