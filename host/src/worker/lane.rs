//! A slot's lane: its connection, row and job, as its own thread and the worker's main thread share them.
//!
//! While a reserve waits, nobody but the slot, or the [burst](super::burst), uses the
//! connection; while a handler runs, it is free for whoever asks about the job
//! ([`super::facts`]) or gives it back. Who settles a job is decided once, in
//! [`Lane::claim`].
//!
//! The berth is held by whoever makes the slot's rounds, all the while, and taken
//! first. The connection's lock is held for as long as the queue server takes to
//! answer. Every other lock here is held for a moment, so it may be taken behind
//! the connection's, never before it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, TryLockError,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
};

use asynccall_client::{
    connection::{Connection, Waker},
    protocol::JobId,
};

use super::{
    Shared,
    burst::{Berth, Quarters},
    errand::Errand,
    facts::Knowledge,
    put::Puts,
};
use crate::{
    ipc::row::{Pen, Row, State, monotonic_ns},
    policy,
};

/// What may happen to the connection and the job in hand, and who settles it.
///
/// ```text
///  Nobody ─▶ Waiting ─▶ Starting ─▶ Open ─────────────▶ Slot or Keeper ─▶ Nobody
///               │          ├──────▶ Slot ─▶ Deleted ──▶ Slot or Keeper ─▶ Nobody
///               └──────────┴─▶ Ended: the keeper half-closes a waiting reserve; no handler begins any more
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Settler {
    /// There is no job.
    Nobody,
    /// A reserve waits.
    Waiting,
    /// A job has come; its handler has not begun.
    Starting,
    /// The keeper has ended the waiting reserve, or the job before its handler began.
    Ended,
    /// The handler runs; whoever claims the job first settles it.
    Open,
    /// The handler runs for a job that was deleted before, so that it runs at most once: nothing is left to be
    /// settled, and whoever claims it first says how it ended.
    Deleted,
    /// The slot itself.
    Slot,
    /// The worker's main thread, which gives the job back.
    Keeper,
}

/// A slot's connection, row and job, as its own thread and the worker's main thread share them.
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    row: usize,
    pen: Mutex<Pen<'static>>,
    connection: Mutex<Option<Connection>>,
    waker: Mutex<Option<Waker>>,
    job: AtomicU64,
    reserved_ns: AtomicU64,
    settler: AtomicU8,
    cancelled: AtomicBool,
    /// It takes one job although the pool rests.
    probing: AtomicBool,
    unusable: AtomicBool,
    ended: AtomicBool,
    knowledge: Mutex<Knowledge>,
    /// The JSON view of the body in hand, where the log wants it.
    data: Mutex<Option<Arc<str>>>,
    errand: Errand,
    /// What was put for the job in hand.
    puts: Puts,
    quarters: Quarters,
}

impl Lane {
    /// A slot that is not connected yet.
    pub(super) fn new(shared: Arc<Shared>, row: usize) -> Lane {
        Lane {
            pen: Mutex::new(Pen::of(shared.row(row))),
            shared,
            row,
            connection: Mutex::new(None),
            waker: Mutex::new(None),
            job: AtomicU64::new(0),
            reserved_ns: AtomicU64::new(0),
            settler: AtomicU8::new(Settler::Nobody as u8),
            cancelled: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            unusable: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            knowledge: Mutex::default(),
            data: Mutex::default(),
            errand: Errand::default(),
            puts: Puts::default(),
            quarters: Quarters::default(),
        }
    }

    /// The slot's row of the scoreboard, to read and to count.
    pub(super) fn row(&self) -> &Row {
        self.shared.row(self.row)
    }

    /// The one pen of that row.
    pub(super) fn pen(&self) -> MutexGuard<'_, Pen<'static>> {
        self.pen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in the row what the slot is at; see [`Pen::enter`].
    pub(super) fn enter(&self, state: State, job: u64, tube: Option<usize>) -> u64 {
        let now = self.pen().enter(state, job, tube);
        if matches!(state, State::Idle | State::Paused) {
            self.shared.have_noticed();
        }
        now
    }

    /// Says that a handler is given the job now, and when that is, in nanoseconds of the shared clock.
    pub(super) fn run(&self, id: JobId, tube: Option<usize>) -> u64 {
        let now = self.pen().enter(State::Running, id.0, tube);
        self.shared.scoreboard.set_running(self.row, self.key(id));
        self.shared.have_watched();
        now
    }

    /// The same for a job that was deleted before: it comes back to nobody, so nobody has to know that it runs.
    pub(super) fn run_deleted(&self, id: JobId, tube: Option<usize>) -> u64 {
        let now = self.pen().run_deleted(id.0, tube);
        self.shared.have_watched();
        now
    }

    /// The pool's retry policy.
    pub(super) fn retry(&self) -> &policy::Settings {
        &self.shared.retry
    }

    /// Whether the slot may reserve a job.
    pub(super) fn reserves(&self) -> bool {
        let shared = &self.shared;
        shared.reserves() || (self.is_probing() && !shared.is_quiet() && shared.company.is_open())
    }

    /// The same after taking the offer to try a job, if there is one. Called by the slot.
    pub(super) fn takes_jobs(&self) -> bool {
        if !self.shared.is_at_work() {
            self.begin_probe();
        }
        self.reserves()
    }

    /// Whether the slot is to take one job although the pool rests.
    pub(super) fn is_probing(&self) -> bool {
        self.probing.load(Ordering::Acquire)
    }

    fn begin_probe(&self) {
        if self.shared.breaker.take_offer() {
            self.probing.store(true, Ordering::Release);
        }
    }

    /// Ends the slot's probe; `true` where there was one.
    pub(super) fn end_probe(&self) -> bool {
        self.is_probing() && self.probing.swap(false, Ordering::AcqRel)
    }

    /// The index of that row.
    pub(super) fn row_index(&self) -> usize {
        self.row
    }

    /// Says that the handler has ended, or that the job is taken from it.
    pub(super) fn not_running(&self) {
        self.shared.scoreboard.set_running(self.row, 0);
    }

    /// The job is settled for good: nothing has to be remembered of it.
    pub(super) fn forget(&self, id: JobId) {
        let key = self.key(id);
        self.shared.scoreboard.suspects().remove(key);
        self.shared.scoreboard.delays().remove(key);
    }

    /// The job was released with the delay that its last death asks for.
    pub(super) fn delay_served(&self, id: JobId) {
        self.shared.scoreboard.delay_served(self.key(id), self.row);
    }

    /// How often the job was released without having failed.
    pub(super) fn uncounted(&self, id: JobId) -> u32 {
        self.shared.scoreboard.delays().count(self.key(id))
    }

    /// Counts one more of these.
    pub(super) fn leave_uncounted(&self, id: JobId) {
        self.shared.scoreboard.delays().add(self.key(id));
    }

    /// What the job is called on the scoreboard.
    pub(super) fn key(&self, id: JobId) -> u64 {
        self.shared.server.key(id.0)
    }

    /// Without its connection the job goes back to the queue: nobody can settle it any more.
    pub(super) fn give_up_connection(&self) {
        self.unusable.store(true, Ordering::Relaxed);
        self.cancel();
    }

    /// Whether the connection has to be given up, because it holds a job that could not be settled.
    pub(super) fn is_unusable(&self) -> bool {
        self.unusable.load(Ordering::Relaxed)
    }

    /// What is known of the job in hand.
    pub(super) fn knowledge(&self) -> MutexGuard<'_, Knowledge> {
        self.knowledge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the log shows of the body in hand; nothing is kept where it shows none.
    pub(super) fn data(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot does nothing more.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether the slot does nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// What the main thread has others do for this lane.
    pub(super) fn errand(&self) -> &Errand {
        &self.errand
    }

    /// What was put for the job in hand.
    pub(super) fn puts(&self) -> &Puts {
        &self.puts
    }

    /// Where its own thread and the burst's hand its rounds to each other.
    pub(super) fn quarters(&self) -> &Quarters {
        &self.quarters
    }

    /// Its rounds, for its own thread.
    pub(super) fn berth(&self) -> MutexGuard<'_, Berth> {
        self.quarters.berth()
    }

    /// When the job in hand came, in nanoseconds of the shared clock.
    pub(super) fn reserved_ns(&self) -> u64 {
        self.reserved_ns.load(Ordering::Acquire)
    }

    /// Whether a handler runs for that job, and nobody has begun to settle it.
    pub(super) fn is_open(&self, job: JobId) -> bool {
        self.job() == job && self.settler.load(Ordering::Acquire) == Settler::Open as u8
    }

    /// Whether a handler runs whose job nobody has claimed.
    pub(super) fn is_claimable(&self) -> bool {
        let settler = self.settler.load(Ordering::Acquire);
        [Settler::Open as u8, Settler::Deleted as u8].contains(&settler)
    }

    /// Takes the right to settle the job in hand. `true` for one caller only.
    pub(super) fn claim(&self, settler: Settler) -> bool {
        self.change(Settler::Open, settler)
    }

    /// The same for a job that was deleted before its handler began.
    pub(super) fn claim_deleted(&self, settler: Settler) -> bool {
        self.change(Settler::Deleted, settler)
    }

    /// The handler is about to begin for a job that the slot has deleted.
    pub(super) fn open_deleted(&self) -> bool {
        self.change(Settler::Slot, Settler::Deleted)
    }

    /// The handler is about to begin. `false` where the keeper has ended that.
    pub(super) fn open(&self) -> bool {
        self.change(Settler::Starting, Settler::Open)
    }

    /// Whether a job has come whose handler has not begun, and the keeper lets it.
    pub(super) fn is_starting(&self) -> bool {
        self.settler.load(Ordering::Acquire) == Settler::Starting as u8
    }

    /// The slot settles the job although its handler has not begun. `false` where the keeper has ended that.
    pub(super) fn claim_unopened(&self) -> bool {
        self.change(Settler::Starting, Settler::Slot)
    }

    fn change(&self, from: Settler, to: Settler) -> bool {
        let (from, to) = (from as u8, to as u8);
        self.settler
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The job in hand; only of use to whoever has claimed it.
    pub(super) fn job(&self) -> JobId {
        JobId(self.job.load(Ordering::Acquire))
    }

    /// Whether the slot itself has claimed the job in hand.
    pub(super) fn is_claimed_by_slot(&self) -> bool {
        self.settler.load(Ordering::Acquire) == Settler::Slot as u8
    }

    /// Whether the worker's main thread has claimed the job in hand.
    pub(super) fn is_given_back(&self) -> bool {
        self.settler.load(Ordering::Acquire) == Settler::Keeper as u8
    }

    /// Tells the handler, when it asks, that it should give up.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the handler should give up.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Ends a waiting reserve: the queue server answers a half-closed connection at once.
    ///
    /// A job that the server has handed out already is refused by the slot, so that it is never executed
    /// on a connection that cannot settle it.
    pub(super) fn end_waiting(&self) {
        if self.change(Settler::Waiting, Settler::Ended)
            && let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
        {
            waker.half_close();
        }
    }

    /// Ends what the slot is at before a handler begins: the reserve that waits, or the job that has come.
    pub(super) fn end_early(&self) {
        self.end_waiting();
        self.change(Settler::Starting, Settler::Ended);
        self.shared.company.wake();
    }

    /// The connection, if nobody uses it now.
    pub(super) fn try_connection(&self) -> Option<MutexGuard<'_, Option<Connection>>> {
        match self.connection.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn install(&self, connection: Option<Connection>) {
        self.unusable.store(false, Ordering::Relaxed);
        self.puts.forget_tube();
        let waker = connection.as_ref().map(Connection::waker);
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker;
        *self.connection() = connection;
    }

    pub(super) fn begin_waiting(&self) {
        self.settler.store(Settler::Waiting as u8, Ordering::Release);
    }

    /// `false` where the keeper has ended the reserve that the job came from.
    pub(super) fn begin_job(&self, id: JobId) -> bool {
        let now = monotonic_ns();
        self.job.store(id.0, Ordering::Release);
        self.reserved_ns.store(now, Ordering::Release);
        self.knowledge().forget();
        self.puts.begin();
        self.cancelled.store(false, Ordering::Relaxed);
        let begins = self.change(Settler::Waiting, Settler::Starting);
        if begins {
            // Not running yet: whatever happens before the handler begins is no fault of the job.
            self.pen().job_came(id.0, self.shared.tubes.only(), now);
        }
        begins
    }

    pub(super) fn end_job(&self) {
        self.settler.store(Settler::Nobody as u8, Ordering::Release);
    }
}
