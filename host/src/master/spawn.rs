//! Starts a worker process with the descriptors that it inherits.
#![allow(
    unsafe_code,
    reason = "code between fork and exec; the block carries its argument"
)]

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, Stdio},
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{handover, notify};

/// Starts a worker and returns its pid and the master's end of the link.
///
/// The worker leads a process group of its own, so that a terminal's ^C and a signal to the
/// master's group do not reach it. `inherited` keep their numbers in it; its standard output and
/// error go to `output`. The child is reaped with all others, by number.
pub fn spawn(inherited: &[BorrowedFd<'_>], output: File) -> io::Result<(u32, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut passed: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
    passed.push(theirs.as_raw_fd());
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("asynccall-host")
        .arg("worker")
        .arg("--link-fd")
        .arg(theirs.as_raw_fd().to_string())
        .env_remove(handover::VARIABLE)
        .env_remove(notify::VARIABLE)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0);
    let clear = move || {
        for number in &passed {
            // SAFETY: the number belongs to a descriptor of the parent that is borrowed until `spawn`
            // returns, and this is the child's copy of the table.
            let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure calls nothing but fcntl, which is async-signal-safe, and
    // allocates nothing: an error is made from its number.
    let child = unsafe { command.pre_exec(clear) }.spawn()?;
    drop(theirs);
    Ok((child.id(), ours))
}

/// Asks the kernel to keep a descriptor open across the coming exec of this process.
pub fn keep_across_exec(descriptor: impl AsFd) -> io::Result<RawFd> {
    fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(descriptor.as_fd().as_raw_fd())
}
