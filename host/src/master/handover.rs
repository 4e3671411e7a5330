//! What a master leaves to the next instance of itself, which has the same pid: a document, and open descriptors.
//!
//! The document is JSON in a memory file; an environment variable carries the
//! number of its descriptor. All other descriptors keep their numbers, and the
//! document lists them: what the next instance does not know is closed.
//!
//! Its outer part is read by every binary of the same [`VERSION`]. What workers
//! are sent, and so the generations that they are made from, has a version of
//! its own ([`ipc::VERSION`]): where that differs, the next instance can
//! neither talk to the workers nor replace them, but they go on until it has
//! workers of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::File,
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    path::PathBuf,
    time::Duration,
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::error;

use super::{
    Failure,
    children::{Plan, Standing},
    generation::{Generation, GenerationLeft},
    metrics::Legacy,
    processes::ProcessLeft,
};
use crate::{
    config::Sources,
    exit::Exit,
    ipc::{self, descriptors, scoreboard::Scoreboard},
    observe::{log, status::Totals},
};

/// The environment variable with the number of the descriptor that holds the [`Handover`], for the next instance.
pub const VARIABLE: &str = "ASYNCCALL_HANDOVER";
/// The same, for a child that only finds out whether it could be the next instance.
pub const PREFLIGHT: &str = "ASYNCCALL_PREFLIGHT";
/// What such a child prints where it could.
pub const ACCEPTED: &str = "the handover is accepted";

/// Version of the outer part of the [`Handover`].
pub(super) const VERSION: u32 = 3;

/// What the next instance starts from.
#[derive(Serialize, Deserialize)]
pub struct Handover {
    pub(super) version: u32,
    /// How the earlier instance logged: where a failure is told before there are settings.
    pub log: log::Settings,
    /// Flags, environment and working directory of the first start.
    pub sources: Sources,
    /// The binary, as it was first started. Symbolic links in it lead to what is installed now.
    pub binary: PathBuf,
    /// The pid file's path. It stays what it was, whatever the settings say now.
    pub(super) pid_path: PathBuf,
    /// Every descriptor that is left open.
    pub(super) descriptors: BTreeSet<RawFd>,
    /// The open log.
    pub(super) log_file: Option<RawFd>,
    /// The locked pid file.
    pub(super) pid_file: RawFd,
    /// The control socket, which listens.
    pub(super) control: RawFd,
    pub(super) scoreboard: RawFd,
    /// [`ipc::VERSION`] of the workers.
    pub(super) ipc: u32,
    /// How long the daemon has run.
    pub(super) up: Duration,
    pub(super) totals: Totals,
    pub(super) metrics: Legacy,
    pub(super) paused: BTreeSet<String>,
    /// Which streak of the scoreboard each pool's failures are counted in.
    pub(super) streaks: BTreeMap<String, usize>,
    pub(super) last_generation: u64,
    pub(super) serving: u64,
    pub(super) previous: Option<u64>,
    pub(super) plan: Plan,
    /// The number of the next incarnation of a worker.
    pub(super) next_worker: u64,
    /// By number of the incarnation.
    pub(super) workers: BTreeMap<u64, (Standing, ProcessLeft)>,
    /// [`GenerationLeft`], of the version `ipc`.
    pub(super) generations: Value,
}

impl Handover {
    fn read(text: &[u8]) -> Result<Handover, (Option<log::Settings>, io::Error)> {
        let document: Value = serde_json::from_slice(text).map_err(|error| (None, error.into()))?;
        let log = document
            .get("log")
            .and_then(|log| log::Settings::deserialize(log).ok());
        match document.get("version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {
                Handover::deserialize(&document).map_err(|error| (log, error.into()))
            }
            found => {
                let found = found.map_or_else(|| "none".to_owned(), |version| version.to_string());
                let text = format!(
                    "the handover has version {found}, wanted {VERSION}\n  hint: use `stop` and `start` to change to this binary"
                );
                Err((log, io::Error::new(io::ErrorKind::InvalidData, text)))
            }
        }
    }

    /// The document in a memory file.
    pub(super) fn write(&self) -> io::Result<File> {
        let mut file = File::from(memfd_create(c"asynccall-handover", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok(file)
    }

    /// The generations, where this binary's workers understand the same messages.
    pub(super) fn generations(&self) -> io::Result<Option<Vec<GenerationLeft>>> {
        if self.ipc != ipc::VERSION {
            return Ok(None);
        }
        Ok(Some(Vec::deserialize(&self.generations)?))
    }
}

/// A [`Handover`] with the descriptors that came with it.
pub struct Inheritance {
    /// The document.
    pub left: Handover,
    pub(super) descriptors: Descriptors,
}

impl Inheritance {
    /// Takes over what an earlier instance left for this process, if this is such a restart.
    ///
    /// What it left but cannot be read is logged where the earlier instance logged, as far as that can be told.
    pub fn receive() -> io::Result<Option<Inheritance>> {
        Inheritance::of(VARIABLE).map_err(|(log, error)| {
            if log.is_some_and(|log| log::start(log, None).is_ok()) {
                error!(error = %error, "cannot read what the daemon left to itself at its restart");
            }
            error
        })
    }

    /// The same for a child that is to find out whether it could.
    pub fn receive_for_preflight() -> io::Result<Option<Inheritance>> {
        Inheritance::of(PREFLIGHT).map_err(|(_, error)| error)
    }

    fn of(variable: &str) -> Result<Option<Inheritance>, (Option<log::Settings>, io::Error)> {
        let Some(number) = env::var(variable).ok().and_then(|text| text.parse().ok()) else {
            return Ok(None);
        };
        let text = read_all(number).map_err(|error| (None, error))?;
        let left = Handover::read(&text)?;
        let descriptors =
            Descriptors::claim(&left.descriptors).map_err(|error| (Some(left.log.clone()), error))?;
        Ok(Some(Inheritance { left, descriptors }))
    }

    /// The scoreboard of the workers, where this binary's has the same layout.
    pub(super) fn scoreboard(&mut self) -> io::Result<Option<Scoreboard>> {
        let descriptor = self.descriptors.take(self.left.scoreboard)?;
        if self.left.ipc != ipc::VERSION {
            return Ok(None);
        }
        // It looks at size, mark and version: what does not fit is another layout.
        Ok(Scoreboard::open(descriptor).ok())
    }

    /// Finds out whether this process could go on from here, and answers with what to print.
    ///
    /// Nothing that belongs to the running daemon is changed.
    pub fn inspect(mut self) -> Result<String, Failure> {
        let unreadable = |error: io::Error| Failure::new(Exit::Failed, cannot_read(&error));
        self.scoreboard().map_err(unreadable)?;
        for left in self.left.generations().map_err(unreadable)?.unwrap_or_default() {
            self.descriptors
                .contains_all(left.descriptors())
                .map_err(unreadable)?;
        }
        Generation::prepare(self.left.last_generation + 1, &self.left.sources)?;
        Ok(ACCEPTED.to_owned())
    }
}

/// What a person is told of a handover that cannot be read.
pub fn cannot_read(error: &io::Error) -> String {
    format!("cannot read the handover: {error}")
}

fn read_all(number: RawFd) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut file = descriptors::claim_file(number)?;
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// Inherited descriptors by number. Those that nobody takes are closed in the end.
pub(super) struct Descriptors(BTreeMap<RawFd, OwnedFd>);

impl Descriptors {
    fn claim(numbers: &BTreeSet<RawFd>) -> io::Result<Descriptors> {
        let claimed = numbers
            .iter()
            .map(|number| Ok((*number, descriptors::claim(*number)?)));
        claimed.collect::<io::Result<_>>().map(Descriptors)
    }

    /// The descriptor of that number, which nobody has taken before.
    pub(super) fn take(&mut self, number: RawFd) -> io::Result<OwnedFd> {
        let missing = || io::Error::other(format!("descriptor {number} was not left, or left for two"));
        self.0.remove(&number).ok_or_else(missing)
    }

    fn contains_all(&self, numbers: impl IntoIterator<Item = RawFd>) -> io::Result<()> {
        match numbers.into_iter().find(|number| !self.0.contains_key(number)) {
            Some(missing) => Err(io::Error::other(format!("descriptor {missing} was not left"))),
            None => Ok(()),
        }
    }
}

/// The descriptors that are to stay open, while the document is written.
#[derive(Default)]
pub(super) struct Kept<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Kept<'a> {
    /// Keeps one more, and answers with its number.
    pub(super) fn keep(&mut self, descriptor: &'a impl AsFd) -> RawFd {
        self.0.push(descriptor.as_fd());
        descriptor.as_fd().as_raw_fd()
    }

    pub(super) fn numbers(&self) -> BTreeSet<RawFd> {
        self.0.iter().map(AsRawFd::as_raw_fd).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = BorrowedFd<'a>> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_handover_of_another_version_is_refused_and_still_tells_where_the_log_is() {
        let log = r#"{"format": "text", "directives": "info", "path": "/var/log/host", "stderr": 2, "color": false}"#;
        for version in ["", "\"version\": 99,"] {
            let text = format!("{{{version} \"log\": {log}}}");
            let Err((log, error)) = Handover::read(text.as_bytes()) else {
                panic!("it is another version");
            };
            let path = log.and_then(|log| log.path);
            assert_eq!(path.as_deref(), Some(Path::new("/var/log/host")));
            assert!(
                error.to_string().contains(&format!("wanted {VERSION}")),
                "{error}"
            );
        }
    }
}
