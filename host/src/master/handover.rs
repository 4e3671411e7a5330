//! What a master leaves to itself when it executes its binary anew: same pid, same settings, same pid file.

use std::{
    env,
    ffi::CString,
    fs::File,
    io::{self, Read, Seek, Write},
    os::{fd::RawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use nix::{
    sys::{
        memfd::{MFdFlags, memfd_create},
        signal::SigSet,
    },
    unistd::execve,
};
use serde::{Deserialize, Serialize};

use super::{pidfile::PidFile, spawn};
use crate::{config::Sources, ipc::descriptors};

/// The environment variable with the number of the descriptor that holds the [`Handover`].
pub const VARIABLE: &str = "ASYNCCALL_HANDOVER";

/// What the next instance starts from.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    /// Flags, environment and working directory of the first start.
    pub sources: Sources,
    /// The pid file's path. It stays what it was, whatever the settings say now.
    pub pid_path: PathBuf,
    /// The locked pid file.
    pid_file: RawFd,
}

impl Handover {
    /// Takes over what an earlier instance left for this process, if this is such a restart.
    pub fn receive() -> io::Result<Option<Handover>> {
        let Some(number) = env::var(VARIABLE).ok().and_then(|text| text.parse().ok()) else {
            return Ok(None);
        };
        let mut text = Vec::new();
        let mut file = descriptors::claim_file(number)?;
        file.rewind()?;
        file.read_to_end(&mut text)?;
        Ok(Some(serde_json::from_slice(&text)?))
    }

    /// The pid file, still locked.
    pub fn pid_file(&self) -> io::Result<File> {
        descriptors::claim_file(self.pid_file)
    }
}

/// Executes `binary` in place of this process. Returns only if that fails.
///
/// Signals stay blocked until the new instance has its handlers.
pub fn execute(binary: &Path, sources: Sources, pid_file: &PidFile) -> io::Error {
    let attempt = || -> io::Result<()> {
        let handover = Handover {
            sources,
            pid_path: pid_file.path().to_owned(),
            pid_file: spawn::keep_across_exec(pid_file.file())?,
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
        execve(&text(binary.as_os_str().as_bytes())?, &arguments, &environment)?;
        Ok(())
    };
    match attempt() {
        Err(error) => {
            let _ = SigSet::all().thread_unblock();
            error
        }
        Ok(()) => io::Error::other("exec returned"),
    }
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(io::Error::other)
}
