//! Which events are kept, what identifies them, and where they are written.
//!
//! A log file is opened for appending and every event is one write, so that master and workers
//! share it without tearing lines. It is opened anew when its path leads to another file, as it
//! does after a rotation. A file that cannot be opened anew keeps the old one in use.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Write},
    os::{
        fd::{AsFd, OwnedFd, RawFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use jiff::Zoned;
use nix::{libc, unistd::geteuid};
use serde::{Deserialize, Serialize};
use tracing::{Event, Level, Subscriber, subscriber::Interest};
use tracing_subscriber::{
    filter::Targets,
    layer::{Context, Layer, SubscriberExt},
};

use super::line::Line;
use crate::{config::LogFormat, ipc::descriptors};

/// How often the path of a log file is compared with the open file.
const ROTATION_CHECK: Duration = Duration::from_secs(1);

/// How a process logs; the master passes it on to its workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Lines for people or for machines.
    pub format: LogFormat,
    /// The level, and levels by target, as [`Targets`] reads them.
    pub directives: String,
    /// The log file; standard error where there is none.
    pub path: Option<PathBuf>,
    /// The descriptor that leads to the master's standard error.
    pub stderr: RawFd,
    /// Whether levels are coloured.
    pub color: bool,
}

/// Who a worker process is; every line of it begins with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerIdentity {
    /// The worker's number.
    pub nr: u32,
    /// Its generation.
    pub generation: u64,
    /// Its process id.
    pub pid: u32,
}

/// The job that runs on a thread; every line that the thread writes meanwhile carries it.
#[derive(Clone, Debug)]
pub struct JobIdentity {
    /// The job's id.
    pub id: u64,
    /// Its logical tube, `-` until it is known.
    pub tube: &'static str,
    /// The handler.
    pub handler: &'static str,
    /// The JSON view of its body; nothing where it cannot be read, or [`wants_bodies`] says that it is not needed.
    pub data: Option<Arc<str>>,
}

/// What a thread is at.
enum Subject {
    Job(JobIdentity),
    /// A handler of that name does something apart from jobs.
    Handler(&'static str),
}

struct Log {
    settings: Settings,
    targets: Targets,
    worker: Option<WorkerIdentity>,
    sink: Mutex<Sink>,
}

struct Sink {
    file: File,
    checked: Instant,
}

static LOG: OnceLock<Log> = OnceLock::new();

thread_local! {
    static SUBJECT: RefCell<Option<Subject>> = const { RefCell::new(None) };
}

/// Starts logging in this process. Called once; a second call is an error.
///
/// Fails where the log file cannot be opened.
pub fn start(settings: Settings, worker: Option<WorkerIdentity>) -> io::Result<()> {
    let file = match &settings.path {
        Some(path) => open(path)?,
        // Standard error itself stays open for the life of the process: the log has a duplicate.
        None if worker.is_none() => File::from(io::stderr().as_fd().try_clone_to_owned()?),
        None => descriptors::claim_file(settings.stderr)?,
    };
    start_in(file, settings, worker)
}

/// The same, in a file that is open already.
pub fn start_in(file: File, settings: Settings, worker: Option<WorkerIdentity>) -> io::Result<()> {
    // The configuration was validated; an unreadable directive could only come from another version.
    let targets =
        Targets::from_str(&settings.directives).unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let sink = Mutex::new(Sink {
        file,
        checked: Instant::now(),
    });
    let log = Log {
        settings,
        targets,
        worker,
        sink,
    };
    LOG.set(log)
        .map_err(|_| io::Error::other("logging was started twice"))?;
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Events))
        .map_err(io::Error::other)
}

/// The settings that fit the standard error of this process.
pub fn settings(daemon: &crate::config::Daemon, stderr: RawFd) -> Settings {
    let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Settings {
        format: daemon.log_format,
        directives: daemon.log_level.clone(),
        path: daemon.log_path.clone(),
        stderr,
        color: color && daemon.log_path.is_none(),
    }
}

/// Opens a log file for appending; it is readable for its owner alone, as log lines may tell of mail addresses.
///
/// A symbolic link in its place, such as `/dev/stdout`, is followed only where root or this user has made it: in a
/// directory like `/tmp` it may be anybody's.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    match options.clone().custom_flags(libc::O_NOFOLLOW).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            let maker = std::fs::symlink_metadata(path)?.uid();
            if maker != 0 && maker != geteuid().as_raw() {
                return Err(io::Error::other(format!("it is a symbolic link of uid {maker}")));
            }
            options.open(path)
        }
        opened => opened,
    }
}

/// The file that is logged to now, for another process to go on with.
pub fn duplicate() -> io::Result<OwnedFd> {
    let log = LOG
        .get()
        .ok_or_else(|| io::Error::other("logging was not started"))?;
    let sink = log.sink.lock().unwrap_or_else(PoisonError::into_inner);
    sink.file.as_fd().try_clone_to_owned()
}

/// Opens the log file anew, whatever its path leads to now.
pub fn reopen() {
    if let Some(log) = LOG.get() {
        log.sink
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reopen(&log.settings);
    }
}

/// What stands for a tube or a handler that is not known.
pub const UNKNOWN: &str = "-";

/// Keeps a name for the life of the process, as lines of any thread may carry it: for those of a worker's tubes and handlers.
pub fn keep_name(name: &str) -> &'static str {
    Box::leak(Box::from(name))
}

/// Marks this thread as the one that works on `job`, or on none.
pub fn set_job(job: Option<JobIdentity>) {
    SUBJECT.with_borrow_mut(|current| *current = job.map(Subject::Job));
}

/// Marks this thread as one that works on nothing; the job that it worked on.
pub fn take_job() -> Option<JobIdentity> {
    match SUBJECT.take() {
        Some(Subject::Job(job)) => Some(job),
        _ => None,
    }
}

/// Marks this thread as one on which that handler does something apart from jobs.
pub fn set_handler(name: &'static str) {
    SUBJECT.with_borrow_mut(|current| *current = Some(Subject::Handler(name)));
}

/// Tells what was learnt of the tube of this thread's job.
pub fn set_tube(tube: &'static str) {
    SUBJECT.with_borrow_mut(|current| {
        if let Some(Subject::Job(job)) = current {
            job.tube = tube;
        }
    });
}

/// Whether an event of that level and target is kept. Constant once logging has started.
pub fn enabled(level: Level, target: &str) -> bool {
    LOG.get()
        .is_some_and(|log| log.targets.would_enable(target, &level))
}

/// Whether lines show what jobs are about, and tell of every job that is done: the PHP library's do.
pub fn wants_bodies() -> bool {
    LOG.get().is_some_and(|log| log.settings.format == LogFormat::Php)
}

/// Writes an event that came from a plugin. `job` 0 means the job of this thread.
pub fn foreign(level: Level, target: &str, job: u64, fill: impl FnOnce(&mut Line)) {
    let Some(log) = LOG.get().filter(|_| enabled(level, target)) else {
        return;
    };
    let mut line = log.identified(job);
    fill(&mut line);
    log.write(&line, level, target);
}

/// The layer that renders tracing's events.
struct Events;

impl<S: Subscriber> Layer<S> for Events {
    fn register_callsite(&self, metadata: &'static tracing::Metadata<'static>) -> Interest {
        match metadata.is_event() && enabled(*metadata.level(), metadata.target()) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && enabled(*metadata.level(), metadata.target())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(log) = LOG.get() else { return };
        let mut line = log.identified(0);
        event.record(&mut line);
        log.write(&line, *event.metadata().level(), event.metadata().target());
    }
}

impl Log {
    fn identified(&self, job: u64) -> Line {
        let mut line = Line::default();
        if let Some(worker) = self.worker {
            line.json("worker", &worker.nr.to_string());
            line.json("gen", &worker.generation.to_string());
            line.json("pid", &worker.pid.to_string());
        }
        let fill = |current: &Option<Subject>, line: &mut Line| match current {
            Some(Subject::Job(identity)) if job == 0 || job == identity.id => {
                line.json("job", &identity.id.to_string());
                line.text("tube", identity.tube);
                line.text("handler", identity.handler);
                line.data(identity.data.clone());
            }
            _ if job != 0 => line.json("job", &job.to_string()),
            Some(Subject::Handler(name)) => line.text("handler", name),
            _ => {}
        };
        // A plugin may log while its thread is being torn down, or from inside a field that is being rendered.
        let known = SUBJECT.try_with(|subject| {
            let current = subject.try_borrow();
            current.map(|current| fill(&current, &mut line)).is_ok()
        });
        if known != Ok(true) && job != 0 {
            line.json("job", &job.to_string());
        }
        line
    }

    fn write(&self, line: &Line, level: Level, target: &str) {
        let now = Zoned::now();
        let text = match self.settings.format {
            LogFormat::Text => line.to_text(&now, level, self.settings.color),
            LogFormat::Json => line.to_json(&now, level, target),
            LogFormat::Php => line.to_php(&now, level),
        };
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.settings.path
            && sink.checked.elapsed() >= ROTATION_CHECK
        {
            sink.checked = Instant::now();
            if sink.was_replaced(path) {
                sink.reopen(&self.settings);
            }
        }
        // There is no better place to report that the log cannot be written.
        let _ = sink.file.write_all(text.as_bytes());
    }
}

impl Sink {
    fn was_replaced(&self, path: &Path) -> bool {
        let Ok(open) = self.file.metadata() else {
            return true;
        };
        std::fs::metadata(path).map_or(true, |there| {
            (there.dev(), there.ino()) != (open.dev(), open.ino())
        })
    }

    fn reopen(&mut self, settings: &Settings) {
        if let Some(Ok(file)) = settings.path.as_deref().map(open) {
            self.file = file;
        }
    }
}
