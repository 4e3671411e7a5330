//! Jobs whose handler took a worker down: what the master has seen, for slots to heed.
//!
//! A part of the scoreboard's memory. The master writes an entry when it sees a
//! death; a slot that reserves the job finds it and, instead of executing it,
//! releases it with a delay once for each death, or buries it when the master
//! has condemned it. A job whose next death would be its last is run with no
//! other beside it, so that the death proves it was at fault. beanstalkd may hand the job to a slot before the master
//! has heard of the death; then the slot finds it among the jobs that still
//! count as running ([`super::scoreboard::Scoreboard::predecessor`]), does the same, and the
//! master notes that the delay was served.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many jobs can be under suspicion at one time; one of them makes room for the next.
pub const SUSPECTS: usize = 1024;

/// What is to be done with a job under suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentence {
    /// Release it with a delay before it is tried again.
    Delay,
    /// Its last delay was served: try it.
    Served,
    /// It has taken down as many workers as it may: bury it.
    Bury,
}

/// A job under suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The job's key ([`super::job_key`]).
    pub job: u64,
    /// How many workers the master saw it take down, or die while it ran beside others.
    pub deaths: u32,
    /// Nothing may run beside it.
    pub alone: bool,
    /// What is to be done with it.
    pub sentence: Sentence,
}

#[repr(C)]
struct Entry {
    job: AtomicU64,
    deaths: AtomicU32,
    sentence: AtomicU32,
    alone: AtomicU32,
    padding: AtomicU32,
}

/// The table. Only the master adds to it; slots change sentences and remove entries.
#[repr(C, align(128))]
pub struct Suspects {
    count: AtomicU32,
    next: AtomicU32,
    entries: [Entry; SUSPECTS],
}

impl Suspects {
    /// What is known of a job. Costs one load while nobody is under suspicion.
    pub fn find(&self, job: u64) -> Option<Suspect> {
        let entry = self.entry(job)?;
        Some(Suspect {
            job,
            deaths: entry.deaths.load(Ordering::Relaxed),
            alone: entry.alone.load(Ordering::Relaxed) != 0,
            sentence: match entry.sentence.load(Ordering::Acquire) {
                0 => Sentence::Delay,
                1 => Sentence::Served,
                _ => Sentence::Bury,
            },
        })
    }

    /// Adds or changes an entry. Called by the master.
    pub fn put(&self, suspect: Suspect) {
        let entry = self.entry(suspect.job).unwrap_or_else(|| self.free_entry());
        if entry.job.load(Ordering::Acquire) != suspect.job && entry.job.swap(0, Ordering::AcqRel) != 0 {
            // It made room for another.
            self.count.fetch_sub(1, Ordering::Release);
        }
        entry.deaths.store(suspect.deaths, Ordering::Relaxed);
        entry.alone.store(suspect.alone.into(), Ordering::Relaxed);
        entry.sentence.store(number(suspect.sentence), Ordering::Relaxed);
        if entry.job.swap(suspect.job, Ordering::Release) == 0 {
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    /// The job was released with its delay.
    pub fn served(&self, job: u64) {
        if let Some(entry) = self.entry(job) {
            let (delay, served) = (number(Sentence::Delay), number(Sentence::Served));
            // A sentence that the master has passed meanwhile stands.
            let _ = entry
                .sentence
                .compare_exchange(delay, served, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// The job is settled for good.
    pub fn remove(&self, job: u64) {
        if let Some(entry) = self.entry(job)
            && entry
                .job
                .compare_exchange(job, 0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        {
            self.count.fetch_sub(1, Ordering::Release);
        }
    }

    /// Everybody under suspicion.
    pub fn iter(&self) -> impl Iterator<Item = Suspect> {
        let jobs = self.entries.iter().map(|entry| entry.job.load(Ordering::Acquire));
        jobs.filter(|job| *job != 0).filter_map(|job| self.find(job))
    }

    fn entry(&self, job: u64) -> Option<&Entry> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.entries
            .iter()
            .find(|entry| entry.job.load(Ordering::Acquire) == job)
    }

    fn free_entry(&self) -> &Entry {
        let free = self
            .entries
            .iter()
            .find(|entry| entry.job.load(Ordering::Acquire) == 0);
        free.unwrap_or_else(|| {
            let oldest = self.next.fetch_add(1, Ordering::Relaxed) as usize % SUSPECTS;
            &self.entries[oldest]
        })
    }
}

fn number(sentence: Sentence) -> u32 {
    match sentence {
        Sentence::Delay => 0,
        Sentence::Served => 1,
        Sentence::Bury => 2,
    }
}
