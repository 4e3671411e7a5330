//! From settings to a running loop: everything that is opened, in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use nix::libc;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc},
};
use tracing::{error, info};

use super::{
    Event, Failure, Master, Signal,
    autopsy::Certificates,
    breakers::Breakers,
    children::Children,
    daemonize::Starter,
    generation::Generation,
    handover::Handover,
    notify::Manager,
    output::Outputs,
    pidfile::{self, PidFile},
    processes::Processes,
    watch::PluginWatch,
};
use crate::{
    config::{Daemon, Sources},
    control::{self, server::Server},
    ipc::scoreboard::Scoreboard,
    observe::{log, status::Totals},
};

/// The files that belong to a daemon, beside its pid file.
pub(super) struct Places {
    pub(super) socket: PathBuf,
    pub(super) state_dir: PathBuf,
}

/// Runs a master to its end. `handover` is what an earlier instance of this process left.
///
/// `binary` is what a restart executes. With a `starter`, the process that started the daemon is told when a
/// generation serves.
pub fn run(
    sources: Sources,
    binary: PathBuf,
    handover: Option<Handover>,
    starter: &mut Option<Starter>,
) -> Result<(), Failure> {
    let earlier_log = handover.as_ref().map(|handover| handover.log.clone());
    let ended = run_unwatched(sources, binary, handover, starter);
    if let (Err(failure), Some(earlier_log)) = (&ended, earlier_log) {
        // Nobody waits for a restarted daemon, so the log is the one place where its operator can find out. An
        // error here means that this instance has opened it already.
        let _ = log::start(earlier_log, None);
        error!(error = %failure, "the daemon has ended after its restart");
    }
    ended
}

fn run_unwatched(
    sources: Sources,
    binary: PathBuf,
    handover: Option<Handover>,
    starter: &mut Option<Starter>,
) -> Result<(), Failure> {
    let first = Generation::prepare(1, &sources)?;
    let daemon = first.config.daemon.clone();
    // The duplicate is what workers inherit: their own standard error leads elsewhere.
    let stderr = io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Failure::cannot("keep standard error", error))?;
    let settings = log::settings(&daemon, stderr.as_raw_fd());
    // Before the pid file is taken, which a start that fails here would leave behind.
    log::start(settings.clone(), None).map_err(|error| cannot_log(&daemon, error))?;
    let pid_file = take_pid_file(&daemon, handover)?;
    let places = Places {
        socket: pidfile::socket_path(pid_file.path()),
        state_dir: pidfile::state_dir(pid_file.path()),
    };
    pidfile::make_private(&places.state_dir)?;
    let scoreboard = Scoreboard::create().map_err(|error| Failure::cannot("create the scoreboard", error))?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::cannot("start the event loop", error))?;
    runtime.block_on(async {
        let (events, mut inbox) = mpsc::unbounded_channel();
        listen(&events).map_err(|error| Failure::cannot("install signal handlers", error))?;
        let outputs = watch_outputs(&places.state_dir, &events)
            .map_err(|error| Failure::cannot("use the state directory", error))?;
        let plugins_changed = notified_of(&events, || Event::Plugins);
        let server = serve_control(&places.socket, &events)?;
        let mut master = Master {
            sources,
            daemon,
            binary,
            instance: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_nanos() as u64),
            started: Instant::now(),
            pid_file,
            children: Children::default(),
            processes: Processes::new(scoreboard, stderr, settings),
            outputs,
            certificates: Certificates::load(&places.state_dir),
            places,
            manager: Manager::of_process(),
            looked_for_overruns: Instant::now(),
            watch: PluginWatch::new(plugins_changed),
            generations: BTreeMap::new(),
            last_generation: 0,
            serving: None,
            previous: None,
            totals: Totals::default(),
            waiting: Vec::new(),
            reload_again: false,
            paused: BTreeSet::new(),
            breakers: Breakers::default(),
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
        master.watch.loaded(&first);
        master.begin(first);
        master.remember_suspects();
        let ending = master.serve(&mut inbox).await;
        server.answered().await;
        master.end(ending)
    })
}

fn cannot_log(daemon: &Daemon, error: io::Error) -> Failure {
    match &daemon.log_path {
        Some(path) => Failure::cannot(&format!("open log file `{}`", path.display()), error),
        None => Failure::cannot("log to standard error", error),
    }
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
        (SignalKind::from_raw(libc::SIGTSTP), Some(Signal::Pause(true))),
        (SignalKind::from_raw(libc::SIGCONT), Some(Signal::Pause(false))),
        (SignalKind::from_raw(libc::SIGTTIN), Some(Signal::Scale(1))),
        (SignalKind::from_raw(libc::SIGTTOU), Some(Signal::Scale(-1))),
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

fn watch_outputs(directory: &Path, events: &mpsc::UnboundedSender<Event>) -> io::Result<Outputs> {
    let grown = notified_of(events, || Event::Output);
    Outputs::new(directory, move || grown.notify_one())
}

/// What other threads notify turns into an event. What comes before the event is taken counts once.
fn notified_of(events: &mpsc::UnboundedSender<Event>, event: fn() -> Event) -> Arc<Notify> {
    let notify = Arc::new(Notify::new());
    let (notified, events) = (notify.clone(), events.clone());
    tokio::spawn(async move {
        loop {
            notified.notified().await;
            if events.send(event()).is_err() {
                break;
            }
        }
    });
    notify
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
