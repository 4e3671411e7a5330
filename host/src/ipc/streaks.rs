//! How often in a row the handlers of pools have failed: what a breaker is tripped by.
//!
//! A part of the scoreboard's memory, one streak for each pool. The slots of all
//! its workers count there, and the master counts the workers that a handler
//! took down. A job that goes well costs one load.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// Failures in a row of one pool's handler.
#[repr(C, align(64))]
pub struct Streak {
    failures: AtomicU32,
    padding: AtomicU32,
    /// When the first of them was, in nanoseconds of [`super::row::monotonic_ns`].
    first_ns: AtomicU64,
}

impl Streak {
    /// Counts a failure, and answers with how many there are in a row, counted anew when the first of them is
    /// longer ago than `within`.
    ///
    /// Slots that begin to count anew in the same moment may lose a count to each other; the next failure makes up
    /// for it.
    pub fn fail(&self, now_ns: u64, within: Duration) -> u32 {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        if failures == 1 {
            self.first_ns.store(now_ns, Ordering::Release);
            return 1;
        }
        let age = now_ns.saturating_sub(self.first_ns.load(Ordering::Acquire));
        if u128::from(age) <= within.as_nanos() {
            return failures;
        }
        self.first_ns.store(now_ns, Ordering::Release);
        self.failures.store(1, Ordering::Release);
        1
    }

    /// The handler has not failed: the streak is over.
    pub fn end(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Release);
        }
    }

    /// How many there are in a row.
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_nanos(100);

    fn streak() -> Streak {
        Streak {
            failures: AtomicU32::new(0),
            padding: AtomicU32::new(0),
            first_ns: AtomicU64::new(0),
        }
    }

    #[test]
    fn failures_count_until_one_job_goes_well() {
        let streak = streak();
        assert_eq!([5, 6, 7].map(|now| streak.fail(now, WITHIN)), [1, 2, 3]);
        streak.end();
        assert_eq!(streak.failures(), 0);
        assert_eq!(streak.fail(8, WITHIN), 1);
    }

    #[test]
    fn failures_are_counted_anew_when_the_first_one_is_too_long_ago() {
        let streak = streak();
        assert_eq!(
            [0, 60, 100, 101].map(|now| streak.fail(now, WITHIN)),
            [1, 2, 3, 1]
        );
        assert_eq!(streak.fail(201, WITHIN), 2);
    }

    #[test]
    fn slots_that_fail_together_count_together() {
        let streak = streak();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).map(|_| streak.fail(1, WITHIN)).max());
            }
        });
        assert_eq!(streak.failures(), 4000);
    }
}
