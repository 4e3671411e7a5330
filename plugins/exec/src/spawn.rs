//! Starts a child process that cannot outlive this one.
//!
//! ```text
//!   worker (leads its own group) ── the thread that starts ──▶ child (leads a group of its own) ──▶ what it starts
//! ```
//!
//! Two things are settled between fork and exec:
//!
//! - The kernel kills the child when the thread that started it ends (`PR_SET_PDEATHSIG`), which is when the worker
//!   ends, however it ends: nothing has to be sent, and a child that ignores every signal and the end of its link goes
//!   too. So [`spawn`] belongs on a thread that lives as long as the child may.
//! - The child leads a process group. A signal to the group reaches what the child has started as well, which
//!   a signal to the child alone would leave behind at a time-out. The price: a signal to the worker's group does
//!   not reach the child. Nobody but the master sends one, to kill, and then the first point holds.
//!
//! A child that executes a setuid program, or one with file capabilities, loses the first protection (prctl(2)).
#![allow(
    unsafe_code,
    reason = "code between fork and exec; the blocks carry their arguments"
)]

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::{Child, Command},
};

use nix::{
    libc,
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{getpid, getppid},
};

/// Where a child reads messages.
pub(crate) const CHILD_READS: RawFd = 3;
/// Where a child writes messages.
pub(crate) const CHILD_WRITES: RawFd = 4;

/// The child's ends of its link.
pub(crate) struct Ends {
    /// Becomes [`CHILD_READS`].
    pub(crate) reads: OwnedFd,
    /// Becomes [`CHILD_WRITES`].
    pub(crate) writes: OwnedFd,
}

/// Starts `command` as the leader of a process group, with the ends of its link where it has one.
///
/// The child is killed when the calling thread ends.
///
/// # Errors
///
/// Those of [`Command::spawn`].
pub(crate) fn spawn(command: &mut Command, ends: Option<Ends>) -> io::Result<Child> {
    // std's own pipe, by which it learns that exec failed, must not get one of the two numbers: what takes its
    // place in the child would cut it off.
    let _places = occupy()?;
    // Taking the place of one end must not close the other.
    let ends = match ends {
        Some(Ends { reads, writes }) => {
            Some([(move_up(&reads)?, CHILD_READS), (move_up(&writes)?, CHILD_WRITES)])
        }
        None => None,
    };
    let parent = getpid();
    let prepare = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // A parent that ended before the line above sends no signal any more.
        if getppid() != parent {
            return Err(io::Error::from_raw_os_error(libc::ECHILD));
        }
        for (descriptor, number) in ends.iter().flatten() {
            // SAFETY: dup2 is async-signal-safe and has no demands on its arguments. Nothing in this child
            // owns the numbers 3 and 4: it is about to execute another program.
            if unsafe { libc::dup2(descriptor.as_raw_fd(), *number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    command.process_group(0);
    // SAFETY: between fork and exec the closure calls prctl, getppid and dup2, which are async-signal-safe, and
    // allocates nothing: errors are made from their numbers.
    unsafe { command.pre_exec(prepare) }.spawn()
}

/// The same open file under a number that no message descriptor of the child has.
fn move_up(descriptor: &OwnedFd) -> io::Result<OwnedFd> {
    let mut held = Vec::new();
    loop {
        let copy = descriptor.try_clone()?;
        if copy.as_raw_fd() > CHILD_WRITES {
            return Ok(copy);
        }
        held.push(copy);
    }
}

/// Opens files until every number up to that of the child's last message descriptor is in use.
fn occupy() -> io::Result<Vec<File>> {
    let mut opened = Vec::new();
    loop {
        let file = File::open("/dev/null")?;
        if file.as_raw_fd() > CHILD_WRITES {
            return Ok(opened);
        }
        opened.push(file);
    }
}
