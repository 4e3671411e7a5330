//! On which terms the threads that serve slots get a processor.
//!
//! Who is woken takes the processor from the one that woke it, where it has used less of it. A slot is woken by the queue
//! server, which would lose its processor at each job and answer the next one later: on two cores that is a tenth to a third
//! of all jobs per second. So a slot that does one job after the other runs as `SCHED_BATCH` (sched(7)): it gets as much of
//! the processors as ever, and only does not push others aside when it is woken. Where jobs are rare nobody waits for
//! the server, and the slot keeps the ordinary policy, by which a job is sooner with its handler. So does one that gets no
//! processor for long, because others do not let go of theirs: it would have to wait for the end of a turn at each job.
#![allow(
    unsafe_code,
    reason = "nix has no calls for a policy; each block carries its argument"
)]

use std::{thread, time::Duration};

use nix::libc;

use super::facts::nanoseconds;

/// So many jobs in a row are judged together.
const WINDOW: u32 = 64;
/// The time from one job to the next at the mean of a window; where jobs are rarer, the server has time.
const DENSE: Duration = Duration::from_micros(500);
/// A pause of this length is one too many: jobs are rare, or the thread has had to wait for a processor.
const PAUSE: Duration = Duration::from_millis(3);

/// The terms of one thread.
pub(super) struct Scheduling {
    /// Whoever is woken in its stead has something to do with the processor, and nobody has chosen another policy.
    may_give_way: bool,
    gives_way: bool,
    density: Density,
}

impl Scheduling {
    /// Those of this thread, which serves the only slot of its pool or one of several.
    ///
    /// A single slot that has one processor with the server never gives way: when that has answered, nobody else waits
    /// for it, and the slot would sleep and be woken once more at each job, for a twentieth of all jobs per second.
    pub(super) fn of_this_thread(is_alone: bool) -> Scheduling {
        let shares_one = || thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
        // SAFETY: the call takes a number, and looks at this thread alone.
        let policy = unsafe { libc::sched_getscheduler(0) };
        Scheduling {
            may_give_way: policy == libc::SCHED_OTHER && !(is_alone && shares_one()),
            gives_way: false,
            density: Density::default(),
        }
    }

    /// A job has come to this thread at that time, in nanoseconds of the shared clock.
    pub(super) fn note_job(&mut self, came_ns: u64) {
        if let Some(are_dense) = self.density.note_job(came_ns) {
            self.give_way(are_dense);
        }
    }

    /// Has this thread push nobody aside, or do so again.
    fn give_way(&mut self, gives_way: bool) {
        if !self.may_give_way || self.gives_way == gives_way {
            return;
        }
        self.gives_way = gives_way;
        let policy = if gives_way {
            libc::SCHED_BATCH
        } else {
            libc::SCHED_OTHER
        };
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the call takes two numbers and a structure that outlives it, and changes this thread alone.
        // A kernel that refuses costs speed alone.
        unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    }
}

/// How close to each other jobs come.
#[derive(Default)]
struct Density {
    jobs: u32,
    since_ns: u64,
    latest_ns: u64,
}

impl Density {
    /// Whether jobs come one after the other, where that can be told now.
    fn note_job(&mut self, came_ns: u64) -> Option<bool> {
        let paused_ns = came_ns.saturating_sub(self.latest_ns);
        if paused_ns == 0 {
            // No other job has come to this thread.
            return None;
        }
        self.latest_ns = came_ns;
        if paused_ns >= nanoseconds(PAUSE) {
            (self.jobs, self.since_ns) = (0, came_ns);
            return Some(false);
        }
        self.jobs += 1;
        if self.jobs < WINDOW {
            return None;
        }
        let lasted_ns = came_ns.saturating_sub(self.since_ns);
        (self.jobs, self.since_ns) = (0, came_ns);
        Some(lasted_ns <= u64::from(WINDOW) * nanoseconds(DENSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1_000;

    /// What is told of so many jobs that come every `every_us`, from then on.
    fn told(density: &mut Density, now_ns: &mut u64, jobs: u32, every_us: u64) -> Vec<bool> {
        let told = (0..jobs).filter_map(|_| {
            *now_ns += every_us * US;
            density.note_job(*now_ns)
        });
        told.collect()
    }

    #[test]
    fn a_window_of_jobs_is_judged_by_its_mean() {
        let (mut density, mut now) = (Density::default(), 1_000_000_000);
        assert_eq!(told(&mut density, &mut now, 1, 100), [false], "the first");
        assert_eq!(told(&mut density, &mut now, 2 * WINDOW, 100), [true, true]);
        assert!(told(&mut density, &mut now, 1, 2_000).is_empty());
        assert_eq!(told(&mut density, &mut now, WINDOW - 1, 100), [true]);
        assert_eq!(told(&mut density, &mut now, WINDOW, 2_000), [false]);
    }

    #[test]
    fn after_a_pause_jobs_are_rare_until_many_have_come() {
        let (mut density, mut now) = (Density::default(), 1_000_000_000);
        told(&mut density, &mut now, 1 + WINDOW + WINDOW / 2, 100);
        assert_eq!(told(&mut density, &mut now, 1, 3_000), [false]);
        assert!(told(&mut density, &mut now, WINDOW - 1, 100).is_empty());
        assert_eq!(told(&mut density, &mut now, 1, 100), [true]);
    }

    #[test]
    fn a_look_at_which_no_other_job_has_come_counts_for_nothing() {
        let (mut density, mut now) = (Density::default(), 1_000_000_000);
        told(&mut density, &mut now, 1, 100);
        for _ in 0..2 * WINDOW {
            assert_eq!(density.note_job(now), None);
        }
        assert_eq!(told(&mut density, &mut now, WINDOW, 100), [true]);
    }
}
