//! The shared memory in which every slot says what it does.
//!
//! The master creates it and lends its rows to slots; see [`super::row`]. Beside
//! the rows it holds which jobs count as running, which are under suspicion,
//! which were released without having failed, and how often in a row the
//! handlers of pools have failed. In all of that a job stands under its key
//! ([`super::job_key`]); a row has its plain id.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use super::{delays::AskedDelays, mapping::Mapping, row::Row, streaks::Streak, suspects::Suspects};

/// How many rows there are. Untouched rows cost no memory.
pub const ROWS: usize = 65_536;

/// The most slots that all workers may have: there is a row for each of them, and one for its successor.
pub const MOST_SLOTS: usize = ROWS / 2;

/// The memory, as all processes see it. Any bytes are valid for it.
#[repr(C, align(128))]
pub(super) struct Memory {
    /// Rows at and behind this index were never lent.
    high_water: AtomicU32,
    suspects: Suspects,
    delays: AskedDelays,
    /// As many as there are rows, as each pool has a slot. Untouched ones cost no memory either.
    streaks: [Streak; ROWS],
    /// By row: the job that its slot has given to a handler. Apart from the rows, so that a look at
    /// all of them touches little memory.
    running: [AtomicU64; ROWS],
    rows: [Row; ROWS],
}

/// The mapped memory and its descriptor.
pub struct Scoreboard {
    memory: Mapping<Memory>,
}

impl Scoreboard {
    /// Creates an empty one, of a fixed size that no holder of the descriptor can change.
    pub fn create() -> io::Result<Self> {
        let memory = Mapping::create()?;
        Ok(Scoreboard { memory })
    }

    /// Maps one that another process created.
    pub fn open(descriptor: OwnedFd) -> io::Result<Self> {
        let memory = Mapping::open(descriptor)?;
        Ok(Scoreboard { memory })
    }

    /// The row of that index, if there is one.
    pub fn row(&self, index: usize) -> Option<&Row> {
        self.memory.rows.get(index)
    }

    /// Jobs whose handler took a worker down.
    pub fn suspects(&self) -> &Suspects {
        &self.memory.suspects
    }

    /// How often jobs were released without having failed.
    pub fn delays(&self) -> &AskedDelays {
        &self.memory.delays
    }

    /// The streak of that index, if there is one.
    pub fn streak(&self, index: usize) -> Option<&Streak> {
        self.memory.streaks.get(index)
    }

    /// Makes a row known before it is lent to a slot of that incarnation of a worker.
    pub fn lend(&self, index: usize, worker: u64) {
        if let Some(row) = self.row(index) {
            row.clear(worker);
            self.set_running(index, 0);
            self.memory
                .high_water
                .fetch_max(index as u32 + 1, Ordering::Release);
        }
    }

    /// Says which job the row's slot has given to a handler; 0 for none.
    pub fn set_running(&self, index: usize, job: u64) {
        if let Some(running) = self.memory.running.get(index) {
            running.store(job, Ordering::Release);
        }
    }

    /// Whether the row's job still counts as running: nobody has taken its mark away.
    pub fn is_marked_running(&self, index: usize) -> bool {
        self.memory
            .running
            .get(index)
            .is_some_and(|running| running.load(Ordering::Acquire) != 0)
    }

    /// Looks for another row whose slot has given this job to a handler.
    ///
    /// A slot asks before it executes a job: one that still counts as running elsewhere was given up by a worker
    /// that died or overran. The mark stays until the delay was served that it asks for
    /// ([`Scoreboard::delay_served`]), so that a release which is lost with its connection is made up for.
    pub fn predecessor(&self, job: u64, own: usize) -> Option<Predecessor> {
        let found = self
            .marks(job, own)
            .map(|(index, _)| match self.is_bystander(index) {
                true => Predecessor::Bystander,
                false => Predecessor::Unfinished,
            });
        found.max_by_key(|found| *found == Predecessor::Unfinished)
    }

    /// The job was released with the delay that its last death asks for.
    pub fn delay_served(&self, job: u64, own: usize) {
        for (_, mark) in self.marks(job, own) {
            // A mark that is another job's by now stays.
            let _ = mark.compare_exchange(job, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        self.suspects().served(job);
    }

    /// The other rows that have this job marked as running.
    fn marks(&self, job: u64, own: usize) -> impl Iterator<Item = (usize, &AtomicU64)> {
        let memory = &self.memory;
        let lent = memory.high_water.load(Ordering::Acquire) as usize;
        let all = memory.running.iter().take(lent).enumerate();
        all.filter(move |(index, mark)| *index != own && mark.load(Ordering::Acquire) == job)
    }

    /// Whether the row's worker died of a signal that another slot of it had raised, or apart from its jobs.
    pub fn is_bystander(&self, index: usize) -> bool {
        let Some(row) = self
            .row(index)
            .filter(|row| row.fault.load(Ordering::Acquire) == 0)
        else {
            return false;
        };
        let worker = row.worker.load(Ordering::Relaxed);
        let lent = self.memory.high_water.load(Ordering::Acquire) as usize;
        let sibling = |other: &&Row| other.worker.load(Ordering::Relaxed) == worker;
        let mut siblings = self.memory.rows.iter().take(lent).filter(sibling);
        let marked = |mark: &AtomicU32| mark.load(Ordering::Acquire) != 0;
        siblings.any(|sibling| marked(&sibling.fault) || marked(&sibling.apart))
    }
}

/// What became of the slot that had the job before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// It died with its job, overran its time, or lost its connection.
    Unfinished,
    /// It died because of another slot of its worker, or apart from jobs: the job is not to blame.
    Bystander,
}

impl AsFd for Scoreboard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

#[cfg(test)]
mod tests;
