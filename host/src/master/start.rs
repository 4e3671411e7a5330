//! From settings to a running loop: everything that is opened, in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{Notify, mpsc};
use tracing::{error, info};

use super::{
    Event, Failure, Master,
    breakers::Breakers,
    certificates::Certificates,
    children::{Children, Id},
    daemonize::Starter,
    generation::Generation,
    handover::Inheritance,
    invocation::Invocation,
    metrics::Legacy,
    notify::Manager,
    output::Outputs,
    overrun::Looks,
    pidfile::{self, PidFile},
    privileges::{self, Taken, no_socket},
    processes::Processes,
    signals,
    watch::PluginWatch,
};
use crate::{
    config::{self, Daemon, Sources},
    control::{self, server::Server},
    exit::Exit,
    ipc::scoreboard::Scoreboard,
    observe::{log, status::Totals},
    title::Title,
};

/// The files that belong to a daemon, beside its pid file.
pub(super) struct Places {
    pub(super) socket: PathBuf,
    pub(super) state_dir: PathBuf,
}

/// Runs a master to its end. `inheritance` is what an earlier instance of this process left.
///
/// `invocation` is what a restart executes. With a `starter`, the process that started the daemon is told when a
/// generation serves.
pub fn run(
    sources: Sources,
    invocation: Invocation,
    inheritance: Option<Inheritance>,
    starter: &mut Option<Starter>,
) -> Result<(), Failure> {
    let earlier_log = inheritance
        .as_ref()
        .map(|inheritance| inheritance.left.log.clone());
    let ended = run_unwatched(sources, invocation, inheritance, starter);
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
    invocation: Invocation,
    mut inheritance: Option<Inheritance>,
    starter: &mut Option<Starter>,
) -> Result<(), Failure> {
    // Its memory can be opened as long as this process is who it was started as.
    let title = Title::of_process();
    let taken = match &inheritance {
        None => privileges::give_up(&daemon_settings(&sources)?)?,
        // It is that user already.
        Some(_) => Taken::default(),
    };
    let number = inheritance
        .as_ref()
        .map_or(1, |inheritance| inheritance.left.last_generation + 1);
    let first = match (Generation::prepare(number, &sources), &inheritance) {
        (Err(failure), None) => return Err(failure),
        // Somebody has changed something since the preflight: the adopted workers go on.
        (prepared, _) => prepared,
    };
    let daemon = first
        .as_ref()
        .ok()
        .map(|generation| generation.config.daemon.clone());
    // The duplicate is what workers inherit: their own standard error leads elsewhere.
    let stderr = io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| Failure::cannot("keep standard error", error))?;
    // Before the pid file is taken, which a start that fails here would leave behind.
    let log = start_log(daemon.as_ref(), stderr.as_raw_fd(), inheritance.as_mut())?;
    privileges::raise_open_files();
    let (pid_file, control) = match (&mut inheritance, taken.keep()) {
        (Some(inheritance), _) => (inheritance.pid_file()?, inheritance.control()),
        (None, Some((pid_file, control))) => (pid_file, Ok(control)),
        (None, None) => {
            let Daemon {
                pid_file,
                private_dir,
                ..
            } = daemon
                .as_ref()
                .ok_or_else(|| Failure::new(Exit::Internal, "there are no settings"))?;
            let pid_file = PidFile::acquire(pid_file, private_dir.as_deref())?;
            let control = control::server::listen(&pidfile::socket_path(pid_file.path()), None);
            (pid_file, control)
        }
    };
    let places = Places {
        socket: pidfile::socket_path(pid_file.path()),
        state_dir: pidfile::state_dir(pid_file.path()),
    };
    pidfile::make_private(&places.state_dir)?;
    let cannot_create = |error| Failure::cannot("create the scoreboard", error);
    let inherited = match &mut inheritance {
        Some(inheritance) => inheritance.scoreboard().map_err(cannot_create)?,
        None => None,
    };
    let is_known = inherited.is_some();
    let scoreboard = inherited
        .map_or_else(Scoreboard::create, Ok)
        .map_err(cannot_create)?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::cannot("start the event loop", error))?;
    runtime.block_on(async {
        let (events, mut inbox) = mpsc::unbounded_channel();
        let adopted = inheritance.as_ref().map(Inheritance::workers).unwrap_or_default();
        signals::listen(&events).map_err(|error| Failure::cannot("install signal handlers", error))?;
        let outputs = watch_outputs(&places.state_dir, &adopted, &events)
            .map_err(|error| Failure::cannot("use the state directory", error))?;
        let plugins_changed = notified_of(&events, || Event::Plugins);
        let control = control
            .and_then(|listener| serve_control(listener, &events))
            .map_err(|error| no_socket(&places.socket, error))?;
        let mut master = Master {
            sources,
            daemon,
            invocation,
            instance: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_nanos() as u64),
            started: Instant::now(),
            pid_file,
            children: Children::default(),
            processes: Processes::new(scoreboard, stderr, log),
            outputs,
            certificates: Certificates::load(&places.state_dir),
            places,
            manager: Manager::of_process(),
            overruns: Looks::new(Instant::now()),
            watch: PluginWatch::new(plugins_changed),
            generations: BTreeMap::new(),
            last_generation: 0,
            serving: None,
            previous: None,
            totals: Totals::default(),
            metrics: Legacy::default(),
            waiting: Vec::new(),
            reload_again: false,
            paused: BTreeSet::new(),
            breakers: Breakers::default(),
            stopping: None,
            restart: None,
            takeover: None,
            control,
            starter: starter.take(),
            title,
            fatal: None,
            events,
        };
        info!(
            pid = std::process::id(),
            version = env!("CARGO_PKG_VERSION"),
            "master started"
        );
        match inheritance {
            Some(inheritance) => master.go_on(inheritance, is_known, first)?,
            None => {
                let first = first?;
                master.watch.loaded(&first);
                master.begin(first);
            }
        }
        if !is_known {
            master.remember_suspects();
        }
        master.serve(&mut inbox).await;
        master.control.answered().await;
        master.end()
    })
}

/// Logs as the settings say. An instance that cannot do that goes on in the log of the one before it.
fn start_log(
    daemon: Option<&Daemon>,
    stderr: RawFd,
    inheritance: Option<&mut Inheritance>,
) -> Result<log::Settings, Failure> {
    let attempt = daemon.map(|daemon| {
        let settings = log::settings(daemon, stderr);
        log::start(settings.clone(), None)
            .map(|()| settings)
            .map_err(|error| cannot_log(daemon, error))
    });
    let (failure, inheritance) = match (attempt, inheritance) {
        (Some(Ok(settings)), _) => return Ok(settings),
        (Some(Err(failure)), None) => return Err(failure),
        (None, None) => return Err(Failure::new(Exit::Internal, "there are no settings")),
        (attempt, Some(inheritance)) => (attempt.and_then(Result::err), inheritance),
    };
    let settings = log::Settings {
        stderr,
        ..inheritance.left.log.clone()
    };
    let started = match inheritance.log_file() {
        Some(file) => log::start_in(file, settings.clone(), None),
        None => log::start(settings.clone(), None),
    };
    started.map_err(|error| Failure::cannot("go on in the log", error))?;
    if let Some(failure) = failure {
        error!(error = %failure, "the log stays where it was");
    }
    Ok(settings)
}

/// The daemon's own settings, before its plugins are looked at.
fn daemon_settings(sources: &Sources) -> Result<Daemon, Failure> {
    let resolved = config::load(sources).map_err(|errors| Failure::new(errors.exit(), errors.to_string()))?;
    Ok(resolved.config.daemon)
}

fn cannot_log(daemon: &Daemon, error: io::Error) -> Failure {
    match (&daemon.log_path, &daemon.user) {
        (Some(path), Some(user)) if error.kind() == io::ErrorKind::PermissionDenied => {
            let action = format!("open log file `{}` as user `{user}`", path.display());
            Failure::cannot(&action, error)
        }
        (Some(path), _) => Failure::cannot(&format!("open log file `{}`", path.display()), error),
        (None, _) => Failure::cannot("log to standard error", error),
    }
}

fn watch_outputs(
    directory: &Path,
    adopted: &BTreeSet<Id>,
    events: &mpsc::UnboundedSender<Event>,
) -> io::Result<Outputs> {
    let grown = notified_of(events, || Event::Output);
    Outputs::new(directory, adopted, move || grown.notify_one())
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

fn serve_control(listener: UnixListener, events: &mpsc::UnboundedSender<Event>) -> io::Result<Server> {
    let (calls, mut inbox) = mpsc::unbounded_channel();
    let server = Server::serve(listener, calls)?;
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
