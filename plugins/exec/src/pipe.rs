//! Pipes to and from a child: ours never block, and no other child inherits them.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollTimeout, poll},
    unistd::pipe2,
};

/// A pipe whose reading end is ours: that end, and the child's.
pub(crate) fn from_child() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reads, writes) = pipe2(OFlag::O_CLOEXEC)?;
    unblock(&reads)?;
    Ok((reads, writes))
}

/// A pipe whose writing end is ours: that end, and the child's.
pub(crate) fn to_child() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reads, writes) = pipe2(OFlag::O_CLOEXEC)?;
    unblock(&writes)?;
    Ok((writes, reads))
}

fn unblock(descriptor: impl AsFd) -> io::Result<()> {
    // The flag is the open file's: the ends of a pipe are two of them, so the child's end still blocks.
    fcntl(descriptor, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Waits until one of the descriptors has something, or `time` is over; a signal may end it early.
pub(crate) fn wait(descriptors: &mut [PollFd<'_>], time: Duration) -> io::Result<()> {
    // Rounded up: a wait that ends early would be begun again and again.
    let timeout = PollTimeout::try_from(time + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
    match poll(descriptors, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
