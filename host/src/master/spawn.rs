//! Starts child processes with the descriptors that they inherit.
#![allow(
    unsafe_code,
    reason = "code between fork and exec; each block carries its argument"
)]

use std::{
    env,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::{ffi::OsStrExt, net::UnixStream, process::CommandExt},
    },
    process::{Child, Command, Stdio},
    thread,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    libc,
    sys::{
        prctl,
        signal::{SigSet, Signal},
    },
};

use super::notify;
use crate::{config::settings::VARIABLE_PREFIX, title};

/// Starts a worker and returns its pid and the master's end of the link.
///
/// The worker leads a process group of its own, so that a terminal's ^C and a signal to the
/// master's group do not reach it. `inherited` keep their numbers in it; its standard output and
/// error go to `output`. The child is reaped with all others, by number.
///
/// `is_alone`: its slot is the only one of its pool.
pub fn spawn(inherited: &[BorrowedFd<'_>], output: File, is_alone: bool) -> io::Result<(u32, UnixStream)> {
    let mut command = of_this_binary("worker");
    command
        .arg0(title::room_for_worker())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0);
    if !(is_alone && has_one_processor()) {
        give_way(&mut command);
    }
    let (child, link) = start_linked(command, inherited)?;
    Ok((child.id(), link))
}

/// Starts the child of a [`crate::trial`], and returns it with the parent's end of the link.
///
/// `inherited` keep their numbers in it. It does not outlive the thread that starts it, and a terminal's ^C reaches
/// it too; all that it prints goes to standard error.
pub(crate) fn spawn_trial(inherited: &[BorrowedFd<'_>]) -> io::Result<(Child, UnixStream)> {
    let mut command = of_this_binary("trial");
    command.stdout(io::stderr().as_fd().try_clone_to_owned()?);
    follow_to_the_end(&mut command);
    keep_below(&mut command);
    start_linked(command, inherited)
}

/// This binary with a hidden command, in the environment of a handler: its settings come over a link, and other
/// variables are the handler's business.
fn of_this_binary(word: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(word)
        .env_remove(notify::VARIABLE)
        .stdin(Stdio::null());
    for (name, _) in
        env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(VARIABLE_PREFIX.as_bytes()))
    {
        command.env_remove(name);
    }
    command
}

/// Starts a child that inherits these descriptors and its end of a link, which `--link-fd` names.
fn start_linked(mut command: Command, inherited: &[BorrowedFd<'_>]) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut passed: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
    passed.push(theirs.as_raw_fd());
    command.arg("--link-fd").arg(theirs.as_raw_fd().to_string());
    pass_on(&mut command, passed);
    Ok((command.spawn()?, ours))
}

/// Starts a child that only looks at what it inherits, and that does not outlive this process. Answers with its pid.
///
/// The caller keeps the descriptors open until this returns. The child leads a process group of its own.
pub(super) fn spawn_to_inspect(mut command: Command, inherited: Vec<RawFd>) -> io::Result<u32> {
    command.process_group(0);
    // Before the descriptors are passed on, of which a child that was left alone would keep workers from noticing.
    follow_to_the_end(&mut command);
    pass_on(&mut command, inherited);
    Ok(command.spawn()?.id())
}

/// Has the kernel kill a child when the thread that started it ends.
fn follow_to_the_end(command: &mut Command) {
    let follow = || Ok(prctl::set_pdeathsig(Signal::SIGKILL)?);
    // SAFETY: between fork and exec the closure calls nothing but prctl, and allocates nothing.
    unsafe { command.pre_exec(follow) };
}

/// Has what a child's programs leave behind become the child's own, so that it can be found below it.
fn keep_below(command: &mut Command) {
    let adopt = || Ok(prctl::set_child_subreaper(true)?);
    // SAFETY: between fork and exec the closure calls nothing but prctl, and allocates nothing.
    unsafe { command.pre_exec(adopt) };
}

/// Has a child, and what it starts, run as `SCHED_BATCH` (sched(7)) unless the operator has chosen a policy.
///
/// It gets as much of the processors as ever, and only does not push others aside when it is woken. A slot is woken by
/// the queue server, which would lose its processor at each job and answer the next one later: on two cores a tenth to a
/// third of all jobs per second.
///
/// Not so a single slot that has one processor with the server: when that has answered, nobody else waits for it, and it would
/// sleep and be woken once more at each job, for a twentieth of all jobs per second.
fn give_way(command: &mut Command) {
    let give_way = || {
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: both calls take numbers and one structure that outlives them, of this process.
        unsafe {
            if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
                // A kernel that refuses costs speed alone.
                libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters);
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls, and allocates nothing.
    unsafe { command.pre_exec(give_way) };
}

/// Whether this process, and so its children, may run on one processor at a time only.
fn has_one_processor() -> bool {
    thread::available_parallelism().is_ok_and(|processors| processors.get() == 1)
}

/// Lets a child inherit descriptors that are open when it is spawned, and no signal that this process holds.
fn pass_on(command: &mut Command, numbers: Vec<RawFd>) {
    let clear = move || {
        for number in &numbers {
            // SAFETY: the number belongs to a descriptor of the parent that stays open until the child is
            // spawned, and this is the child's copy of the table.
            let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
            fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(SigSet::empty().thread_set_mask()?)
    };
    // SAFETY: between fork and exec the closure calls nothing but fcntl and pthread_sigmask, which are
    // async-signal-safe, and allocates nothing: an error is made from its number.
    unsafe { command.pre_exec(clear) };
}

/// Asks the kernel to keep a descriptor open across the coming exec of this process.
pub(super) fn keep_across_exec(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// Takes [`keep_across_exec`] back.
pub(super) fn close_on_exec(descriptor: BorrowedFd<'_>) {
    // It cannot fail on a descriptor that is open.
    let _ = fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
}

#[cfg(test)]
mod tests {
    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::Pid,
    };

    use super::*;
    use crate::master::signals;

    #[test]
    fn a_child_takes_signals_although_this_process_holds_them() {
        let held = signals::hold().expect("a mask");
        let mut command = Command::new("sh");
        command.args(["-c", "kill -TERM $$; exit 7"]);
        let pid = Pid::from_raw(
            spawn_to_inspect(command, Vec::new())
                .expect("sh runs")
                .cast_signed(),
        );
        let ended = waitpid(pid, None).expect("it is our child");
        assert_eq!(ended, WaitStatus::Signaled(pid, Signal::SIGTERM, false));
        drop(held);
    }
}
