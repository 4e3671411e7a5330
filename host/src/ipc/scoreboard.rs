//! The shared memory in which every slot says what it does.
//!
//! The master creates it and lends rows to workers; a slot writes its own row
//! only; anybody reads. A row outlives its writer, so the master knows what a
//! dead worker was doing. What belongs together is guarded by a sequence
//! number: odd while the writer is at it.
//!
//! ```text
//!  free ─▶ away (not connected) ─▶ idle (a reserve waits) ─▶ running ─▶ settling ─┐
//!              ▲────────────────────┴────────────────────────────────────────────┘
//! ```
#![allow(
    unsafe_code,
    reason = "memory shared between processes; each block carries its argument"
)]

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering, fence},
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, ProtFlags, mmap, munmap},
    },
    time::{ClockId, clock_gettime},
};
use serde::Serialize;

use super::{VERSION, delays::AskedDelays, suspects::Suspects};

/// How many rows there are. Untouched rows cost no memory.
pub const ROWS: usize = 65_536;

/// First bytes of the memory.
const MAGIC: u64 = u64::from_ne_bytes(*b"acscore1");

/// A row's tube while it is unknown.
const NONE: u32 = u32::MAX;

/// The memory, as all processes see it. Any bytes are valid for it.
#[repr(C, align(128))]
struct Memory {
    magic: AtomicU64,
    version: AtomicU32,
    /// Rows at and behind this index were never lent.
    high_water: AtomicU32,
    suspects: Suspects,
    delays: AskedDelays,
    /// By row: the job that its slot has given to a handler. Apart from the rows, so that a look at
    /// all of them touches little memory.
    running: [AtomicU64; ROWS],
    rows: [Row; ROWS],
}

/// What one slot does and has done.
#[repr(C, align(128))]
pub struct Row {
    sequence: AtomicU32,
    state: AtomicU32,
    job: AtomicU64,
    since: AtomicU64,
    tube: AtomicU32,
    fault: AtomicU32,
    deleted: AtomicU32,
    worker: AtomicU64,
    done: AtomicU64,
    released: AtomicU64,
    buried: AtomicU64,
    failed: AtomicU64,
    executed: AtomicU64,
}

/// What a slot is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The row belongs to nobody.
    Free,
    /// Not connected to the queue server.
    Away,
    /// A reserve waits.
    Idle,
    /// A handler executes a job.
    Running,
    /// The queue server is being told how the job ended.
    Settling,
}

impl State {
    fn from_number(number: u32) -> State {
        match number {
            1 => State::Away,
            2 => State::Idle,
            3 => State::Running,
            4 => State::Settling,
            _ => State::Free,
        }
    }
}

/// One consistent look at a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// What the slot is at.
    pub state: State,
    /// Id of the job in hand; 0 for none.
    pub job: u64,
    /// Index of the job's tube in the pool's list, once it is known.
    pub tube: Option<usize>,
    /// When the slot entered the state, in nanoseconds of [`monotonic_ns`].
    pub since_ns: u64,
}

/// What a slot has done since its worker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Jobs deleted because they were done, or because their message asked for it.
    pub done: u64,
    /// Jobs released for another try.
    pub released: u64,
    /// Jobs buried.
    pub buried: u64,
    /// Jobs whose handler failed, panicked or ran too long; part of released and buried (or done).
    pub failed: u64,
    /// Jobs given to a handler.
    pub executed: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.done += other.done;
        self.released += other.released;
        self.buried += other.buried;
        self.failed += other.failed;
        self.executed += other.executed;
    }
}

/// Nanoseconds of the clock that all processes of this machine share.
pub fn monotonic_ns() -> u64 {
    // CLOCK_MONOTONIC exists on every Linux; an error would mean a broken kernel.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}

impl Row {
    /// Says what the slot is at now, and answers with the time of [`monotonic_ns`] that it noted.
    ///
    /// Called by the slot that owns the row.
    pub fn enter(&self, state: State, job: u64, tube: Option<usize>) -> u64 {
        let now = monotonic_ns();
        self.write(|| {
            self.state.store(state as u32, Ordering::Relaxed);
            self.job.store(job, Ordering::Relaxed);
            self.tube
                .store(tube.map_or(NONE, |index| index as u32), Ordering::Relaxed);
            self.since.store(now, Ordering::Relaxed);
            self.deleted.store(0, Ordering::Relaxed);
        });
        now
    }

    /// Says that the job in hand was deleted before its handler began.
    pub fn note_deleted(&self) {
        self.deleted.store(1, Ordering::Relaxed);
    }

    /// Whether the job in hand was deleted before its handler began.
    pub fn was_deleted(&self) -> bool {
        self.deleted.load(Ordering::Relaxed) != 0
    }

    /// Where a fatal-signal handler notes that this slot's thread is the one at fault.
    pub fn fault(&self) -> &AtomicU32 {
        &self.fault
    }

    /// Says that the job in hand is being settled.
    pub fn settling(&self) {
        self.write(|| self.state.store(State::Settling as u32, Ordering::Relaxed));
    }

    /// Adds what was learnt of the tube of the job in hand.
    pub fn learn_tube(&self, tube: usize) {
        self.write(|| self.tube.store(tube as u32, Ordering::Relaxed));
    }

    fn write(&self, change: impl FnOnce()) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change();
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// Counts a job that is given to a handler.
    pub fn count_executed(&self) {
        self.executed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a job that was deleted.
    pub fn count_done(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a job that was released.
    pub fn count_released(&self) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a job that was buried.
    pub fn count_buried(&self) {
        self.buried.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a job whose handler failed, panicked or ran too long.
    pub fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// One consistent look; what a writer left half-written when it died is taken as it is.
    pub fn activity(&self) -> Activity {
        (0..1000)
            .find_map(|_| self.consistent_look())
            .unwrap_or_else(|| self.look())
    }

    fn consistent_look(&self) -> Option<Activity> {
        let before = self.sequence.load(Ordering::Acquire);
        let look = self.look();
        fence(Ordering::Acquire);
        let undisturbed = before.is_multiple_of(2) && before == self.sequence.load(Ordering::Relaxed);
        undisturbed.then_some(look)
    }

    fn look(&self) -> Activity {
        let tube = self.tube.load(Ordering::Relaxed);
        Activity {
            state: State::from_number(self.state.load(Ordering::Relaxed)),
            job: self.job.load(Ordering::Relaxed),
            tube: (tube != NONE).then_some(tube as usize),
            since_ns: self.since.load(Ordering::Relaxed),
        }
    }

    /// What the slot has done.
    pub fn counts(&self) -> Counts {
        Counts {
            done: self.done.load(Ordering::Relaxed),
            released: self.released.load(Ordering::Relaxed),
            buried: self.buried.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            executed: self.executed.load(Ordering::Relaxed),
        }
    }

    /// Makes the row ready for its next owner, a slot of that incarnation of a worker.
    ///
    /// Called by the master, when the last owner is dead and the next one not yet started.
    pub fn clear(&self, worker: u64) {
        self.fault.store(0, Ordering::Relaxed);
        self.worker.store(worker, Ordering::Relaxed);
        self.write(|| {
            self.state.store(State::Free as u32, Ordering::Relaxed);
            self.job.store(0, Ordering::Relaxed);
            self.tube.store(NONE, Ordering::Relaxed);
        });
        for counter in [
            &self.done,
            &self.released,
            &self.buried,
            &self.failed,
            &self.executed,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
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

    /// How often jobs were released because their handlers asked for it.
    pub fn delays(&self) -> &AskedDelays {
        &self.memory().delays
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

    /// Looks for another row whose slot has given this job to a handler, and takes its mark away.
    ///
    /// A slot calls it before it executes a job: a job that still counts as running elsewhere was
    /// given up by a worker that died or overran. Succeeds for one caller only.
    pub fn take_running(&self, job: u64, own: usize) -> Option<Predecessor> {
        let memory = self.memory();
        let lent = memory.high_water.load(Ordering::Acquire) as usize;
        let mut marked = memory.running.iter().take(lent).enumerate();
        let (index, mark) =
            marked.find(|(index, mark)| *index != own && mark.load(Ordering::Acquire) == job)?;
        mark.compare_exchange(job, 0, Ordering::AcqRel, Ordering::Relaxed)
            .ok()?;
        Some(match self.is_bystander(index) {
            true => Predecessor::Bystander,
            false => Predecessor::Unfinished,
        })
    }

    /// Whether the row's worker died of a signal that another slot of it had raised.
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
        siblings.any(|sibling| sibling.fault.load(Ordering::Acquire) != 0)
    }
}

/// What became of the slot that had the job before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predecessor {
    /// It died with its job, overran its time, or lost its connection.
    Unfinished,
    /// It died because of another slot of its worker: the job is not to blame.
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
mod tests {
    use super::{
        super::suspects::{Sentence, Suspect},
        *,
    };

    #[test]
    fn a_second_mapping_sees_what_the_first_wrote() {
        let ours = Scoreboard::create().expect("a memfd");
        let theirs = Scoreboard::open(ours.descriptor.try_clone().expect("a descriptor")).expect("a mapping");
        let row = ours.row(ROWS - 1).expect("the last row");
        row.enter(State::Running, 901, Some(3));
        row.count_executed();
        row.count_done();
        let seen = theirs.row(ROWS - 1).expect("the last row");
        let activity = seen.activity();
        assert_eq!(
            (activity.state, activity.job, activity.tube),
            (State::Running, 901, Some(3))
        );
        assert_eq!(
            seen.counts(),
            Counts {
                done: 1,
                executed: 1,
                ..Counts::default()
            }
        );
        assert!(activity.since_ns > 0);
    }

    #[test]
    fn there_is_no_row_behind_the_last() {
        let scoreboard = Scoreboard::create().expect("a memfd");
        assert!(scoreboard.row(ROWS).is_none());
    }

    #[test]
    fn a_descriptor_of_another_size_is_refused() {
        let descriptor = memfd_create(c"short", MFdFlags::MFD_CLOEXEC).expect("a memfd");
        let Err(error) = Scoreboard::open(descriptor) else {
            panic!("an empty file is no scoreboard")
        };
        assert!(error.to_string().contains("has 0 bytes"), "{error}");
    }

    #[test]
    fn a_cleared_row_is_free_and_counts_from_zero() {
        let scoreboard = Scoreboard::create().expect("a memfd");
        let row = scoreboard.row(0).expect("the first row");
        row.enter(State::Settling, 7, None);
        row.count_failed();
        row.clear(1);
        assert_eq!((row.activity().state, row.activity().job), (State::Free, 0));
        assert_eq!(row.counts(), Counts::default());
    }

    #[test]
    fn a_job_that_still_counts_as_running_is_taken_by_one_slot_only() {
        let scoreboard = Scoreboard::create().expect("a memfd");
        scoreboard.lend(0, 1);
        scoreboard.lend(1, 2);
        scoreboard.set_running(0, 901);
        assert_eq!(scoreboard.take_running(902, 1), None);
        assert_eq!(
            scoreboard.take_running(901, 0),
            None,
            "a slot's own mark does not count"
        );
        assert_eq!(scoreboard.take_running(901, 1), Some(Predecessor::Unfinished));
        assert_eq!(scoreboard.take_running(901, 1), None);
        assert!(!scoreboard.is_marked_running(0));
    }

    #[test]
    fn only_the_slot_that_raised_the_signal_is_at_fault() {
        let scoreboard = Scoreboard::create().expect("a memfd");
        for (row, worker) in [(0, 1), (1, 1), (2, 2)] {
            scoreboard.lend(row, worker);
            scoreboard.set_running(row, 901 + row as u64);
        }
        let faulting = scoreboard.row(1).expect("a row");
        faulting.fault().store(11, Ordering::Relaxed);
        assert_eq!(scoreboard.take_running(901, 2), Some(Predecessor::Bystander));
        assert_eq!(scoreboard.take_running(902, 2), Some(Predecessor::Unfinished));
        assert_eq!(
            scoreboard.take_running(903, 0),
            Some(Predecessor::Unfinished),
            "another worker"
        );
    }

    #[test]
    fn a_suspect_is_delayed_once_for_each_death_and_then_buried() {
        let scoreboard = Scoreboard::create().expect("a memfd");
        let suspects = scoreboard.suspects();
        assert_eq!(suspects.find(7), None);
        suspects.put(Suspect {
            job: 7,
            deaths: 1,
            sentence: Sentence::Delay,
        });
        suspects.served(7);
        assert_eq!(
            suspects.find(7).map(|suspect| suspect.sentence),
            Some(Sentence::Served)
        );
        suspects.put(Suspect {
            job: 7,
            deaths: 3,
            sentence: Sentence::Bury,
        });
        suspects.served(7);
        assert_eq!(
            suspects.find(7),
            Some(Suspect {
                job: 7,
                deaths: 3,
                sentence: Sentence::Bury
            })
        );
        assert_eq!(suspects.iter().count(), 1);
        suspects.remove(7);
        assert_eq!((suspects.find(7), suspects.iter().count()), (None, 0));
    }

    #[test]
    fn delays_that_were_asked_for_are_counted_by_job_until_it_is_settled() {
        let scoreboard = Scoreboard::create().expect("a memfd");
        let delays = scoreboard.delays();
        assert_eq!(delays.count(7), 0);
        for job in [7, 7 + 4096, 7] {
            delays.add(job);
        }
        assert_eq!(
            (delays.count(7), delays.count(7 + 4096)),
            (2, 1),
            "neighbours do not mix"
        );
        delays.remove(7);
        assert_eq!((delays.count(7), delays.count(7 + 4096)), (0, 1));
    }

    #[test]
    fn a_consistent_look_never_mixes_two_states_of_a_row() {
        let scoreboard = Scoreboard::create().expect("a memfd");
        let row = scoreboard.row(0).expect("the first row");
        row.enter(State::Running, 0, Some(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for job in 0..20_000 {
                    row.enter(State::Running, job, Some(job as usize));
                }
            });
            for _ in 0..20_000 {
                if let Some(look) = row.consistent_look() {
                    assert_eq!(Some(look.job as usize), look.tube);
                }
            }
        });
        assert_eq!(row.consistent_look().map(|look| look.job), Some(19_999));
    }
}
