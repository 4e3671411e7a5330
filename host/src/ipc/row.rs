//! One slot's row of the scoreboard: what it does and has done.
//!
//! Anybody reads a row; one at a time writes it. What belongs together is
//! guarded by a sequence number, odd while the writer is at it, which allows
//! for one writer only. So it is written through a [`Pen`] alone:
//!
//! - the slot's lane has the row's only pen, behind a lock, for the slot and
//!   the worker's main thread in turn;
//! - the master writes while the row is lent to nobody: when the last owner is
//!   dead, or the next one not yet started ([`Row::clear`]).
//!
//! Counters and marks are not part of that: each is an atomic of its own that
//! anybody may add to. A row outlives its writer, so the master knows what a
//! dead worker was doing.
//!
//! ```text
//!  free ─▶ away (not connected) ─▶ idle (a reserve waits) ─▶ running ─▶ settling ─┐
//!              ▲────────────────────┴────────────────────────────────────────────┘
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// A row's tube while it is unknown.
const NONE: u32 = u32::MAX;

/// What one slot does and has done.
#[repr(C, align(128))]
pub struct Row {
    sequence: AtomicU32,
    state: AtomicU32,
    job: AtomicU64,
    since: AtomicU64,
    /// Never taken back: what a slot noted for an earlier job is older than `since`.
    progress: AtomicU64,
    tube: AtomicU32,
    pub(super) fault: AtomicU32,
    pub(super) apart: AtomicU32,
    deleted: AtomicU32,
    pub(super) worker: AtomicU64,
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
    /// Told not to reserve for now.
    Paused,
}

impl State {
    fn from_number(number: u32) -> State {
        match number {
            1 => State::Away,
            2 => State::Idle,
            3 => State::Running,
            4 => State::Settling,
            5 => State::Paused,
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
    /// When the handler that runs said last that it gets on; [`since_ns`](Self::since_ns) where it has not.
    pub progress_ns: u64,
}

/// What a slot has done since its worker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// The right to say in a row what its slot is at.
///
/// Its methods want it exclusively, so a row with one pen has one writer at a time.
pub struct Pen<'a> {
    row: &'a Row,
}

impl<'a> Pen<'a> {
    /// The pen of a row. Whoever the row is lent to takes it, once.
    pub fn of(row: &'a Row) -> Pen<'a> {
        Pen { row }
    }

    /// Says what the slot is at now, and answers with the time of [`monotonic_ns`] that it noted.
    pub fn enter(&mut self, state: State, job: u64, tube: Option<usize>) -> u64 {
        let now = monotonic_ns();
        self.begin(state, job, tube, false, now);
        now
    }

    /// Says that a job has come whose handler has not begun, at that time of [`monotonic_ns`].
    pub fn job_came(&mut self, job: u64, tube: Option<usize>, now: u64) {
        self.begin(State::Settling, job, tube, false, now);
    }

    /// Says that a handler is given a job that was deleted before; answers like [`Pen::enter`].
    pub fn run_deleted(&mut self, job: u64, tube: Option<usize>) -> u64 {
        let now = monotonic_ns();
        self.begin(State::Running, job, tube, true, now);
        now
    }

    fn begin(&mut self, state: State, job: u64, tube: Option<usize>, deleted: bool, now: u64) {
        let row = self.row;
        row.write(|| {
            row.state.store(state as u32, Ordering::Relaxed);
            row.job.store(job, Ordering::Relaxed);
            row.tube
                .store(tube.map_or(NONE, |index| index as u32), Ordering::Relaxed);
            row.since.store(now, Ordering::Relaxed);
            row.deleted.store(deleted.into(), Ordering::Relaxed);
        });
    }

    /// Says that the job in hand is being settled.
    pub fn settling(&mut self) {
        let row = self.row;
        row.write(|| row.state.store(State::Settling as u32, Ordering::Relaxed));
    }

    /// Adds what was learnt of the tube of a job, if the slot still has it.
    pub fn learn_tube(&mut self, job: u64, tube: usize) {
        let row = self.row;
        if row.job.load(Ordering::Relaxed) == job {
            row.write(|| row.tube.store(tube as u32, Ordering::Relaxed));
        }
    }
}

impl Row {
    /// Says that the handler that runs gets on. Any thread of the handler's may do so.
    pub fn note_progress(&self) {
        self.progress.store(monotonic_ns(), Ordering::Relaxed);
    }

    /// Whether the job in hand was deleted before its handler began.
    pub fn was_deleted(&self) -> bool {
        self.deleted.load(Ordering::Relaxed) != 0
    }

    /// Where a fatal-signal handler notes that this slot's thread is the one at fault.
    pub fn fault(&self) -> &AtomicU32 {
        &self.fault
    }

    /// Where a thread that takes the worker down apart from its jobs leaves its mark: no job is at fault then.
    ///
    /// That of a worker's first row counts for all of them.
    pub fn apart(&self) -> &AtomicU32 {
        &self.apart
    }

    fn write(&self, change: impl FnOnce()) {
        // It never goes back, or a reader could take two writings for none. A writer that died in the
        // middle has left it odd, and the next one ends what that one began.
        let writing = self.sequence.load(Ordering::Relaxed) | 1;
        self.sequence.store(writing, Ordering::Relaxed);
        fence(Ordering::Release);
        change();
        self.sequence.store(writing.wrapping_add(1), Ordering::Release);
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

    pub(super) fn consistent_look(&self) -> Option<Activity> {
        let before = self.sequence.load(Ordering::Acquire);
        let look = self.look();
        fence(Ordering::Acquire);
        let undisturbed = before.is_multiple_of(2) && before == self.sequence.load(Ordering::Relaxed);
        undisturbed.then_some(look)
    }

    fn look(&self) -> Activity {
        let tube = self.tube.load(Ordering::Relaxed);
        let since_ns = self.since.load(Ordering::Relaxed);
        Activity {
            state: State::from_number(self.state.load(Ordering::Relaxed)),
            job: self.job.load(Ordering::Relaxed),
            tube: (tube != NONE).then_some(tube as usize),
            since_ns,
            progress_ns: self.progress.load(Ordering::Relaxed).max(since_ns),
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
    pub(super) fn clear(&self, worker: u64) {
        self.fault.store(0, Ordering::Relaxed);
        self.apart.store(0, Ordering::Relaxed);
        self.worker.store(worker, Ordering::Relaxed);
        self.write(|| {
            self.state.store(State::Free as u32, Ordering::Relaxed);
            self.job.store(0, Ordering::Relaxed);
            self.tube.store(NONE, Ordering::Relaxed);
            self.deleted.store(0, Ordering::Relaxed);
        });
        for counter in [
            &self.done,
            &self.released,
            &self.buried,
            &self.failed,
            &self.executed,
            &self.progress,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn sequence(&self) -> u32 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// As a writer leaves it that dies in the middle.
    #[cfg(test)]
    pub(super) fn leave_half_written(&self) {
        self.sequence.fetch_or(1, Ordering::Relaxed);
    }
}
