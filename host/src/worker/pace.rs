//! Whether the jobs of a worker are so many and so short that one thread had better serve all of its slots.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use super::facts::nanoseconds;

/// So many jobs in a row are judged together.
const WINDOW: u32 = 512;
/// What a handler may take at the mean of a window: less than the queue server takes for a job, so that one thread
/// is enough for whatever it delivers.
const SHORT: Duration = Duration::from_micros(10);
/// The time from one job to the next at the mean of a window; where jobs are rarer, nothing is won.
const DENSE: Duration = Duration::from_micros(500);
/// A single job that takes this long is too long to be waited for by others.
const LONG: Duration = Duration::from_millis(1);
/// So many good windows are wanted after a first mistake, twice as many after the next; and at most.
const MOST_WINDOWS: u32 = 1024;
/// After so many good windows in a row half of the mistakes are forgotten.
const FORGOTTEN_AFTER: u32 = 64;

/// The judgement, and what it is made of. Counts may be a little off where slots count at once.
pub(super) struct Pace {
    brisk: AtomicBool,
    jobs: AtomicU32,
    busy_ns: AtomicU64,
    since_ns: AtomicU64,
    good_windows: AtomicU32,
    wanted_windows: AtomicU32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            brisk: AtomicBool::new(false),
            jobs: AtomicU32::new(0),
            busy_ns: AtomicU64::new(0),
            since_ns: AtomicU64::new(0),
            good_windows: AtomicU32::new(0),
            wanted_windows: AtomicU32::new(1),
        }
    }
}

impl Pace {
    /// Whether jobs are many and short.
    pub(super) fn is_brisk(&self) -> bool {
        self.brisk.load(Ordering::Relaxed)
    }

    /// Counts a job whose handler ran from then to then, in nanoseconds of the shared clock.
    pub(super) fn note(&self, started_ns: u64, ended_ns: u64) {
        let took = ended_ns.saturating_sub(started_ns);
        if took >= nanoseconds(LONG) {
            return self.stumble();
        }
        self.busy_ns.fetch_add(took, Ordering::Relaxed);
        if self.jobs.fetch_add(1, Ordering::Relaxed) + 1 == WINDOW {
            self.judge(ended_ns);
        }
    }

    fn judge(&self, now_ns: u64) {
        let busy_ns = self.busy_ns.swap(0, Ordering::Relaxed);
        let lasted_ns = now_ns.saturating_sub(self.since_ns.swap(now_ns, Ordering::Relaxed));
        self.jobs.store(0, Ordering::Relaxed);
        let all = |each: Duration| u64::from(WINDOW) * nanoseconds(each);
        if busy_ns > all(SHORT) || lasted_ns > all(DENSE) {
            return self.rest();
        }
        let good = self.good_windows.fetch_add(1, Ordering::Relaxed) + 1;
        let wanted = self.wanted_windows.load(Ordering::Relaxed);
        if good >= wanted {
            self.brisk.store(true, Ordering::Relaxed);
        }
        if good.is_multiple_of(FORGOTTEN_AFTER) {
            self.wanted_windows.store((wanted / 2).max(1), Ordering::Relaxed);
        }
    }

    /// Others have waited for a job, or would have: what went before counts no more, and the more has to follow.
    pub(super) fn stumble(&self) {
        if self.brisk.swap(false, Ordering::Relaxed) {
            let wanted = self.wanted_windows.load(Ordering::Relaxed);
            self.wanted_windows
                .store((wanted * 2).min(MOST_WINDOWS), Ordering::Relaxed);
        }
        self.rest();
        self.jobs.store(0, Ordering::Relaxed);
        self.busy_ns.store(0, Ordering::Relaxed);
    }

    /// There is no job, or too few: what went before counts no more.
    pub(super) fn rest(&self) {
        self.brisk.store(false, Ordering::Relaxed);
        self.good_windows.store(0, Ordering::Relaxed);
    }
}
