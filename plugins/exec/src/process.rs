//! A child process and everything in its group: telling it to end, seeing that it has, killing it.

use std::{
    fmt::{self, Display, Formatter},
    io,
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

/// The longest time between two looks at a process that is to end. The first ones follow faster: most are about to.
const LOOK: Duration = Duration::from_millis(5);
const FIRST_LOOK: Duration = Duration::from_micros(50);
/// How long a child may take from closing its pipes to its end.
const MOMENT: Duration = Duration::from_secs(1);

/// A child that leads a process group. It does not outlive this value, nor does what is in its group.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    reaped: Option<ExitStatus>,
}

impl Process {
    /// A child that [`crate::spawn::spawn`] has started.
    pub(crate) fn new(child: Child) -> Process {
        Process { child, reaped: None }
    }

    /// Its pid, which is its group's number as well.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended. It stays a zombie, so its number is not given to another process.
    pub(crate) fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        self.reaped.is_some()
            || !matches!(
                waitid(Id::Pid(self.group()), flags),
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::EINTR)
            )
    }

    /// Waits until it has ended, at most until `deadline`.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        let mut look = FIRST_LOOK;
        loop {
            if self.has_ended() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::sleep(left.min(look));
            look = (look * 2).min(LOOK);
        }
    }

    /// Waits a moment for a child that seems to be about to end: how it does is worth that.
    pub(crate) fn wait_a_moment(&self) -> bool {
        self.wait_until(Instant::now() + MOMENT)
    }

    /// Tells the group to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Kills what is left of the group, and says how the child ended.
    pub(crate) fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.reaped {
            return Ok(status);
        }
        self.signal(Signal::SIGKILL);
        let status = self.child.wait()?;
        self.reaped = Some(status);
        Ok(status)
    }

    fn signal(&self, signal: Signal) {
        // Until it is reaped the number is this child's. A group that is gone is an error of the call.
        if self.reaped.is_none() {
            let _ = killpg(self.group(), signal);
        }
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// How a child ended, in words.
#[derive(Debug)]
pub(crate) struct Ended(pub(crate) ExitStatus);

impl Display for Ended {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "ended with exit code {code}"),
            (None, Some(number)) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "was killed by {signal}"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
            (None, None) => write!(f, "ended: {}", self.0),
        }
    }
}
