//! What a master leaves to itself when it executes its binary anew: same pid, same settings, same pid file.

use std::{
    env,
    ffi::{CString, OsStr},
    fs::{self, File},
    io::{self, Read, Seek, Write},
    os::{
        fd::RawFd,
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::{
        memfd::{MFdFlags, memfd_create},
        signal::SigSet,
    },
    unistd::{AccessFlags, access, execve},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::error;

use super::{pidfile::PidFile, spawn};
use crate::{config::Sources, ipc::descriptors, observe::log};

/// The environment variable with the number of the descriptor that holds the [`Handover`].
pub const VARIABLE: &str = "ASYNCCALL_HANDOVER";

/// Version of the [`Handover`]. An instance that is left another one cannot tell what it was to be.
const VERSION: u32 = 1;

/// What the next instance starts from.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    version: u32,
    /// How the earlier instance logged: where a failure is told before there are settings.
    pub log: log::Settings,
    /// Flags, environment and working directory of the first start.
    pub sources: Sources,
    /// The binary, as it was first started. Symbolic links in it lead to what is installed now.
    pub binary: PathBuf,
    /// The pid file's path. It stays what it was, whatever the settings say now.
    pub pid_path: PathBuf,
    /// The locked pid file.
    pid_file: RawFd,
}

impl Handover {
    /// Takes over what an earlier instance left for this process, if this is such a restart.
    ///
    /// What it left but cannot be read is logged where the earlier instance logged, as far as that can be told.
    pub fn receive() -> io::Result<Option<Handover>> {
        let Some(number) = env::var(VARIABLE).ok().and_then(|text| text.parse().ok()) else {
            return Ok(None);
        };
        let mut text = Vec::new();
        let mut file = descriptors::claim_file(number)?;
        file.rewind()?;
        file.read_to_end(&mut text)?;
        Handover::read(&text).map(Some).map_err(|(log, error)| {
            if log.is_some_and(|log| log::start(log, None).is_ok()) {
                error!(error = %error, "cannot read what the daemon left to itself at its restart");
            }
            error
        })
    }

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

    /// The pid file, still locked.
    pub fn pid_file(&self) -> io::Result<File> {
        descriptors::claim_file(self.pid_file)
    }
}

/// An instance that is about to be replaced.
pub struct Leaving<'a> {
    /// What is executed.
    pub binary: &'a Path,
    /// Flags, environment and working directory of the first start.
    pub sources: Sources,
    /// How this instance logs.
    pub log: log::Settings,
    /// The locked pid file.
    pub pid_file: &'a PidFile,
}

impl Leaving<'_> {
    /// Executes the binary in place of this process. Returns only if that fails.
    ///
    /// Signals stay blocked until the new instance has its handlers.
    pub fn execute(self) -> io::Error {
        match self.attempt() {
            Err(error) => {
                let _ = SigSet::all().thread_unblock();
                error
            }
            Ok(()) => io::Error::other("exec returned"),
        }
    }

    fn attempt(self) -> io::Result<()> {
        let handover = Handover {
            version: VERSION,
            log: self.log,
            sources: self.sources,
            binary: self.binary.to_owned(),
            pid_path: self.pid_file.path().to_owned(),
            pid_file: spawn::keep_across_exec(self.pid_file.file())?,
        };
        let mut state = File::from(memfd_create(c"asynccall-handover", MFdFlags::empty())?);
        state.write_all(&serde_json::to_vec(&handover)?)?;
        let number = spawn::keep_across_exec(&state)?;

        let arguments: Vec<CString> = env::args_os()
            .map(|argument| text(argument.as_bytes()))
            .collect::<Result<_, _>>()?;
        let mut environment = vec![text(format!("{VARIABLE}={number}").as_bytes())?];
        for (name, value) in env::vars_os().filter(|(name, _)| name != VARIABLE) {
            environment.push(text(&[name.as_bytes(), b"=", value.as_bytes()].concat())?);
        }
        SigSet::all().thread_block()?;
        execve(
            &text(self.binary.as_os_str().as_bytes())?,
            &arguments,
            &environment,
        )?;
        Ok(())
    }
}

/// Whether `binary` is there and may be executed.
pub fn executable(binary: &Path) -> io::Result<()> {
    if !fs::metadata(binary)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    Ok(access(binary, AccessFlags::X_OK)?)
}

/// The path by which this process was started: its symbolic links are not resolved, so that an upgrade that
/// turns one of them takes effect. Where it cannot be told, the path of the file that is executed.
///
/// Must be called before the working directory is changed.
pub fn started_as() -> io::Result<PathBuf> {
    let executed = env::current_exe()?;
    let typed = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let found = candidates(&typed, &env::current_dir()?, env::var_os("PATH").as_deref());
    // What a process is called is up to whoever starts it.
    let is_executed = |path: &PathBuf| same_file(path, &executed);
    Ok(found.into_iter().find(is_executed).unwrap_or(executed))
}

/// Where a shell looks for a program that was typed like this.
fn candidates(typed: &Path, directory: &Path, search: Option<&OsStr>) -> Vec<PathBuf> {
    if typed.as_os_str().is_empty() {
        return Vec::new();
    }
    if typed.as_os_str().as_bytes().contains(&b'/') {
        return vec![directory.join(typed)];
    }
    let entries = search.map(env::split_paths).into_iter().flatten();
    entries.map(|entry| directory.join(entry).join(typed)).collect()
}

fn same_file(path: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((identity(path), identity(other)), (Ok(one), Ok(two)) if one == two)
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_is_looked_for_where_a_shell_looks_and_links_stay_links() {
        let here = Path::new("/srv/app");
        let search = OsStr::new("/usr/bin:bin");
        let looked = |typed: &str| candidates(Path::new(typed), here, Some(search));
        assert_eq!(looked("/opt/current/host"), [Path::new("/opt/current/host")]);
        assert_eq!(looked("current/host"), [Path::new("/srv/app/current/host")]);
        assert_eq!(
            looked("host"),
            [Path::new("/usr/bin/host"), Path::new("/srv/app/bin/host")]
        );
        assert_eq!(looked(""), [] as [&Path; 0]);
    }

    #[test]
    fn a_handover_of_another_version_is_refused_and_still_tells_where_the_log_is() {
        let log = r#"{"format": "text", "directives": "info", "path": "/var/log/host", "stderr": 2, "color": false}"#;
        for version in ["", "\"version\": 99,"] {
            let text = format!("{{{version} \"log\": {log}}}");
            let (log, error) = Handover::read(text.as_bytes()).expect_err("it is another version");
            let path = log.and_then(|log| log.path);
            assert_eq!(path.as_deref(), Some(Path::new("/var/log/host")));
            assert!(error.to_string().contains("wanted 1"), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_executed_is_told_before_anything_stops() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("host");
        executable(&file).expect_err("it is not there");
        executable(directory.path()).expect_err("it is a directory");
        fs::write(&file, "text").expect("a file");
        executable(&file).expect_err("nobody may execute it");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).expect("ours");
        executable(&file).expect("now it may be");
    }
}
