//! Bursts: while many short jobs come, one thread serves all slots of its worker.
//!
//! A slot's thread waits for its own connection, so nobody waits for anybody else's job. But where handlers return
//! within microseconds, most of what a job costs is the switch from one thread to the next. Then the slots' threads
//! hand their rounds over and sleep, and the burst's thread makes them all, with one wait for the answers to all.
//!
//! ```text
//!  slot's thread ──board, while the pace is brisk──▶ guest, served by the burst's thread ──▶ sent home
//!        ▲                                                                                     │
//!        └─────────────────────────────────────────────────────────────────────────────────────┘
//!     at a lull or a slower pace; when its connection is lost, or it is to reserve no more;
//!     and by the worker's main thread, when a handler keeps the others waiting
//! ```
//!
//! The burst's thread has no slot of its own: a handler that keeps it keeps nobody else, once the others are home.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
};
use tracing::{debug, warn};

use super::{
    facts::nanoseconds,
    keeper::Keeper,
    lane::Lane,
    pace::Pace,
    round::{Course, Lost, Round},
};
use crate::ipc::row::{State, monotonic_ns};

/// A burst in which no answer has come for this long is over, in milliseconds.
const LULL: u16 = 5;
/// How often the main thread looks whether a handler keeps the others waiting.
const LOOK: Duration = Duration::from_millis(10);
/// A guest whose answer has not come for this long is better off at home, where it is known how long to wait.
const SILENCE: Duration = Duration::from_secs(1);
/// How many connections with answers are heard of at once.
const ANSWERS: usize = 32;
/// To hand its rounds over and to get them back costs a slot what a burst saves it in fewer rounds than these.
const WORTH: u64 = 4;

/// A slot's rounds, for whoever makes them.
#[derive(Default)]
pub(super) struct Berth {
    pub(super) round: Round,
    /// How the burst's last round for this slot ended, if not with a reserve on its way.
    outcome: Option<Result<Course, Box<Lost>>>,
}

/// Where a slot's own thread and the burst's hand its rounds to each other.
#[derive(Default)]
pub(super) struct Quarters {
    berth: Mutex<Berth>,
    sent_home: Condvar,
    /// The burst's thread makes the rounds. Changed with the berth in hand.
    guest: AtomicBool,
}

impl Quarters {
    /// The slot's rounds, for its own thread: they are its own for as long as it does not board.
    pub(super) fn berth(&self) -> MutexGuard<'_, Berth> {
        self.berth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_guest(&self) -> bool {
        self.guest.load(Ordering::Acquire)
    }

    /// A guest's rounds, unless they are being made.
    fn guest(&self) -> Option<MutexGuard<'_, Berth>> {
        if !self.is_guest() {
            return None;
        }
        let berth = match self.berth.try_lock() {
            Ok(berth) => berth,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        self.is_guest().then_some(berth)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Rests,
    Runs,
    /// The worker leaves.
    Closed,
}

/// A worker's bursts: one at a time.
pub(super) struct Burst {
    pub(super) pace: Pace,
    phase: Mutex<Phase>,
    changed: Condvar,
    epoll: Epoll,
    /// Odd while a slot is served. Changed by the burst's thread alone.
    step: AtomicU64,
    /// A handler keeps the others waiting: this burst takes nobody in any more.
    broken_up: AtomicBool,
}

impl Burst {
    pub(super) fn new() -> io::Result<Burst> {
        Ok(Burst {
            pace: Pace::default(),
            phase: Mutex::new(Phase::Rests),
            changed: Condvar::new(),
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            step: AtomicU64::new(0),
            broken_up: AtomicBool::new(false),
        })
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No burst begins any more.
    pub(super) fn close(&self) {
        *self.phase() = Phase::Closed;
        self.changed.notify_one();
    }

    /// Takes a slot in whose answers are on their way. `false` where it is better off at home.
    fn admit(&self, lane: &Lane) -> bool {
        let mut phase = self.phase();
        if *phase == Phase::Closed || self.broken_up.load(Ordering::Relaxed) {
            return false;
        }
        let mut connection = lane.connection();
        let Some(connection) = connection.as_mut() else {
            return false;
        };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, lane.row_index() as u64);
        // An error is reported with the next reply.
        let _reported = connection.wait_outside();
        if let Err(error) = self.epoll.add(&*connection, event) {
            warn!(error = %error, "cannot wait for several connections at once");
            self.pace.stumble();
            return false;
        }
        lane.quarters().guest.store(true, Ordering::Release);
        if *phase == Phase::Rests {
            *phase = Phase::Runs;
            self.changed.notify_one();
        }
        true
    }

    fn send_home(&self, lane: &Lane, berth: MutexGuard<'_, Berth>) {
        if let Some(connection) = lane.connection().as_ref()
            && let Err(error) = self.epoll.delete(connection)
        {
            // It would be reported for ever, and is closed at home.
            warn!(error = %error, "cannot leave a connection to its slot");
            lane.give_up_connection();
        }
        lane.quarters().guest.store(false, Ordering::Release);
        drop(berth);
        lane.quarters().sent_home.notify_one();
    }

    /// The burst's thread: serves one burst after the other.
    pub(super) fn run(&self, lanes: &[Arc<Lane>]) {
        while self.wait_for_guests() {
            if let Some(lane) = lanes.first() {
                // The main thread looks after bursts while there are any.
                lane.shared.ring();
            }
            debug!("a burst of short jobs: one thread serves all slots");
            let before = self.rounds();
            if let Err(error) = self.serve(lanes) {
                warn!(error = %error, "cannot wait for several connections at once");
                self.pace.stumble();
            }
            let guests = self.end(lanes);
            if self.rounds() - before < WORTH * guests {
                self.pace.regret();
            }
            debug!("the burst is over: each slot has its own thread again");
        }
    }

    /// How many rounds were made so far.
    fn rounds(&self) -> u64 {
        self.step.load(Ordering::Relaxed) / 2
    }

    fn wait_for_guests(&self) -> bool {
        let rests = |phase: &mut Phase| *phase == Phase::Rests;
        let phase = self.changed.wait_while(self.phase(), rests);
        *phase.unwrap_or_else(PoisonError::into_inner) == Phase::Runs
    }

    fn serve(&self, lanes: &[Arc<Lane>]) -> io::Result<()> {
        let first_row = lanes.first().map_or(0, |lane| lane.row_index());
        let mut answers = [EpollEvent::empty(); ANSWERS];
        let mut step = self.step.load(Ordering::Relaxed);
        loop {
            let count = match self.epoll.wait(&mut answers, LULL) {
                Ok(0) => {
                    self.pace.rest();
                    return Ok(());
                }
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
            for answer in &answers[..count] {
                if self.broken_up.load(Ordering::Acquire) {
                    return Ok(());
                }
                if let Some(lane) = lanes.get(answer.data() as usize - first_row) {
                    self.step.store(step + 1, Ordering::Release);
                    self.make_round(lane);
                    step += 2;
                    self.step.store(step, Ordering::Release);
                }
            }
            if !self.pace.is_brisk() {
                return Ok(());
            }
        }
    }

    fn make_round(&self, lane: &Lane) {
        let Some(mut berth) = lane.quarters().guest() else {
            return;
        };
        berth.round.take_up(lane);
        let outcome = berth.round.advance(lane);
        berth.round.hand_over();
        let outcome = outcome.transpose();
        // With no reserve on its way the slot has nothing to do but to hear of its last job.
        let stays = outcome.is_none() && berth.round.reserves();
        berth.outcome = outcome;
        if !stays {
            self.send_home(lane, berth);
        }
    }

    /// Sends everybody home; how many there were.
    fn end(&self, lanes: &[Arc<Lane>]) -> u64 {
        // Held, so that nobody boards meanwhile.
        let mut phase = self.phase();
        let mut guests = 0;
        for lane in lanes {
            // Who has a guest's berth is about to sleep, or sends it home. Not waited for by its lock: at home it is held for good.
            while lane.quarters().is_guest() {
                match lane.quarters().guest() {
                    Some(berth) => {
                        self.send_home(lane, berth);
                        guests += 1;
                    }
                    None => thread::yield_now(),
                }
            }
        }
        self.broken_up.store(false, Ordering::Relaxed);
        if *phase == Phase::Runs {
            *phase = Phase::Rests;
        }
        guests
    }

    /// Sends everybody home but the one whose handler keeps the others waiting.
    pub(super) fn break_up(&self, lanes: &[Arc<Lane>]) {
        {
            let _nobody_boards = self.phase();
            self.broken_up.store(true, Ordering::Release);
        }
        self.pace.stumble();
        for lane in lanes {
            if let Some(berth) = lane.quarters().guest() {
                self.send_home(lane, berth);
            }
        }
    }

    /// Looks after a guest whose answer lets itself be waited for. Called by the main thread.
    fn help(&self, lane: &Lane) {
        let activity = lane.row().activity();
        let waited = Duration::from_nanos(monotonic_ns().saturating_sub(activity.since_ns));
        if waited < LOOK || !matches!(activity.state, State::Settling | State::Idle) {
            return;
        }
        let Some(berth) = lane.quarters().guest() else {
            return;
        };
        if waited >= SILENCE {
            self.send_home(lane, berth);
        } else if activity.state == State::Settling
            && let Some(connection) = lane.connection().as_mut()
        {
            // An error is reported with the next reply.
            let _reported = connection.wait_no_longer();
        }
    }
}

/// Sleeps while the burst makes the slot's rounds, if there is one or had better be; the slot's rounds again.
pub(super) fn board<'a>(lane: &'a Lane, mut berth: MutexGuard<'a, Berth>) -> MutexGuard<'a, Berth> {
    let Some(burst) = &lane.shared.burst else {
        return berth;
    };
    if !burst.pace.is_brisk() || !berth.round.reserves() || !burst.admit(lane) {
        return berth;
    }
    berth.round.hand_over();
    let is_guest = |_: &mut Berth| lane.quarters().is_guest();
    let waited = lane.quarters().sent_home.wait_while(berth, is_guest);
    let mut berth = waited.unwrap_or_else(PoisonError::into_inner);
    berth.round.take_up(lane);
    berth
}

impl Berth {
    /// How the burst's last round for this slot ended, where its own thread has nothing to add.
    pub(super) fn take_outcome(&mut self) -> Option<Result<Course, Box<Lost>>> {
        self.outcome.take()
    }
}

/// What the main thread has seen of the burst that runs.
#[derive(Default)]
pub(super) struct Watch {
    step: u64,
    /// When it saw that step first, in nanoseconds of the shared clock.
    since_ns: u64,
}

impl Watch {
    /// Whether a slot is served since long before now.
    fn is_kept(&mut self, step: u64, now_ns: u64) -> bool {
        if step != self.step {
            *self = Watch {
                step,
                since_ns: now_ns,
            };
        }
        !step.is_multiple_of(2) && now_ns.saturating_sub(self.since_ns) >= nanoseconds(LOOK)
    }
}

impl Keeper {
    /// Looks whether a handler keeps the others of a burst waiting; answers with when to look again, while there is one.
    pub(super) fn watch_burst(&mut self) -> Option<Duration> {
        let shared = self.shared.clone();
        let burst = shared.burst.as_ref()?;
        if *burst.phase() != Phase::Runs {
            return None;
        }
        let is_kept = self
            .burst
            .is_kept(burst.step.load(Ordering::Acquire), monotonic_ns());
        if is_kept {
            debug!("a job of the burst keeps the others waiting: each slot has its own thread again");
            burst.break_up(&self.lanes);
        } else {
            self.lanes.iter().for_each(|lane| burst.help(lane));
        }
        let guests = self.lanes.iter().filter(|lane| lane.quarters().is_guest());
        // The one that is left comes home by itself, when its handler returns.
        (!is_kept || guests.count() > 1).then_some(LOOK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_served_at_every_look_is_kept_only_where_it_is_for_the_same_job() {
        let (mut watch, ms) = (Watch::default(), |ms: u64| ms * 1_000_000);
        assert!(!watch.is_kept(1, ms(100)));
        assert!(!watch.is_kept(1, ms(109)), "looks come as they come");
        assert!(!watch.is_kept(3, ms(110)), "another job");
        assert!(!watch.is_kept(4, ms(300)), "nobody is served");
        assert!(!watch.is_kept(4, ms(400)));
        assert!(!watch.is_kept(5, ms(500)));
        assert!(watch.is_kept(5, ms(510)));
    }
}
