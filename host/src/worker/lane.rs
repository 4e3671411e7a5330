//! A slot's lane: its connection, row and job, as its own thread and the worker's main thread share them.
//!
//! While a reserve waits, the slot holds the connection; while a handler runs,
//! the connection is free for whoever asks about the job or gives it back. Who
//! settles a job is decided once, in [`Lane::claim`]. What is known of a job is
//! locked before the connection, never behind it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, TryLockError,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
};

use asynccall_client::{
    connection::{Connection, ConnectionError, Waker},
    protocol::JobId,
};
use tracing::warn;

use super::{
    Shared,
    facts::{self, Facts, Knowledge},
};
use crate::{
    ipc::{
        delays::AskedDelays,
        row::{Row, monotonic_ns},
    },
    observe::line::chain,
    policy,
};

/// What may happen to the connection and the job in hand, and who settles it.
///
/// ```text
///  Nobody ─▶ Waiting ─▶ Starting ─▶ Open ─▶ Slot or Keeper ─▶ Nobody
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
    /// The slot itself.
    Slot,
    /// The worker's main thread, which gives the job back.
    Keeper,
}

/// A slot's connection, row and job, as its own thread and the worker's main thread share them.
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    row: usize,
    connection: Mutex<Option<Connection>>,
    waker: Mutex<Option<Waker>>,
    job: AtomicU64,
    settler: AtomicU8,
    cancelled: AtomicBool,
    /// It takes one job although the pool rests.
    probing: AtomicBool,
    unusable: AtomicBool,
    knowledge: Mutex<Knowledge>,
}

impl Lane {
    /// A slot that is not connected yet.
    pub(super) fn new(shared: Arc<Shared>, row: usize) -> Lane {
        Lane {
            shared,
            row,
            connection: Mutex::new(None),
            waker: Mutex::new(None),
            job: AtomicU64::new(0),
            settler: AtomicU8::new(Settler::Nobody as u8),
            cancelled: AtomicBool::new(false),
            probing: AtomicBool::new(false),
            unusable: AtomicBool::new(false),
            knowledge: Mutex::default(),
        }
    }

    /// The slot's row of the scoreboard.
    pub(super) fn row(&self) -> &Row {
        self.shared.row(self.row)
    }

    /// The pool's retry policy.
    pub(super) fn retry(&self) -> &policy::Settings {
        &self.shared.retry
    }

    /// Whether the slot may reserve a job.
    pub(super) fn reserves(&self) -> bool {
        self.shared.reserves() || (self.is_probing() && !self.shared.is_quiet())
    }

    /// Whether the slot is to take one job although the pool rests.
    pub(super) fn is_probing(&self) -> bool {
        self.probing.load(Ordering::Acquire)
    }

    /// Takes the offer to try a job, if there is one. Called by the slot.
    pub(super) fn begin_probe(&self) -> bool {
        if self.shared.breaker.take_offer() {
            self.probing.store(true, Ordering::Release);
        }
        self.is_probing()
    }

    /// Ends the slot's probe; `true` where there was one.
    pub(super) fn end_probe(&self) -> bool {
        self.is_probing() && self.probing.swap(false, Ordering::AcqRel)
    }

    /// The index of that row.
    pub(super) fn row_index(&self) -> usize {
        self.row
    }

    /// Says that a handler is given the job now.
    pub(super) fn running(&self, id: JobId) {
        self.shared.scoreboard.set_running(self.row, id.0);
    }

    /// Says that the handler has ended, or that the job is taken from it.
    pub(super) fn not_running(&self) {
        self.shared.scoreboard.set_running(self.row, 0);
    }

    /// The job is settled for good: nothing has to be remembered of it.
    pub(super) fn forget(&self, id: JobId) {
        self.shared.scoreboard.suspects().remove(id.0);
        self.shared.scoreboard.delays().remove(id.0);
    }

    /// The job was released with the delay that its last death asks for.
    pub(super) fn delay_served(&self, id: JobId) {
        self.shared.scoreboard.suspects().served(id.0);
    }

    /// How often the job was released because its handler asked for a delay.
    pub(super) fn delays(&self) -> &AskedDelays {
        self.shared.scoreboard.delays()
    }

    /// Sends something about the job in hand over its own connection.
    pub(super) fn ask<T>(
        &self,
        question: impl FnOnce(&mut Connection) -> Result<T, ConnectionError>,
    ) -> Result<T, ConnectionError> {
        let answer = match self.connection().as_mut() {
            Some(connection) => question(connection),
            None => Err(ConnectionError::Broken),
        };
        if answer.is_err() {
            self.give_up_connection();
        }
        answer
    }

    /// Without its connection the job goes back to the queue: nobody can settle it any more.
    fn give_up_connection(&self) {
        self.unusable.store(true, Ordering::Relaxed);
        self.cancel();
    }

    /// Whether the connection has to be given up, because it holds a job that could not be settled.
    pub(super) fn is_unusable(&self) -> bool {
        self.unusable.load(Ordering::Relaxed)
    }

    /// The same for whoever must not wait: nothing where the connection is in use, or the job is not in hand
    /// any more or being settled.
    pub(super) fn try_ask<T>(
        &self,
        job: JobId,
        question: impl FnOnce(&mut Connection) -> Result<T, ConnectionError>,
    ) -> Option<Result<T, ConnectionError>> {
        let mut guard = self.try_connection()?;
        // Whoever settles the job takes the connection after this check, so it cannot have been told of it yet.
        let in_hand = self.job() == job && self.settler.load(Ordering::Acquire) == Settler::Open as u8;
        let connection = guard.as_mut().filter(|_| in_hand)?;
        let answer = question(connection);
        if answer.is_err() {
            self.give_up_connection();
        }
        Some(answer)
    }

    /// What the queue server knows of the job in hand; asks where nobody has. `None`: the job is lost.
    pub(super) fn facts(&self, job: JobId) -> Option<Facts> {
        let mut knowledge = self.knowledge();
        if let Some(known) = knowledge.of(job) {
            return known;
        }
        let asked =
            self.ask(|connection| facts::ask(connection, job, &self.shared.tubes, self.reserved_ns()));
        self.learn(&mut knowledge, job, asked)
    }

    /// Asks over a connection that the caller holds, and remembers nothing.
    pub(super) fn ask_facts(
        &self,
        connection: &mut Connection,
        job: JobId,
    ) -> Result<Option<Facts>, ConnectionError> {
        facts::ask(connection, job, &self.shared.tubes, self.reserved_ns())
    }

    /// The same for whoever must not wait.
    pub(super) fn try_facts(&self, job: JobId) -> Option<Option<Facts>> {
        let mut knowledge = self.knowledge();
        if let Some(known) = knowledge.of(job) {
            return Some(known);
        }
        let asked = self.try_ask(job, |connection| {
            facts::ask(connection, job, &self.shared.tubes, self.reserved_ns())
        })?;
        Some(self.learn(&mut knowledge, job, asked))
    }

    fn learn(
        &self,
        knowledge: &mut Knowledge,
        job: JobId,
        asked: Result<Option<Facts>, ConnectionError>,
    ) -> Option<Facts> {
        let facts = asked.unwrap_or_else(|error| {
            warn!(
                job = job.0,
                error = chain(&error),
                "cannot ask the queue server about the job"
            );
            None
        });
        if let Some(index) = facts.and_then(|facts| facts.tube) {
            self.row().learn_tube(index);
        }
        knowledge.learn(job, facts);
        facts
    }

    /// Asks the queue server for a fresh time to run. `false` where the job is not ours any more.
    pub(super) fn touch(&self, job: JobId) -> bool {
        let touched = self.ask(|connection| connection.touch(job)).unwrap_or(false);
        if touched {
            self.knowledge().touched(job, monotonic_ns());
        }
        touched
    }

    /// The same for whoever must not wait.
    pub(super) fn try_touch(&self, job: JobId) -> Option<Result<bool, ConnectionError>> {
        let touched = self.try_ask(job, |connection| connection.touch(job))?;
        if matches!(touched, Ok(true)) {
            self.knowledge().touched(job, monotonic_ns());
        }
        Some(touched)
    }

    /// What is known already of the job in hand. Nothing while somebody is asking: whoever holds the
    /// connection must not wait for whoever waits for it.
    pub(super) fn known_facts(&self, job: JobId) -> Option<Facts> {
        self.knowledge.try_lock().ok()?.of(job).flatten()
    }

    /// The job went back to the queue under its handler: nobody can settle it any more.
    pub(super) fn lose(&self, job: JobId) {
        self.knowledge().learn(job, None);
        self.cancel();
    }

    fn knowledge(&self) -> MutexGuard<'_, Knowledge> {
        self.knowledge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserved_ns(&self) -> u64 {
        self.row().activity().since_ns
    }

    /// Takes the right to settle the job in hand. `true` for one caller only.
    pub(super) fn claim(&self, settler: Settler) -> bool {
        self.change(Settler::Open, settler)
    }

    /// The handler is about to begin. `false` where the keeper has ended that.
    pub(super) fn open(&self) -> bool {
        self.change(Settler::Starting, Settler::Open)
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
        let waker = connection.as_ref().map(Connection::waker);
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker;
        *self.connection() = connection;
    }

    pub(super) fn begin_waiting(&self) {
        self.settler.store(Settler::Waiting as u8, Ordering::Release);
    }

    /// `false` where the keeper has ended the reserve that the job came from.
    pub(super) fn begin_job(&self, id: JobId) -> bool {
        self.job.store(id.0, Ordering::Release);
        self.knowledge().forget();
        self.cancelled.store(false, Ordering::Relaxed);
        self.change(Settler::Waiting, Settler::Starting)
    }

    pub(super) fn end_job(&self) {
        self.settler.store(Settler::Nobody as u8, Ordering::Release);
    }
}
