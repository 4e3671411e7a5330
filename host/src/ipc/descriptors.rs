//! Descriptors that a worker inherits: taken over by number, once.
#![allow(
    unsafe_code,
    reason = "an inherited descriptor is a number until it is claimed"
)]

use std::{
    fs::File,
    io,
    os::{
        fd::{FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Claims a descriptor that this process inherited and hides it from its own children.
///
/// Fails where the number is not open. The caller claims each number once, and has it from the process that
/// passed the descriptor on: a number that something else in this process owns must never get here.
pub(crate) fn claim(number: RawFd) -> io::Result<OwnedFd> {
    // The standard streams are never passed on for being claimed.
    if number <= 2 {
        return Err(io::Error::from_raw_os_error(nix::libc::EBADF));
    }
    // SAFETY: fcntl fails on a number that is not open, which is checked below before the value is
    // used; the parent passed the number on for this process alone, so nothing else here owns it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    match fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
        Ok(_) => Ok(descriptor),
        Err(error) => {
            // Not ours to close: the number was never open.
            std::mem::forget(descriptor);
            Err(error.into())
        }
    }
}

/// Claims an inherited stream socket.
pub(crate) fn claim_stream(number: RawFd) -> io::Result<UnixStream> {
    claim(number).map(UnixStream::from)
}

/// Claims an inherited file.
pub(crate) fn claim_file(number: RawFd) -> io::Result<File> {
    claim(number).map(File::from)
}
