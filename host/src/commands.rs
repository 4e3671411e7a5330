//! The commands: each is a function that answers with what to print, or with why it failed.

mod call;
mod plugin;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use asynccall_client::payload::{self, Limits};
use nix::sys::signal::{Signal, kill};

use crate::{
    cli::{self, Flags, Input, Target},
    config::{self, Sources},
    control::{Instance, Request, Response, client},
    exit::Exit,
    master::{
        self, Failure,
        assignment::Assignment,
        daemonize::daemonize,
        generation::Generation,
        handover::{Inheritance, cannot_read},
        invocation::{Invocation, started_as},
        pidfile::{Holder, socket_path},
        privileges,
    },
    observe::{exposition::exposition, status::executors},
};

pub use call::call;
pub use plugin::plugin;

/// How long a daemon may take to answer a question that it answers from memory.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long `stop` waits beyond the daemon's own grace time, and `restart` for a daemon that is on its way out.
const BEYOND_GRACE: Duration = Duration::from_secs(5);
/// How long `stop` takes the grace time for of a daemon that does not tell it.
const GRACE_UNKNOWN: Duration = Duration::from_secs(30);
/// The largest job that beanstalkd takes with any `-z`, in bytes.
const LARGEST_BODY: u64 = 1 << 30;
/// How often a daemon that is on its way out is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// `run` and `start`: becomes the master. `warn` prints what the operator should hear before a daemon goes to the
/// background, `finish` prints the outcome of a start there.
///
/// The answer is what to print of a process that was only to find out whether it could take over.
pub fn run(
    flags: Flags,
    in_background: bool,
    warn: impl FnOnce(&str),
    finish: impl FnOnce(u8, &str),
) -> Result<String, Failure> {
    let unreadable = |exit| move |error: io::Error| Failure::new(exit, cannot_read(&error));
    if let Some(inheritance) = Inheritance::receive_for_preflight().map_err(unreadable(Exit::Failed))? {
        return inheritance.inspect();
    }
    let inheritance = Inheritance::receive().map_err(unreadable(Exit::Internal))?;
    let (sources, binary) = match &inheritance {
        Some(inheritance) => (inheritance.left.sources.clone(), inheritance.left.binary.clone()),
        None => {
            let binary = started_as().map_err(|error| {
                Failure::new(
                    Exit::Internal,
                    format!("cannot find the path of this binary: {error}"),
                )
            })?;
            (sources(flags)?, binary)
        }
    };
    let invocation = Invocation::of_process(binary);
    let mut starter = None;
    if inheritance.is_none() {
        let settings =
            config::load(&sources).map_err(|errors| Failure::new(errors.exit(), errors.to_string()))?;
        let daemon = settings.config.daemon;
        if in_background || daemon.daemonize {
            if daemon.log_path.is_none() {
                warn(
                    "a daemon in the background has no standard error, so nothing of it is logged; hint: name a file with `--log-path`",
                );
            }
            starter = Some(daemonize(finish).map_err(|error| {
                Failure::new(Exit::Internal, format!("cannot go to the background: {error}"))
            })?);
        }
    }
    let ended = master::run(sources, invocation, inheritance, &mut starter);
    if let (Err(failure), Some(starter)) = (&ended, starter) {
        starter.failed(failure.exit, &failure.error);
    }
    ended.map(|()| String::new())
}

/// `check`: everything that a start would check before it touches anything: settings, the user that they name, plugin
/// files, manifests, and that each pool has its handler. No plugin is executed, so what a handler says to its own configuration is not known.
pub fn check(flags: Flags) -> Result<String, Failure> {
    let generation = Generation::prepare(0, &sources(flags)?)?;
    privileges::look_up(&generation.config.daemon)?;
    let mut text = String::new();
    for warning in &generation.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    for staged in &generation.catalog.plugins {
        let info = &staged.info;
        let handlers: Vec<&str> = info
            .manifest
            .handlers
            .iter()
            .map(|handler| handler.name.as_str())
            .collect();
        text.push_str(&format!(
            "plugin {} {} (abi {}) {}: handlers {}\n",
            info.manifest.name,
            info.manifest.version,
            info.manifest.abi,
            info.path.display(),
            handlers.join(" ")
        ));
    }
    for pool in &generation.config.pools {
        text.push_str(&format!(
            "pool {}: tubes {}, {}, workers {}, slots of each {}\n",
            pool.name,
            pool.tubes.join(" "),
            executors(&Assignment::of(pool, generation.handlers(&pool.name)).by_tube()),
            pool.worker_num,
            pool.slots
        ));
    }
    text.push_str("ok");
    Ok(text)
}

/// `stop`: asks the daemon to end and waits for it.
pub fn stop(target: Target) -> Result<String, Failure> {
    let (pid_file, holder) = find(target)?;
    let patience = match client::call(&socket_path(&pid_file), Request::Stop, Some(PATIENCE)) {
        Ok(Response::Instance(instance)) => grace(instance),
        // It does not answer, or is of a version that does not know the request. A signal may come second, when it
        // means that nobody waits for running jobs, so it is only the way out.
        _ => {
            kill(holder.pid, Signal::SIGTERM).map_err(|error| {
                Failure::new(
                    Exit::NoPermission,
                    format!("cannot signal pid {}: {error}", holder.pid),
                )
            })?;
            GRACE_UNKNOWN
        }
    } + BEYOND_GRACE;
    if !ends(&holder, patience) {
        let text = format!(
            "pid {} was told to stop and still runs after {} s\n  hint: its log says what it waits for",
            holder.pid,
            patience.as_secs()
        );
        return Err(Failure::new(Exit::Failed, text));
    }
    Ok(format!("stopped pid {}", holder.pid))
}

/// Whether a daemon ends within that time.
fn ends(holder: &Holder, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while holder.holds() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK);
    }
    true
}

/// `restart`: lets the daemon execute its binary anew and waits until the new instance serves.
pub fn restart(target: Target) -> Result<String, Failure> {
    let (pid_file, holder) = find(target)?;
    let old = match ask(&pid_file, Request::Restart, None)? {
        Response::Instance(instance) => instance,
        other => return Err(unexpected(&other)),
    };
    // From here on nobody but the new instance accepts.
    match ask(&pid_file, Request::Restarted { from: old.id }, None) {
        Ok(Response::Reloaded { .. }) => Ok(format!("restarted pid {}", holder.pid)),
        Ok(other) => Err(unexpected(&other)),
        Err(failure) if failure.exit == Exit::Unavailable && ends(&holder, BEYOND_GRACE) => {
            let text = format!(
                "pid {} has ended instead of serving again\n  hint: its log says why",
                holder.pid
            );
            Err(Failure::new(Exit::Failed, text))
        }
        Err(failure) => Err(failure),
    }
}

/// `reload`: lets the daemon begin a new generation.
pub fn reload(target: Target, wait: bool) -> Result<String, Failure> {
    let (pid_file, _) = find(target)?;
    let patience = if wait { None } else { Some(PATIENCE) };
    match ask(&pid_file, Request::Reload { wait }, patience)? {
        Response::Reloaded { generation } if wait => Ok(format!("generation {generation} is ready")),
        Response::Reloaded { generation } => Ok(format!("generation {generation} is loading")),
        other => Err(unexpected(&other)),
    }
}

/// `rollback`: lets the daemon go back to the generation before, and waits for it.
pub fn roll_back(target: Target) -> Result<String, Failure> {
    let (pid_file, _) = find(target)?;
    match ask(&pid_file, Request::Rollback, None)? {
        Response::Reloaded { generation } => Ok(format!("generation {generation} is ready")),
        other => Err(unexpected(&other)),
    }
}

/// `pause`, `resume` and `scale`: what the daemon says of it.
pub fn change(target: Target, request: Request) -> Result<String, Failure> {
    let (pid_file, _) = find(target)?;
    match ask(&pid_file, request, Some(PATIENCE))? {
        Response::Done { text } => Ok(text),
        other => Err(unexpected(&other)),
    }
}

/// `status`: the daemon's own picture, for people, as JSON or for Prometheus.
pub fn status(typed: cli::Status) -> Result<String, Failure> {
    let (pid_file, _) = find(typed.target)?;
    match ask(&pid_file, Request::Status, Some(PATIENCE))? {
        Response::Status(status) if typed.metrics => Ok(exposition(&status).trim_end().to_owned()),
        Response::Status(status) if typed.json => serde_json::to_string_pretty(&status)
            .map_err(|error| Failure::new(Exit::Internal, format!("cannot print the status: {error}"))),
        Response::Status(status) => Ok(status.to_string()),
        other => Err(unexpected(&other)),
    }
}

/// `payload decode`: the JSON view of a body.
pub fn decode_payload(input: Option<Input>) -> Result<String, Failure> {
    let (name, body) = read_input(&input.unwrap_or(Input::Stdin))?;
    let mut scratch = Vec::new();
    let view = payload::validated_json_view(&body, &Limits::default(), &mut scratch).map_err(|error| {
        Failure::new(
            Exit::BadData,
            format!("cannot decode `{name}`: {}", crate::observe::line::chain(&error)),
        )
    })?;
    String::from_utf8(view.json.to_vec())
        .map_err(|error| Failure::new(Exit::Internal, format!("the JSON view is not UTF-8: {error}")))
}

/// A body, and the name of where it was read from.
fn read_input(input: &Input) -> Result<(String, Vec<u8>), Failure> {
    let (name, read) = match input {
        Input::File(file) => (
            file.display().to_string(),
            fs::File::open(file).and_then(|file| read_body(file, LARGEST_BODY)),
        ),
        Input::Stdin => (
            "standard input".to_owned(),
            read_body(io::stdin().lock(), LARGEST_BODY),
        ),
    };
    let body = read.map_err(|error| Failure::new(Exit::NoInput, format!("cannot read `{name}`: {error}")))?;
    let body = body.ok_or_else(|| {
        let text = format!("`{name}` has more than {LARGEST_BODY} bytes, which no job has");
        Failure::new(Exit::BadData, text)
    })?;
    Ok((name, body))
}

/// Reads everything; `None` where that is more than `largest` bytes.
fn read_body(from: impl Read, largest: u64) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    from.take(largest + 1).read_to_end(&mut body)?;
    Ok((body.len() as u64 <= largest).then_some(body))
}

fn sources(flags: Flags) -> Result<Sources, Failure> {
    Sources::of_process(flags).map_err(|error| {
        Failure::new(
            Exit::Internal,
            format!("cannot read the working directory: {error}"),
        )
    })
}

/// The pid file that the flags name, and the daemon that holds it.
fn find(target: Target) -> Result<(PathBuf, Holder), Failure> {
    let pid_file = config::load_pid_file(&sources(target.0)?)
        .map_err(|errors| Failure::new(errors.exit(), errors.to_string()))?;
    let holder = Holder::find(&pid_file).map_err(|error| Failure::new(error.exit(), error.to_string()))?;
    Ok((pid_file, holder))
}

fn ask(pid_file: &Path, request: Request, patience: Option<Duration>) -> Result<Response, Failure> {
    match client::call(&socket_path(pid_file), request, patience) {
        Ok(Response::Failed { exit, error }) => Err(Failure::new(Exit::from_code(exit), error)),
        Ok(response) => Ok(response),
        Err(error) => Err(Failure::new(Exit::Unavailable, error.to_string())),
    }
}

fn grace(instance: Instance) -> Duration {
    Duration::from_millis(instance.grace_ms)
}

fn unexpected(response: &Response) -> Failure {
    Failure::new(
        Exit::Internal,
        format!("the daemon answered something else: {response:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_up_to_the_largest_and_no_further() {
        let read = |body: &[u8]| read_body(body, 4).expect("memory can be read");
        assert_eq!(read(b""), Some(Vec::new()));
        assert_eq!(read(b"four"), Some(b"four".to_vec()));
        assert_eq!(read(b"five!"), None);
        let endless = read_body(io::repeat(b'x'), 4).expect("memory can be read");
        assert_eq!(endless, None);
    }
}
