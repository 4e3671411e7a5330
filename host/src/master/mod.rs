//! The supervisor: one loop that takes events and carries out effects.
//!
//! It never loads a plugin and never reserves a job. In reading order:
//!
//! - [`children`]: who exists and what has to happen next, without doing it,
//! - [`generation`]: settings and staged plugins,
//! - [`spawn`], [`processes`], [`output`]: worker processes, their links, rows and output,
//! - [`report`]: the answer of `status`,
//! - [`pidfile`], [`daemonize`], [`handover`]: being the one daemon, in the background, and again,
//! - this module: the events and what each one means.

use std::{
    collections::BTreeMap,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc, oneshot},
    time::timeout_at,
};
use tracing::{error, info, warn};

use crate::{
    config::{Daemon, Sources},
    control::{
        self, Instance, Request, Response,
        server::{Call, Server},
    },
    exit::Exit,
    ipc::{ToMaster, ToWorker, scoreboard::Scoreboard},
    observe::{log, status::Totals},
};

pub mod children;
pub mod daemonize;
pub mod generation;
pub mod handover;
pub mod output;
pub mod pidfile;
pub mod processes;
mod report;
pub mod spawn;

use children::{Children, Effect, Id};
use daemonize::Starter;
use generation::Generation;
use handover::Handover;
use output::{Outputs, Watch};
use pidfile::{PidFile, PidFileError};
use processes::Processes;

/// How long workers that were told to leave at once are given before they are killed.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Why a daemon does not start, does not reload, or ends.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// The exit code that fits.
    pub exit: Exit,
    /// What to tell the operator.
    pub error: String,
}

impl Failure {
    /// A failure with its exit code.
    pub fn new(exit: Exit, error: impl Into<String>) -> Failure {
        Failure {
            exit,
            error: error.into(),
        }
    }

    fn cannot(action: &str, error: io::Error) -> Failure {
        Failure::new(Exit::CannotCreate, format!("cannot {action}: {error}"))
    }
}

impl From<PidFileError> for Failure {
    fn from(error: PidFileError) -> Failure {
        Failure::new(error.exit(), error.to_string())
    }
}

/// Everything that can happen to a master.
enum Event {
    Signal(Signal),
    ChildExited,
    FromWorker(Id, ToMaster),
    LinkClosed(Id),
    Output,
    Call(Call),
}

#[derive(Clone, Copy)]
enum Signal {
    Stop,
    Reload,
}

/// How the master leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Exit,
    Restart,
}

/// The master on its way out.
struct Stopping {
    ending: Ending,
    /// When workers are told to leave at once.
    now_at: Instant,
    /// When those who still have not left are killed.
    kill_at: Option<Instant>,
}

/// Who waits for a reload to end.
struct Waiting {
    generation: u64,
    reply: oneshot::Sender<Response>,
}

/// A daemon's master process.
pub struct Master {
    sources: Sources,
    binary: PathBuf,
    instance: u64,
    started: Instant,
    pid_file: PidFile,
    children: Children,
    processes: Processes,
    outputs: Outputs,
    /// By number: the current one, one on its way, and those whose workers still finish.
    generations: BTreeMap<u64, Generation>,
    last_generation: u64,
    totals: Totals,
    waiting: Vec<Waiting>,
    reload_again: bool,
    stopping: Option<Stopping>,
    starter: Option<Starter>,
    /// Why the first generation did not start.
    fatal: Option<Failure>,
    events: mpsc::UnboundedSender<Event>,
}

/// The files that belong to a daemon, beside its pid file.
struct Places {
    socket: PathBuf,
    state_dir: PathBuf,
}

/// Runs a master to its end. `handover` is what an earlier instance of this process left.
///
/// With a `starter`, the process that started the daemon is told when a generation serves.
pub fn run(
    sources: Sources,
    handover: Option<Handover>,
    starter: &mut Option<Starter>,
) -> Result<(), Failure> {
    let binary =
        std::env::current_exe().map_err(|error| Failure::cannot("find the path of this binary", error))?;
    let first = Generation::prepare(1, &sources)?;
    let daemon = first.config.daemon.clone();
    let pid_file = take_pid_file(&daemon, handover)?;
    let places = Places {
        socket: pidfile::socket_path(pid_file.path()),
        state_dir: pidfile::state_dir(pid_file.path()),
    };
    pidfile::make_private(&places.state_dir)?;
    // The duplicate is what workers inherit: their own standard error leads elsewhere.
    let stderr = nix::unistd::dup(io::stderr())
        .map_err(|error| Failure::cannot("keep standard error", error.into()))?;
    let settings = log::settings(&daemon, stderr.as_raw_fd());
    log::start(settings.clone(), None).map_err(|error| Failure::cannot("open the log", error))?;
    let scoreboard = Scoreboard::create().map_err(|error| Failure::cannot("create the scoreboard", error))?;
    let outputs =
        Outputs::new(&places.state_dir).map_err(|error| Failure::cannot("use the state directory", error))?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::cannot("start the event loop", error))?;
    runtime.block_on(async {
        let (events, mut inbox) = mpsc::unbounded_channel();
        listen(&events).map_err(|error| Failure::cannot("install signal handlers", error))?;
        let _watch = watch_outputs(&places.state_dir, &events)?;
        let server = serve_control(&places.socket, &events)?;
        let mut master = Master {
            sources,
            binary,
            instance: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_nanos() as u64),
            started: Instant::now(),
            pid_file,
            children: Children::default(),
            processes: Processes::new(scoreboard, stderr, settings),
            outputs,
            generations: BTreeMap::new(),
            last_generation: 0,
            totals: Totals::default(),
            waiting: Vec::new(),
            reload_again: false,
            stopping: None,
            starter: starter.take(),
            fatal: None,
            events,
        };
        info!(
            pid = std::process::id(),
            version = env!("CARGO_PKG_VERSION"),
            "master started"
        );
        master.begin(first);
        let ending = master.serve(&mut inbox).await;
        server.answered().await;
        master.end(ending, &places)
    })
}

fn take_pid_file(daemon: &Daemon, handover: Option<Handover>) -> Result<PidFile, Failure> {
    let Some(handover) = handover else {
        return Ok(PidFile::acquire(&daemon.pid_file, daemon.private_dir.as_deref())?);
    };
    let file = handover
        .pid_file()
        .map_err(|error| Failure::cannot("take over the pid file", error))?;
    Ok(PidFile::inherited(file, &handover.pid_path)?)
}

/// Turns signals into events.
fn listen(events: &mpsc::UnboundedSender<Event>) -> io::Result<()> {
    let kinds = [
        (SignalKind::terminate(), Some(Signal::Stop)),
        (SignalKind::interrupt(), Some(Signal::Stop)),
        (SignalKind::hangup(), Some(Signal::Reload)),
        (SignalKind::user_defined1(), Some(Signal::Reload)),
        (SignalKind::child(), None),
    ];
    for (kind, meaning) in kinds {
        let mut stream = signal(kind)?;
        let events = events.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                let event = meaning.map_or(Event::ChildExited, Event::Signal);
                if events.send(event).is_err() {
                    break;
                }
            }
        });
    }
    // A restart blocked them until here.
    nix::sys::signal::SigSet::all().thread_unblock()?;
    Ok(())
}

fn watch_outputs(directory: &Path, events: &mpsc::UnboundedSender<Event>) -> Result<Watch, Failure> {
    let grown = Arc::new(Notify::new());
    let notified = grown.clone();
    let watch = Watch::new(directory, move || grown.notify_one()).map_err(|error| {
        Failure::new(
            Exit::CannotCreate,
            format!("cannot watch `{}`: {error}", directory.display()),
        )
    })?;
    let events = events.clone();
    tokio::spawn(async move {
        loop {
            notified.notified().await;
            if events.send(Event::Output).is_err() {
                break;
            }
        }
    });
    Ok(watch)
}

fn serve_control(path: &Path, events: &mpsc::UnboundedSender<Event>) -> Result<Server, Failure> {
    let (calls, mut inbox) = mpsc::unbounded_channel();
    let server = control::server::serve(path, calls)
        .map_err(|error| Failure::cannot(&format!("open control socket `{}`", path.display()), error))?;
    let events = events.clone();
    tokio::spawn(async move {
        while let Some(call) = inbox.recv().await {
            if events.send(Event::Call(call)).is_err() {
                break;
            }
        }
    });
    Ok(server)
}

impl Master {
    /// Handles events until the last worker is gone.
    async fn serve(&mut self, inbox: &mut mpsc::UnboundedReceiver<Event>) -> Ending {
        loop {
            let event = match self.deadline() {
                Some(deadline) => timeout_at(deadline.into(), inbox.recv()).await.ok().flatten(),
                None => inbox.recv().await,
            };
            if let Some(event) = event {
                self.handle(event);
            }
            self.on_time();
            if self.processes.is_empty()
                && let Some(stopping) = &self.stopping
            {
                return stopping.ending;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Signal(Signal::Stop) => self.stop(Ending::Exit),
            Event::Signal(Signal::Reload) => {
                if let Err(failure) = self.reload() {
                    error!(error = %failure, "reload refused, the running generation goes on");
                }
            }
            Event::ChildExited => {
                self.processes.reap();
                self.bury_the_gone();
            }
            Event::FromWorker(id, message) => self.on_message(id, message),
            Event::LinkClosed(id) => {
                self.processes.link_closed(id);
                self.bury_the_gone();
            }
            Event::Output => {
                for (id, line) in self.outputs.lines() {
                    self.log_output(id, &line);
                }
            }
            Event::Call(call) => self.answer(call),
        }
    }

    fn answer(&mut self, call: Call) {
        let response = match call.request {
            Request::Identify => Response::Instance(self.instance()),
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Reload { wait } => match self.reload() {
                Ok(generation) if wait => {
                    self.waiting.push(Waiting {
                        generation,
                        reply: call.reply,
                    });
                    return self.answer_waiting();
                }
                Ok(generation) => Response::Reloaded { generation },
                Err(failure) => Response::Failed {
                    exit: failure.exit.code(),
                    error: failure.error,
                },
            },
            Request::Restart => match Generation::prepare(0, &self.sources) {
                Ok(_) => {
                    self.stop(Ending::Restart);
                    Response::Instance(self.instance())
                }
                Err(failure) => Response::Failed {
                    exit: failure.exit.code(),
                    error: failure.error,
                },
            },
        };
        // A client that went away does not care for its answer.
        let _ = call.reply.send(response);
    }

    fn instance(&self) -> Instance {
        let grace_ms = self.grace().as_millis() as u64;
        Instance {
            id: self.instance,
            serving: self.children.current() > 0,
            grace_ms,
        }
    }

    fn grace(&self) -> Duration {
        let newest = self.generations.values().next_back();
        newest.map_or(Duration::ZERO, |generation| generation.config.daemon.grace)
    }

    fn on_message(&mut self, id: Id, message: ToMaster) {
        let now = Instant::now();
        let effects = match message {
            ToMaster::Ready => {
                self.log_worker(id, "ready");
                self.children.ready(id, now)
            }
            ToMaster::Failed { error } => {
                self.processes.said(id, error);
                return;
            }
            ToMaster::Retire { reason } => {
                self.log_worker(id, &format!("wants a successor: {reason}"));
                self.children.retire(id, now)
            }
            ToMaster::Quiet => {
                self.log_worker(id, "quiet");
                self.children.quiet(id, now)
            }
        };
        self.carry_out(effects);
    }

    /// Starts the next generation with the settings and plugins of this moment.
    ///
    /// While one is on its way, the reload begins when that one has ended.
    fn reload(&mut self) -> Result<u64, Failure> {
        if self.stopping.is_some() {
            return Err(Failure::new(Exit::Failed, "the daemon is stopping"));
        }
        if let Some(under_way) = self.children.rolling_out() {
            self.reload_again = true;
            return Ok(under_way + 1);
        }
        log::reopen();
        let number = self.last_generation + 1;
        let generation = Generation::prepare(number, &self.sources)?;
        info!("gen" = number, "reload: loading the new generation");
        self.begin(generation);
        Ok(number)
    }

    fn begin(&mut self, generation: Generation) {
        for warning in &generation.warnings {
            warn!("{warning}");
        }
        let (number, seats) = (generation.number, generation.seats());
        self.last_generation = number;
        self.generations.insert(number, generation);
        let effects = self.children.roll_out(number, seats, Instant::now());
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Spawn {
                    id,
                    pool,
                    nr,
                    generation,
                } => self.spawn(id, &pool, nr, generation),
                Effect::Quiet(id) => self.processes.send(id, ToWorker::Quiet),
                Effect::Kill(id) => self.processes.kill(id),
                Effect::Current(generation) => self.on_current(generation),
                Effect::Dropped { generation, error } => self.on_dropped(generation, error),
                Effect::AllGone => {}
            }
        }
        self.forget_generations();
        self.answer_waiting();
    }

    fn spawn(&mut self, id: Id, pool: &str, nr: u32, generation: u64) {
        let outcome = match self.generations.get(&generation) {
            Some(generation) => {
                self.processes
                    .spawn(id, nr, pool, generation, &mut self.outputs, &self.events)
            }
            None => Err(io::Error::other("its generation is gone")),
        };
        match outcome {
            Ok(pid) => info!(worker = nr, "gen" = generation, pid, "starting"),
            Err(error) => {
                error!(worker = nr, "gen" = generation, error = %error, "cannot start a worker");
                let effects =
                    self.children
                        .gone(id, &format!("cannot start a worker: {error}"), Instant::now());
                self.carry_out(effects);
            }
        }
    }

    fn on_current(&mut self, generation: u64) {
        info!("gen" = generation, "serving");
        if let Some(starter) = self.starter.take() {
            starter.ready();
        }
    }

    fn on_dropped(&mut self, generation: u64, reason: String) {
        if self.children.current() == 0 {
            if self.stopping.is_none() {
                self.fatal = Some(Failure::new(Exit::Failed, reason));
                self.stop(Ending::Exit);
            }
            return;
        }
        error!("gen" = generation, error = %reason, "reload failed, the running generation goes on");
        for waiting in self
            .waiting
            .extract_if(.., |waiting| waiting.generation == generation)
        {
            let _ = waiting.reply.send(Response::Failed {
                exit: Exit::Failed.code(),
                error: reason.clone(),
            });
        }
    }

    /// Lets go of generations that nobody serves any more, and of their plugins' descriptors.
    fn forget_generations(&mut self) {
        let current = self.children.current();
        let rolling_out = self.children.rolling_out();
        let processes = &self.processes;
        self.generations.retain(|number, _| {
            *number == current || Some(*number) == rolling_out || processes.has_generation(*number)
        });
    }

    fn answer_waiting(&mut self) {
        if !self.children.is_settled() {
            return;
        }
        let current = self.children.current();
        for waiting in self
            .waiting
            .extract_if(.., |waiting| waiting.generation <= current)
        {
            let _ = waiting.reply.send(Response::Reloaded { generation: current });
        }
        if std::mem::take(&mut self.reload_again)
            && self.stopping.is_none()
            && let Err(failure) = self.reload()
        {
            error!(error = %failure, "reload refused, the running generation goes on");
            for waiting in self.waiting.drain(..) {
                let response = Response::Failed {
                    exit: failure.exit.code(),
                    error: failure.error.clone(),
                };
                let _ = waiting.reply.send(response);
            }
        }
    }

    /// First call: let everybody finish. Second call: everybody leaves at once.
    fn stop(&mut self, ending: Ending) {
        let now = Instant::now();
        if let Some(stopping) = &mut self.stopping {
            stopping.ending = if ending == Ending::Exit {
                ending
            } else {
                stopping.ending
            };
            return self.leave_now(now);
        }
        for waiting in self.waiting.drain(..) {
            let error = "the daemon is stopping".to_owned();
            let _ = waiting.reply.send(Response::Failed {
                exit: Exit::Failed.code(),
                error,
            });
        }
        let grace = self.grace();
        info!(grace = ?grace, "stopping: running jobs may finish");
        self.stopping = Some(Stopping {
            ending,
            now_at: now + grace,
            kill_at: None,
        });
        let effects = self.children.stop(now);
        self.carry_out(effects);
    }

    fn leave_now(&mut self, now: Instant) {
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        if stopping.kill_at.is_none() {
            warn!("stopping: running jobs are given back");
            stopping.kill_at = Some(now + LAST_WORDS);
            self.processes.send_all(|| ToWorker::Now);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.stopping {
            Some(stopping) => Some(stopping.kill_at.unwrap_or(stopping.now_at)),
            None => self.children.deadline(),
        }
    }

    /// Does what is due by now.
    fn on_time(&mut self) {
        let now = Instant::now();
        match &mut self.stopping {
            None => {
                let effects = self.children.next(now);
                self.carry_out(effects);
            }
            Some(Stopping {
                kill_at: Some(kill_at),
                ..
            }) if now >= *kill_at => {
                *kill_at = now + LAST_WORDS;
                self.processes.kill_all();
            }
            Some(Stopping {
                kill_at: None,
                now_at,
                ..
            }) if now >= *now_at => self.leave_now(now),
            Some(_) => {}
        }
    }

    fn end(self, ending: Ending, places: &Places) -> Result<(), Failure> {
        if ending == Ending::Restart {
            info!("restarting");
            let error = handover::execute(&self.binary, self.sources, &self.pid_file);
            let text = format!("cannot execute `{}`: {error}", self.binary.display());
            error!("{text}");
            return Err(Failure::new(Exit::Internal, text));
        }
        // Neither file matters once the lock is given up; the next start removes them.
        let _ = std::fs::remove_file(&places.socket);
        let _ = std::fs::remove_dir_all(&places.state_dir);
        info!("stopped");
        self.pid_file.release();
        match (self.fatal, self.starter) {
            (None, _) => Ok(()),
            (Some(failure), None) => Err(failure),
            (Some(failure), Some(starter)) => {
                starter.failed(failure.exit, &failure.error);
                Err(failure)
            }
        }
    }
}
