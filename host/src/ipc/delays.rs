//! How often a job was released without having failed: its handler asked for a delay, or it had to make room.
//!
//! Such releases do not count towards `max_attempts`, and the queue server
//! cannot tell them from others. A part of the scoreboard's memory, so that all
//! workers share it; it lives as long as the daemon, restarts included. A full neighbourhood drops
//! its first entry: then a job may be buried some tries early.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many jobs there is room for.
const ENTRIES: usize = 4096;
/// How many places a job may stand in.
const NEIGHBOURS: usize = 8;

#[repr(C)]
struct Entry {
    job: AtomicU64,
    count: AtomicU32,
    padding: AtomicU32,
}

/// The table.
#[repr(C, align(128))]
pub struct AskedDelays {
    used: AtomicU32,
    entries: [Entry; ENTRIES],
}

impl AskedDelays {
    /// Counts one more.
    pub fn add(&self, job: u64) {
        if let Some(entry) = self.find(job) {
            entry.count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let free = self
            .neighbours(job)
            .find(|entry| entry.job.load(Ordering::Relaxed) == 0);
        let Some(entry) = free.or_else(|| self.neighbours(job).next()) else {
            return;
        };
        entry.count.store(1, Ordering::Relaxed);
        entry.job.store(job, Ordering::Release);
        self.used.store(1, Ordering::Relaxed);
    }

    /// How often it was.
    pub fn count(&self, job: u64) -> u32 {
        self.find(job)
            .map_or(0, |entry| entry.count.load(Ordering::Relaxed))
    }

    /// The job is settled for good.
    pub fn remove(&self, job: u64) {
        if let Some(entry) = self.find(job) {
            entry.job.store(0, Ordering::Release);
        }
    }

    fn find(&self, job: u64) -> Option<&Entry> {
        if self.used.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.neighbours(job)
            .find(|entry| entry.job.load(Ordering::Acquire) == job)
    }

    fn neighbours(&self, job: u64) -> impl Iterator<Item = &Entry> {
        let first = job as usize % ENTRIES;
        (first..first + NEIGHBOURS).map(|index| &self.entries[index % ENTRIES])
    }
}
