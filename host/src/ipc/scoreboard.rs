//! The shared memory in which every slot says what it does.
//!
//! The master creates it and lends its rows to slots; see [`super::row`]. Beside
//! the rows it holds which jobs count as running, which are under suspicion,
//! which were released without having failed, and how often in a row the
//! handlers of pools have failed. In all of that a job stands under its key
//! ([`super::job_key`]); a row has its plain id.
#![allow(
    unsafe_code,
    reason = "memory shared between processes; each block carries its argument"
)]

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, ProtFlags, mmap, munmap},
    },
};

use super::{VERSION, delays::AskedDelays, row::Row, streaks::Streak, suspects::Suspects};

/// How many rows there are. Untouched rows cost no memory.
pub const ROWS: usize = 65_536;

/// The most slots that all workers may have: there is a row for each of them, and one for its successor.
pub const MOST_SLOTS: usize = ROWS / 2;

/// First bytes of the memory.
const MAGIC: u64 = u64::from_ne_bytes(*b"acscore1");

/// The memory, as all processes see it. Any bytes are valid for it.
#[repr(C, align(128))]
struct Memory {
    magic: AtomicU64,
    version: AtomicU32,
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
    memory: NonNull<Memory>,
    descriptor: OwnedFd,
}

// SAFETY: the memory consists of atomics alone, and stays mapped until the value is dropped.
unsafe impl Send for Scoreboard {}
// SAFETY: as above.
unsafe impl Sync for Scoreboard {}

const SIZE: usize = size_of::<Memory>();

impl Scoreboard {
    /// Creates an empty one, of a fixed size that no holder of the descriptor can change.
    pub fn create() -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let descriptor = memfd_create(c"asynccall-scoreboard", flags)?;
        nix::unistd::ftruncate(&descriptor, SIZE as i64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&descriptor, FcntlArg::F_ADD_SEALS(seals))?;
        let scoreboard = Self::map(descriptor)?;
        scoreboard.memory().magic.store(MAGIC, Ordering::Relaxed);
        scoreboard.memory().version.store(VERSION, Ordering::Relaxed);
        Ok(scoreboard)
    }

    /// Maps one that another process created.
    pub fn open(descriptor: OwnedFd) -> io::Result<Self> {
        let size = nix::sys::stat::fstat(&descriptor)?.st_size;
        if size != SIZE as i64 {
            return Err(invalid(format!(
                "the scoreboard has {size} bytes, this binary wants {SIZE}"
            )));
        }
        let scoreboard = Self::map(descriptor)?;
        let memory = scoreboard.memory();
        let version = memory.version.load(Ordering::Relaxed);
        if (memory.magic.load(Ordering::Relaxed), version) != (MAGIC, VERSION) {
            return Err(invalid(format!(
                "the scoreboard has version {version}, this binary wants {VERSION}"
            )));
        }
        Ok(scoreboard)
    }

    fn map(descriptor: OwnedFd) -> io::Result<Self> {
        let length = NonZeroUsize::new(SIZE).ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh shared mapping at an address of the kernel's choice; the file has `SIZE` bytes
        // (created so, or checked by the caller) and its seals forbid shrinking it.
        let memory = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &descriptor, 0) }?;
        Ok(Scoreboard {
            memory: memory.cast(),
            descriptor,
        })
    }

    fn memory(&self) -> &Memory {
        // SAFETY: the mapping is page-aligned, has the size of a `Memory`, and lives as long as `self`; a
        // `Memory` consists of atomics, for which any bytes are valid and which others may change.
        unsafe { self.memory.as_ref() }
    }

    /// The row of that index, if there is one.
    pub fn row(&self, index: usize) -> Option<&Row> {
        self.memory().rows.get(index)
    }

    /// Jobs whose handler took a worker down.
    pub fn suspects(&self) -> &Suspects {
        &self.memory().suspects
    }

    /// How often jobs were released without having failed.
    pub fn delays(&self) -> &AskedDelays {
        &self.memory().delays
    }

    /// The streak of that index, if there is one.
    pub fn streak(&self, index: usize) -> Option<&Streak> {
        self.memory().streaks.get(index)
    }

    /// Makes a row known before it is lent to a slot of that incarnation of a worker.
    pub fn lend(&self, index: usize, worker: u64) {
        if let Some(row) = self.row(index) {
            row.clear(worker);
            self.set_running(index, 0);
            self.memory()
                .high_water
                .fetch_max(index as u32 + 1, Ordering::Release);
        }
    }

    /// Says which job the row's slot has given to a handler; 0 for none.
    pub fn set_running(&self, index: usize, job: u64) {
        if let Some(running) = self.memory().running.get(index) {
            running.store(job, Ordering::Release);
        }
    }

    /// Whether the row's job still counts as running: nobody has taken its mark away.
    pub fn is_marked_running(&self, index: usize) -> bool {
        self.memory()
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
        let memory = self.memory();
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
        let lent = self.memory().high_water.load(Ordering::Acquire) as usize;
        let sibling = |other: &&Row| other.worker.load(Ordering::Relaxed) == worker;
        let mut siblings = self.memory().rows.iter().take(lent).filter(sibling);
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
        self.descriptor.as_fd()
    }
}

impl Drop for Scoreboard {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this size, and no borrow of it outlives `self`.
        let unmapped = unsafe { munmap(self.memory.cast(), SIZE) };
        debug_assert!(unmapped.is_ok(), "unmapping a whole mapping of ours succeeds");
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests;
