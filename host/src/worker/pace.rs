//! Whether the jobs of a worker are so many and so short that one thread had better serve all of its slots.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use super::facts::nanoseconds;

/// So many jobs in a row are judged together.
const WINDOW: u32 = 512;
/// What a handler may take at the mean of a window, with the questions to the queue server that its job needs. With what a job
/// costs besides, one thread then keeps up with beanstalkd, which takes some 17 microseconds for a job.
const SHORT: Duration = Duration::from_micros(8);
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

    /// Counts a job that kept its slot from then to then, in nanoseconds of the shared clock.
    pub(super) fn note(&self, since_ns: u64, ended_ns: u64) {
        let took = ended_ns.saturating_sub(since_ns);
        if took >= nanoseconds(LONG) {
            return self.stumble();
        }
        // Not in one step: that would cost each job more than a count that is now and then lost among slots.
        let busy_ns = self.busy_ns.load(Ordering::Relaxed) + took;
        self.busy_ns.store(busy_ns, Ordering::Relaxed);
        let jobs = self.jobs.load(Ordering::Relaxed) + 1;
        self.jobs.store(jobs, Ordering::Relaxed);
        if jobs >= WINDOW {
            self.judge(ended_ns);
        }
    }

    fn judge(&self, now_ns: u64) {
        let busy_ns = self.busy_ns.swap(0, Ordering::Relaxed);
        let lasted_ns = now_ns.saturating_sub(self.since_ns.swap(now_ns, Ordering::Relaxed));
        self.jobs.store(0, Ordering::Relaxed);
        let all = |each: Duration| u64::from(WINDOW) * nanoseconds(each);
        if busy_ns > all(SHORT) {
            return self.stumble();
        }
        if lasted_ns > all(DENSE) {
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

    /// Jobs are not short: what went before counts no more. Where others have waited for it, the more has to follow.
    pub(super) fn stumble(&self) {
        match self.is_brisk() {
            true => self.regret(),
            false => self.rest(),
        }
    }

    /// It was a mistake to take the pace for brisk: twice as many good windows have to come before the next time.
    pub(super) fn regret(&self) {
        let wanted = self.wanted_windows.load(Ordering::Relaxed);
        self.wanted_windows
            .store((wanted * 2).min(MOST_WINDOWS), Ordering::Relaxed);
        self.rest();
    }

    /// There is no job, or too few: what went before counts no more.
    pub(super) fn rest(&self) {
        self.brisk.store(false, Ordering::Relaxed);
        self.good_windows.store(0, Ordering::Relaxed);
        self.jobs.store(0, Ordering::Relaxed);
        self.busy_ns.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1_000;

    /// A worker that has done `windows` times so many jobs as are judged together, which took `took_us` each and began
    /// `every_us`; the time is that of the last.
    fn do_jobs(pace: &Pace, now_ns: &mut u64, windows: u32, took_us: u64, every_us: u64) {
        for _ in 0..windows * WINDOW {
            *now_ns += every_us * US;
            pace.note(*now_ns, *now_ns + took_us * US);
        }
    }

    /// How many good windows it takes until the pace is brisk.
    fn windows_until_brisk(pace: &Pace, now_ns: &mut u64) -> u32 {
        let window = |_: &u32| {
            do_jobs(pace, now_ns, 1, 1, 20);
            pace.is_brisk()
        };
        (1..=2 * MOST_WINDOWS).find(window).expect("some time")
    }

    #[test]
    fn many_short_jobs_are_a_brisk_pace_until_they_are_longer_or_fewer() {
        let (pace, mut now) = (Pace::default(), 0);
        assert!(!pace.is_brisk());
        do_jobs(&pace, &mut now, 2, 1, 20);
        assert!(pace.is_brisk());
        do_jobs(&pace, &mut now, 1, 9, 20);
        assert!(
            !pace.is_brisk(),
            "they take longer than one thread can do in time"
        );
        do_jobs(&pace, &mut now, 4, 1, 20);
        assert!(pace.is_brisk());
        do_jobs(&pace, &mut now, 2, 1, 600);
        assert!(!pace.is_brisk(), "they come so seldom that nothing is won");
    }

    #[test]
    fn a_window_that_began_before_a_lull_is_not_taken_for_a_dense_one() {
        let (pace, mut now) = (Pace::default(), 0);
        do_jobs(&pace, &mut now, 2, 1, 20);
        pace.rest();
        assert!(!pace.is_brisk());
        assert_eq!(pace.jobs.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn after_each_job_that_others_have_waited_for_twice_as_many_short_ones_have_to_come() {
        let (pace, mut now) = (Pace::default(), 0);
        do_jobs(&pace, &mut now, 1, 1, 20);
        assert_eq!(windows_until_brisk(&pace, &mut now), 1);
        for expected in [2, 4, 8, 16, 32] {
            pace.note(now, now + 1_000 * US);
            assert!(!pace.is_brisk());
            assert_eq!(windows_until_brisk(&pace, &mut now), expected);
        }
        do_jobs(&pace, &mut now, 10 * FORGOTTEN_AFTER, 1, 20);
        pace.note(now, now + 1_000 * US);
        assert_eq!(
            windows_until_brisk(&pace, &mut now),
            2,
            "a long good time is an excuse"
        );
    }

    #[test]
    fn after_a_burst_that_was_not_worth_it_twice_as_many_short_jobs_have_to_come() {
        let (pace, mut now) = (Pace::default(), 0);
        do_jobs(&pace, &mut now, 1, 1, 20);
        assert_eq!(windows_until_brisk(&pace, &mut now), 1);
        for expected in [2, 4, 8] {
            // It ended for lack of jobs, before anybody found it too short.
            pace.rest();
            pace.regret();
            assert_eq!(windows_until_brisk(&pace, &mut now), expected);
        }
        pace.rest();
        assert_eq!(windows_until_brisk(&pace, &mut now), 8, "no mistake");
    }

    #[test]
    fn long_jobs_outside_of_a_burst_keep_nobody_and_count_against_nothing() {
        let (pace, mut now) = (Pace::default(), 0);
        do_jobs(&pace, &mut now, 3, 5_000, 5_000);
        assert!(!pace.is_brisk());
        // The first window began before the long jobs, so it is none of many.
        assert_eq!(windows_until_brisk(&pace, &mut now), 2);
    }
}
