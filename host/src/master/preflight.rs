//! A child that executes the binary of a coming restart and finds out whether it could go on from here.
//!
//! It inherits everything that the next instance would, and changes nothing. It
//! says so on standard output and ends with 0, or it ends with an error, as any
//! command does.

use std::{
    io::{self, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::WaitStatus,
    },
    unistd::Pid,
};

use super::{
    Failure,
    handover::{ACCEPTED, Handover, Kept, PREFLIGHT},
    invocation::Invocation,
    spawn,
};
use crate::exit::Exit;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How much of what it says is read, in bytes. What is more waits in the socket until it is killed.
const LONGEST_ANSWER: u64 = 16 * 1024;

/// The child.
pub(super) struct Preflight {
    pid: Pid,
    binary: String,
    pub(super) deadline: Instant,
    /// Our ends of its standard output and error.
    said: [UnixStream; 2],
}

impl Preflight {
    /// Starts it.
    pub(super) fn begin(
        invocation: &Invocation,
        handover: &Handover,
        kept: &Kept<'_>,
    ) -> io::Result<Preflight> {
        let (out, its_out) = UnixStream::pair()?;
        let (err, its_err) = UnixStream::pair()?;
        let state = handover.write()?;
        let mut inherited: Vec<_> = kept.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
        inherited.push(state.as_raw_fd());
        let mut command = invocation.command(PREFLIGHT, state.as_raw_fd());
        command
            .stdin(Stdio::null())
            .stdout(OwnedFd::from(its_out))
            .stderr(OwnedFd::from(its_err));
        let pid = spawn::spawn_to_inspect(command, inherited)?;
        Ok(Preflight {
            pid: Pid::from_raw(pid.cast_signed()),
            binary: invocation.binary.display().to_string(),
            deadline: Instant::now() + LIMIT,
            said: [out, err],
        })
    }

    /// Whether it is this child that has ended so.
    pub(super) fn is(&self, ended: WaitStatus) -> bool {
        ended.pid() == Some(self.pid)
    }

    /// Kills it, with whatever it has started. What it would have answered is of no interest any more.
    pub(super) fn kill(&self) {
        let _ = killpg(self.pid, Signal::SIGKILL);
    }

    /// What it has found out, once it has ended.
    pub(super) fn outcome(self, ended: WaitStatus) -> Result<(), Failure> {
        let [out, err] = self.said.map(read);
        let code = match ended {
            WaitStatus::Exited(_, 0) if out.trim() == ACCEPTED => return Ok(()),
            WaitStatus::Exited(_, code) => u8::try_from(code).ok(),
            _ => None,
        };
        let told = err.trim();
        if let Some(error) = told.strip_prefix("error: ")
            && let Some(code) = code.filter(|code| *code != 0)
        {
            return Err(Failure::new(Exit::from_code(code), error));
        }
        let how = match ended {
            WaitStatus::Exited(_, code) => format!("exit code {code}"),
            WaitStatus::Signaled(_, signal, _) => signal.to_string(),
            _ => "an unknown end".to_owned(),
        };
        let said = if told.is_empty() { "nothing" } else { told };
        let text = format!(
            "`{}` cannot take over: it ended with {how} and said: {said}\n  hint: use `stop` and `start` to change to this binary",
            self.binary
        );
        Err(Failure::new(Exit::Failed, text))
    }

    /// What is told when it took too long.
    pub(super) fn too_late(&self) -> Failure {
        let limit = LIMIT.as_secs();
        let text = format!(
            "`{}` did not say within {limit} s whether it can take over",
            self.binary
        );
        Failure::new(Exit::Failed, text)
    }
}

/// What was written by a process that has ended.
fn read(end: UnixStream) -> String {
    let mut bytes = Vec::new();
    // Somebody else may still hold the other end.
    let _ = end
        .set_nonblocking(true)
        .and_then(|()| end.take(LONGEST_ANSWER).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
