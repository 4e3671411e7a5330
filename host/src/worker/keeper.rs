//! The worker's main thread while its slots work.
//!
//! It sleeps until the master speaks, a signal comes, a slot rings, or
//! something is due; nothing ticks while nothing is due.

use std::{
    io::{self, Read},
    os::{fd::AsFd, unix::net::UnixStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        atomic::{Ordering, fence},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use tracing::{error, warn};

use super::{
    Shared,
    aside::Asides,
    burst, errand, fatal,
    give_back::{Why, give_back},
    lane::Lane,
    slot,
    watch::Overrun,
};
use crate::{
    exit::Exit,
    ipc::{
        Link, ToMaster, ToWorker,
        row::{State, monotonic_ns},
    },
    title::WorkerTitle,
};

/// A reserve that waits for less than this may have a job on its way: it is not half-closed yet.
const SETTLED_WAIT: Duration = Duration::from_millis(5);
/// How long the last settlements are waited for when the worker has to leave at once.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(2);

/// The receiving end of the pipe that TERM and INT write to.
static SIGNALS: OnceLock<UnixStream> = OnceLock::new();

/// TERM and INT mean quiet. What is meant for a master does not kill a worker.
pub(super) fn install_signals() -> io::Result<()> {
    let (writer, reader) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    for signal in [SIGHUP, SIGUSR1, SIGUSR2] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    SIGNALS
        .set(reader)
        .map_err(|_| io::Error::other("signals were installed twice"))
}

pub(super) struct Keeper {
    pub(super) link: Link,
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: Vec<Arc<Lane>>,
    /// By lane: the job that was asked to give up.
    pub(super) overruns: Vec<Option<Overrun>>,
    /// How many jobs had begun when running jobs were looked at last.
    pub(super) begun_at_look: u64,
    threads: Vec<JoinHandle<()>>,
    burst_thread: Option<JoinHandle<()>>,
    /// What was seen of the burst that runs.
    pub(super) burst: burst::Watch,
    /// What the handlers do apart from jobs.
    pub(super) asides: Asides,
    /// Where slots and errands ring.
    ears: UnixStream,
    /// The master was told that a limit is reached.
    pub(super) retired: bool,
    /// Memory that counts for the limits when the worker was ready, in bytes.
    pub(super) memory_at_ready: u64,
    /// When memory is looked at next.
    pub(super) memory_due: Instant,
    /// The master was told that nothing is reserved any more.
    said_quiet: bool,
    /// The worker leaves although a handler does not end.
    leaves_behind: bool,
    pub(super) orphaned: bool,
    /// The master has paused the pool.
    paused: bool,
    title: WorkerTitle,
}

/// Starts the slots and stays until all of them have ended.
pub(super) fn run(
    link: Link,
    shared: Arc<Shared>,
    first_row: usize,
    slots: usize,
    ears: UnixStream,
    title: WorkerTitle,
) -> Exit {
    let lanes: Vec<_> = (first_row..first_row + slots)
        .map(|row| Arc::new(Lane::new(shared.clone(), row)))
        .collect();
    let mut threads = Vec::new();
    for lane in &lanes {
        match start(lane.clone(), &shared) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                error!(error = %error, "cannot start a slot's thread");
                return Exit::Internal;
            }
        }
    }
    let burst_thread = match shared
        .burst
        .is_some()
        .then(|| start_burst(&lanes, &shared))
        .transpose()
    {
        Ok(thread) => thread,
        Err(error) => {
            error!(error = %error, "cannot start the thread that serves all slots");
            return Exit::Internal;
        }
    };
    if link.send(&ToMaster::Ready).is_err() {
        return Exit::Internal;
    }
    let mut keeper = Keeper {
        link,
        memory_at_ready: shared.memory.read(),
        memory_due: Instant::now(),
        shared,
        overruns: vec![None; lanes.len()],
        begun_at_look: 0,
        lanes,
        threads,
        burst_thread,
        burst: burst::Watch::default(),
        asides: Asides::new(first_row),
        ears,
        retired: false,
        said_quiet: false,
        leaves_behind: false,
        orphaned: false,
        paused: false,
        title,
    };
    match keeper.keep() {
        Ok(exit) if keeper.join() => exit,
        Ok(exit) => fatal::exit_now(exit.code()),
        Err(error) => {
            error!(error = %error, "the worker cannot go on");
            Exit::Internal
        }
    }
}

fn start(lane: Arc<Lane>, shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let shared = shared.clone();
    thread::Builder::new().name("slot".to_owned()).spawn(move || {
        dying_of_panic(|| slot::run(&lane));
        // Said before the ring: whoever hears it may look before the thread is gone.
        lane.end();
        shared.ring();
    })
}

fn start_burst(lanes: &[Arc<Lane>], shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let (lanes, shared) = (lanes.to_vec(), shared.clone());
    thread::Builder::new().name("burst".to_owned()).spawn(move || {
        if let Some(burst) = &shared.burst {
            dying_of_panic(|| burst.run(&lanes));
        }
    })
}

/// Our own fault: the worker dies, its jobs go back, the master replaces it.
fn dying_of_panic(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        error!("a slot panicked");
        std::process::exit(Exit::Internal.code().into());
    }
}

impl Keeper {
    fn keep(&mut self) -> io::Result<Exit> {
        loop {
            let is_over = self.is_over();
            // Not before that look: what the last slot has to tell must not be lost.
            if let Some(news) = self.shared.breaker.take_news() {
                self.link.send(&news)?;
            }
            self.show_title();
            if is_over {
                self.part()?;
                return Ok(Exit::Ok);
            }
            if let Some(exit) = self.mind_the_limits()? {
                return Ok(exit);
            }
            let look = self.watch_jobs()?;
            let reserve = self.end_waiting_reserves()?;
            let due = [look, reserve, self.limits_due_in(), self.watch_burst()];
            if self.is_over() {
                // The last slot has ended while we looked, and rings no more.
                continue;
            }
            self.wait(due.into_iter().flatten().min(), !self.orphaned)?;
            while self.link_has_message()? {
                match self.link.receive()? {
                    Some(ToWorker::Work) => {
                        self.paused = false;
                        self.shared.at_work.store(true, Ordering::Release);
                        self.withdraw_probe();
                        self.unpark();
                        self.asides.begin_ticks(&self.shared);
                    }
                    Some(ToWorker::Pause) => {
                        self.paused = true;
                        self.shared.at_work.store(false, Ordering::Release);
                        self.withdraw_probe();
                        self.unpark();
                    }
                    Some(ToWorker::Probe) => {
                        self.shared.breaker.offer(true);
                        self.unpark();
                        self.asides.begin_ticks(&self.shared);
                    }
                    Some(ToWorker::Quiet) => self.go_quiet(),
                    Some(ToWorker::Now) => return self.leave_now(Why::Leaving),
                    Some(ToWorker::Setup(_)) => warn!("the master sent a second setup"),
                    None if self.orphaned => break,
                    None => {
                        warn!("the master is gone: finishing what runs");
                        self.orphaned = true;
                        self.go_quiet();
                    }
                }
            }
        }
    }

    fn show_title(&mut self) {
        let state = match () {
            () if self.shared.is_quiet() => "quiet",
            () if self.paused => "paused",
            () => "ready",
        };
        self.title.show(state);
    }

    /// Whether every slot has ended, or is left behind with a handler that does not end.
    fn is_over(&self) -> bool {
        let left_behind = |lane: &Lane| lane.is_given_back() && !lane.errand().is_under_way();
        self.lanes
            .iter()
            .all(|lane| lane.has_ended() || left_behind(lane))
    }

    /// Waits for all threads. `false`, without waiting, where a slot is left behind, or a tick or a goodbye.
    fn join(self) -> bool {
        if !self.has_none_left_behind() || self.asides.under_way().next().is_some() {
            return false;
        }
        if let Some(burst) = &self.shared.burst {
            burst.close();
        }
        // A slot that panics ends the process, so there is nothing to hear from them.
        let threads = self.threads.into_iter().chain(self.burst_thread);
        threads.for_each(|thread| drop(thread.join()));
        self.asides.join();
        true
    }

    /// Whether every slot has ended.
    pub(super) fn has_none_left_behind(&self) -> bool {
        self.lanes.iter().all(|lane| lane.has_ended())
    }

    /// Sleeps until something has happened or is due. A master that is not `listened_to` wakes nobody.
    pub(super) fn wait(&self, due: Option<Duration>, listened_to: bool) -> io::Result<()> {
        let Some(mut signals) = SIGNALS.get() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut ears = &self.ears;
        let mut waited = [ears.as_fd(), signals.as_fd(), self.link.socket().as_fd()]
            .map(|source| PollFd::new(source, PollFlags::POLLIN));
        let waited = match listened_to {
            true => &mut waited[..],
            false => &mut waited[..2],
        };
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            PollTimeout::try_from(due + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(waited, timeout) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = [0; 64];
        while matches!(ears.read(&mut bytes), Ok(count) if count > 0) {}
        if matches!(signals.read(&mut bytes), Ok(count) if count > 0) {
            self.go_quiet();
        }
        Ok(())
    }

    pub(super) fn link_has_message(&self) -> io::Result<bool> {
        if self.orphaned {
            return Ok(false);
        }
        let mut link = [PollFd::new(self.link.socket().as_fd(), PollFlags::POLLIN)];
        Ok(self.link.has_buffered() || poll(&mut link, PollTimeout::ZERO)? > 0)
    }

    /// No slot begins another reserve.
    fn go_quiet(&self) {
        self.shared.quiet.store(true, Ordering::Release);
        self.shared.company.wake();
        self.unpark();
    }

    /// No slot takes a job by itself any more.
    fn withdraw_probe(&self) {
        self.shared.breaker.offer(false);
        for lane in &self.lanes {
            lane.end_probe();
        }
    }

    fn unpark(&self) {
        for thread in &self.threads {
            thread.thread().unpark();
        }
    }

    /// Ends the reserves that wait, where none is wanted; answers with when to look again, if not only after a ring.
    fn end_waiting_reserves(&mut self) -> io::Result<Option<Duration>> {
        // A slot says in its row what it is at before it looks whether it should ring; this is the other
        // half of that bargain.
        fence(Ordering::SeqCst);
        self.wake_the_paused();
        if self.shared.reserves() {
            return Ok(None);
        }
        let (mut all_ended, mut next) = (true, None);
        for lane in &self.lanes {
            let activity = lane.row().activity();
            let at_rest = matches!(activity.state, State::Running | State::Paused);
            let probes = lane.is_probing() && !self.shared.is_quiet();
            if lane.has_ended() || lane.is_given_back() || at_rest || probes {
                continue;
            }
            all_ended = false;
            let waited = Duration::from_nanos(monotonic_ns().saturating_sub(activity.since_ns));
            match SETTLED_WAIT.checked_sub(waited) {
                _ if activity.state != State::Idle => {}
                None | Some(Duration::ZERO) => lane.end_waiting(),
                Some(rest) => next = next.max(Some(rest)),
            }
        }
        if all_ended && self.shared.is_quiet() {
            self.say_quiet()?;
        }
        Ok(next)
    }

    /// Slots rest while a job of another one has to run alone, and go on afterwards.
    fn wake_the_paused(&self) {
        let all = self.lanes.iter().zip(&self.threads);
        let paused = all.filter(|(lane, _)| lane.reserves() && lane.row().activity().state == State::Paused);
        paused.for_each(|(_, thread)| thread.thread().unpark());
    }

    pub(super) fn say_quiet(&mut self) -> io::Result<()> {
        if self.orphaned || std::mem::replace(&mut self.said_quiet, true) {
            return Ok(());
        }
        self.link.send(&ToMaster::Quiet)
    }

    /// The worker leaves, although that slot's handler may never end. A successor is asked for at once.
    pub(super) fn leave_without(&mut self, lane: &Lane) -> io::Result<()> {
        if !std::mem::replace(&mut self.leaves_behind, true) {
            warn!(job = lane.job().0, "the worker leaves: its handler does not end");
        }
        self.go_quiet();
        self.say_quiet()
    }

    /// Gives back what runs and answers with the exit code of a worker that leaves at once.
    pub(super) fn leave_now(&self, why: Why) -> io::Result<Exit> {
        self.go_quiet();
        if let Some(burst) = &self.shared.burst {
            // Nobody hears of a settlement late because of another's handler.
            burst.break_up(&self.lanes);
        }
        let deadline = Instant::now() + LAST_SETTLEMENTS;
        loop {
            for lane in &self.lanes {
                lane.end_early();
                if lane.is_claimable() {
                    errand::send(lane, move |lane| give_back(lane, why));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.lanes.iter().any(|lane| settles(lane)) {
                return Ok(Exit::Ok);
            }
            // Slots that end and errands that are over ring.
            self.wait(Some(left), false)?;
        }
    }
}

/// Whether a job of the lane is being settled, or is still to be.
fn settles(lane: &Lane) -> bool {
    let by_slot = match lane.row().activity().state {
        State::Settling => !lane.is_given_back(),
        // Its handler has just ended; the row says so in a moment.
        State::Running => lane.is_claimed_by_slot(),
        _ => false,
    };
    by_slot || lane.is_claimable() || lane.errand().is_under_way()
}
