//! A slot: one thread, one connection, one job at a time.
//!
//! ```text
//!  connect ─▶ watch ─▶ reserve ─▶ execute ─▶ decide ─▶ settle + next reserve, in one write ─┐
//!     ▲                   ▲───────────────────────────────────────────────────────────────┘
//!     └── any error of the connection; what was reserved on it comes back by itself
//! ```
//!
//! While a reserve waits, the slot holds its connection; while a handler runs,
//! the connection is free for whoever asks about the job or gives it back. Who
//! settles a job is decided once, in [`Line::claim`].

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use asynccall_client::{
    connection::{Address, Connection, ConnectionError, Options, Waker},
    protocol::{Command, JobId, Reply, Verb},
};
use tracing::{debug, info, warn};

use super::{
    Shared,
    execute::{Inconclusive, Pending, execute},
    facts::{self, Facts, Knowledge},
    fatal,
    recover::{self, Unsettled},
};
use crate::{
    ipc::{
        delays::AskedDelays,
        scoreboard::{Row, State, monotonic_ns},
    },
    observe::{line::chain, log},
    policy,
};

/// Wait before the first reconnect; each further failure doubles it.
const FIRST_RECONNECT: Duration = Duration::from_millis(100);
/// The longest wait before a reconnect.
const LONGEST_RECONNECT: Duration = Duration::from_secs(10);

/// What may happen to the connection and the job in hand, and who settles it.
///
/// ```text
///  Nobody ─▶ Waiting ─▶ Open ─▶ Slot or Keeper ─▶ Nobody
///               └─▶ Ended: the keeper half-closes; a job that still comes is not executed
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Settler {
    /// There is no job.
    Nobody,
    /// A reserve waits.
    Waiting,
    /// The keeper has ended the waiting reserve.
    Ended,
    /// The handler runs; whoever claims the job first settles it.
    Open,
    /// The slot itself.
    Slot,
    /// The worker's main thread, which gives the job back.
    Keeper,
}

/// A slot's connection, row and job, as its own thread and the worker's main thread share them.
pub(super) struct Line {
    shared: Arc<Shared>,
    row: usize,
    connection: Mutex<Option<Connection>>,
    waker: Mutex<Option<Waker>>,
    job: AtomicU64,
    settler: AtomicU8,
    cancelled: AtomicBool,
    unusable: AtomicBool,
    knowledge: Mutex<Knowledge>,
}

impl Line {
    /// A slot that is not connected yet.
    pub(super) fn new(shared: Arc<Shared>, row: usize) -> Line {
        Line {
            shared,
            row,
            connection: Mutex::new(None),
            waker: Mutex::new(None),
            job: AtomicU64::new(0),
            settler: AtomicU8::new(Settler::Nobody as u8),
            cancelled: AtomicBool::new(false),
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

    /// The connection, if nobody uses it now.
    pub(super) fn try_connection(&self) -> Option<MutexGuard<'_, Option<Connection>>> {
        match self.connection.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn install(&self, connection: Option<Connection>) {
        self.unusable.store(false, Ordering::Relaxed);
        let waker = connection.as_ref().map(Connection::waker);
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker;
        *self.connection() = connection;
    }

    fn begin_waiting(&self) {
        self.settler.store(Settler::Waiting as u8, Ordering::Release);
    }

    /// `false` where the keeper has ended the reserve that the job came from.
    fn begin_job(&self, id: JobId) -> bool {
        self.job.store(id.0, Ordering::Release);
        self.knowledge().forget();
        self.cancelled.store(false, Ordering::Relaxed);
        self.change(Settler::Waiting, Settler::Open)
    }

    fn end_job(&self) {
        self.settler.store(Settler::Nobody as u8, Ordering::Release);
    }
}

/// How often a slot that should be quiet tries to reach a queue server that has to hear of a done job.
const LAST_TRIES: u32 = 5;
/// How many `watch` commands go out before their answers are read.
const WATCHES_AT_ONCE: usize = 64;
/// The memory that a slot keeps for bodies; a larger one is given back after its job.
const BODY_KEPT: usize = 1024 * 1024;

/// What came of waiting for a job.
enum Reserved {
    Job(JobId),
    Nothing,
}

/// Why a connection is not used any further, and what was left unsettled on it.
struct Lost {
    error: ConnectionError,
    unsettled: Option<Unsettled>,
}

impl From<ConnectionError> for Box<Lost> {
    fn from(error: ConnectionError) -> Box<Lost> {
        Box::new(Lost {
            error,
            unsettled: None,
        })
    }
}

/// The slot's thread: works until the worker is quiet and nothing is left unsettled.
pub(super) fn run(line: &Line) {
    let shared = &line.shared;
    fatal::mark_thread(shared.mark(line.row));
    while !shared.is_at_work() && !shared.is_quiet() {
        thread::park();
    }
    let mut failures = 0;
    let mut body = Vec::new();
    let mut unsettled: Option<Unsettled> = None;
    let mut last_tries = LAST_TRIES;
    while !shared.is_quiet() || (unsettled.is_some() && last_tries > 0) {
        last_tries -= u32::from(shared.is_quiet());
        line.row().enter(State::Away, 0, None);
        if let Some(unsettled) = &unsettled {
            recover::show(line, unsettled);
        }
        let began = Instant::now();
        let Err(lost) = work(line, &mut unsettled, failures > 0, &mut body) else {
            continue;
        };
        unsettled = lost.unsettled.or(unsettled);
        // A server that accepts and drops at once must not be asked at full speed.
        failures = if began.elapsed() > LONGEST_RECONNECT {
            1
        } else {
            failures + 1
        };
        let what = match lost.error {
            ConnectionError::Connect { .. } => "cannot reach the queue server, trying again",
            _ => "connection to the queue server lost, connecting again",
        };
        warn!(server = %shared.address, error = chain(&lost.error), "{what}");
        if !shared.is_quiet() || unsettled.is_some() {
            thread::park_timeout(reconnect_delay(failures, line.row));
        }
    }
    if let Some(unsettled) = unsettled {
        unsettled
            .pending
            .log_unknown("the worker leaves before the queue server is back");
    }
    line.row().enter(State::Free, 0, None);
}

/// Connects, settles what an earlier connection left, and works until that is over.
fn work(
    line: &Line,
    unsettled: &mut Option<Unsettled>,
    again: bool,
    body: &mut Vec<u8>,
) -> Result<(), Box<Lost>> {
    let shared = &line.shared;
    let mut connection = connect(&shared.address, &shared.options, shared)?;
    if again {
        info!(server = %shared.address, "connected again");
    }
    if let Some(left) = unsettled.as_ref() {
        recover::recover(line, shared, &mut connection, left)?;
        *unsettled = None;
    }
    line.install(Some(connection));
    let served = serve(line, body);
    line.install(None);
    log::set_job(None);
    served
}

/// Doubles from [`FIRST_RECONNECT`] to [`LONGEST_RECONNECT`], shortened by up to a quarter, differently for each slot.
fn reconnect_delay(failures: u32, slot: usize) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let full = FIRST_RECONNECT
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST_RECONNECT);
    let quarter = full / 4;
    let part = RandomState::new().hash_one(slot) as f64 / u64::MAX as f64;
    full - quarter.mul_f64(part)
}

/// Connects and watches the pool's tubes.
///
/// In batches: a server that cannot write its answers reads no further commands.
fn connect(address: &Address, options: &Options, shared: &Shared) -> Result<Connection, ConnectionError> {
    let mut connection = Connection::connect(address, options)?;
    let mut commands: Vec<Command<'_>> = shared
        .tubes
        .wire()
        .map(|tube| Command::Watch(tube.clone()))
        .collect();
    if shared.tubes.wire().all(|tube| *tube != shared.default_tube) {
        commands.push(Command::Ignore(shared.default_tube.clone()));
    }
    for batch in commands.chunks(WATCHES_AT_ONCE) {
        batch.iter().for_each(|command| connection.queue(command));
        connection.flush()?;
        for command in batch {
            if let Reply::Error(reply) = connection.receive()? {
                return Err(ConnectionError::Server {
                    command: command.verb(),
                    reply,
                });
            }
        }
    }
    Ok(connection)
}

/// Works on one connection until the worker is quiet or the connection fails.
fn serve(line: &Line, body: &mut Vec<u8>) -> Result<(), Box<Lost>> {
    let mut pending: Option<Pending> = None;
    loop {
        let reserved = {
            let mut guard = line.connection();
            let Some(connection) = guard.as_mut() else {
                return Ok(());
            };
            let goes_on = !line.shared.is_quiet();
            if let Some(pending) = &pending {
                connection.queue(&pending.command());
            }
            if goes_on {
                connection.queue(&Command::ReserveWithTimeout {
                    seconds: line.shared.reserve_seconds,
                });
            }
            let sent = if pending.is_some() || goes_on {
                connection.flush()
            } else {
                Ok(())
            };
            if let Some(pending) = pending.take() {
                let reply = sent.and_then(|()| connection.receive());
                pending
                    .conclude(line, reply)
                    .map_err(|inconclusive| lost(*inconclusive, body))?;
                line.end_job();
                log::set_job(None);
            } else {
                sent?;
            }
            if !goes_on {
                return Ok(());
            }
            line.begin_waiting();
            line.row().enter(State::Idle, 0, None);
            receive_job(connection, body)?
        };
        match reserved {
            Reserved::Nothing => line.end_job(),
            Reserved::Job(id) if !line.begin_job(id) => {
                info!(
                    job = id.0,
                    "reserved while going quiet: the queue server hands it out again"
                );
                return Ok(());
            }
            Reserved::Job(id) => {
                pending = execute(line, &line.shared, id, body);
                if line.is_given_back() {
                    return Ok(());
                }
                if pending.is_none() {
                    // Settled already, or not ours any more.
                    line.row().settling();
                    line.end_job();
                }
                if line.is_unusable() {
                    let concluded = pending.map_or(Ok(()), |pending| {
                        pending.conclude(line, Err(ConnectionError::Broken))
                    });
                    concluded.map_err(|inconclusive| lost(*inconclusive, body))?;
                    return Err(ConnectionError::Broken.into());
                }
            }
        }
    }
}

fn lost(inconclusive: Inconclusive, body: &mut Vec<u8>) -> Box<Lost> {
    let unsettled = inconclusive.left.map(|pending| Unsettled {
        pending,
        body: std::mem::take(body),
    });
    Box::new(Lost {
        error: inconclusive.error,
        unsettled,
    })
}

fn receive_job(connection: &mut Connection, body: &mut Vec<u8>) -> Result<Reserved, ConnectionError> {
    let id = match connection.receive()? {
        Reply::Reserved { id, body: bytes } => {
            body.clear();
            if bytes.len() <= BODY_KEPT {
                body.shrink_to(BODY_KEPT);
            }
            body.extend_from_slice(bytes);
            id
        }
        Reply::TimedOut => return Ok(Reserved::Nothing),
        Reply::DeadlineSoon => {
            debug!("the queue server says that a job of this connection is about to run out of time");
            return Ok(Reserved::Nothing);
        }
        Reply::Error(reply) => {
            return Err(ConnectionError::Server {
                command: Verb::ReserveWithTimeout,
                reply,
            });
        }
        // The connection has checked that the reply fits the command.
        _ => return Err(ConnectionError::Broken),
    };
    Ok(Reserved::Job(id))
}
