//! Ends that are none of our doing, and one that is: the slot whose thread raises a fatal signal is marked before
//! the process dies of it, and a worker can leave while plugin code still runs.
//!
//! With several slots in one worker, all of their jobs go back to the queue
//! when it dies; the mark tells the one at fault from the bystanders.
#![allow(unsafe_code, reason = "a signal handler; each block carries its argument")]

use std::{
    cell::Cell,
    io,
    ptr::{null, null_mut},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use nix::libc;

/// What a thread dies of when its code is at fault.
const FATAL: [libc::c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
];

thread_local! {
    /// The mark of this thread's slot; null on threads that are none. Constant, without a destructor, so
    /// that a signal handler may read it.
    static MARK: Cell<*const AtomicU32> = const { Cell::new(null()) };
    /// Whether this thread is to leave its mark as well where it ends the process by exit(3). As above.
    static MARKS_EXIT: Cell<bool> = const { Cell::new(false) };
}

/// The handlers that were there before, in the order of [`FATAL`]: std's own report a stack overflow.
static BEFORE: OnceLock<[libc::sigaction; FATAL.len()]> = OnceLock::new();

/// Says that this thread runs the slot with that mark, which lives as long as the process.
pub(super) fn mark_thread(mark: &'static AtomicU32) {
    MARK.set(mark);
}

/// Says that this thread runs no slot any more.
pub(super) fn unmark_thread() {
    MARK.set(null());
}

/// Says that this thread runs a handler apart from jobs: it leaves its mark also where it ends the process by exit(3).
pub(super) fn mark_thread_apart(mark: &'static AtomicU32) {
    mark_thread(mark);
    MARKS_EXIT.set(true);
}

/// Installs the handlers. Called once, before any slot begins.
pub(super) fn install() -> io::Result<()> {
    let mut before = [empty(); FATAL.len()];
    for (signal, before) in FATAL.into_iter().zip(&mut before) {
        // SAFETY: a null new action only reads the present one into a valid place.
        if unsafe { libc::sigaction(signal, null(), before) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    BEFORE
        .set(before)
        .map_err(|_| io::Error::other("fatal signals were installed twice"))?;
    let mut action = empty();
    action.sa_sigaction =
        on_fatal as extern "C" fn(libc::c_int, *const libc::siginfo_t, *const libc::c_void) as usize;
    // On the alternative stack that std gives its threads, for a stack that is exhausted.
    action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO;
    for signal in FATAL {
        // SAFETY: the handler is async-signal-safe: it reads a thread-local constant-initialised cell,
        // stores to an atomic, reads a set OnceLock and calls sigaction and raise.
        if unsafe { libc::sigaction(signal, &action, null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: the function lives as long as the process and calls nothing that may not be called at its end.
    match unsafe { libc::atexit(on_exit) } {
        0 => Ok(()),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Called by exit(3) on the thread that has called it.
extern "C" fn on_exit() {
    if MARKS_EXIT.get() {
        leave_mark(1);
    }
}

fn leave_mark(value: u32) {
    let mark = MARK.get();
    if !mark.is_null() {
        // SAFETY: `mark_thread` was given a reference that lives as long as the process.
        unsafe { (*mark).store(value, Ordering::Release) };
    }
}

/// Leaves the mark, puts the earlier handler back and lets it have the signal.
extern "C" fn on_fatal(signal: libc::c_int, info: *const libc::siginfo_t, _: *const libc::c_void) {
    leave_mark(signal as u32);
    let position = FATAL.iter().position(|fatal| *fatal == signal);
    if let (Some(before), Some(position)) = (BEFORE.get(), position) {
        // SAFETY: async-signal-safe calls; the action is one that the system gave us, and the kernel passes
        // a valid siginfo to a handler with SA_SIGINFO. A code above zero is the kernel's own: the
        // instruction faults again on return. A signal that was sent is sent again.
        unsafe {
            libc::sigaction(signal, &before[position], null_mut());
            if (*info).si_code <= 0 {
                libc::raise(signal);
            }
        }
    }
}

/// Ends the process without running what plugins have registered for its end: their code may be running still.
pub(super) fn exit_now(code: u8) -> ! {
    // SAFETY: ends the process; every log line is a write of its own, so nothing of ours is left in a buffer.
    unsafe { libc::_exit(code.into()) }
}

fn empty() -> libc::sigaction {
    // SAFETY: all zeroes are a valid sigaction: the default action, no flags, an empty mask.
    unsafe { std::mem::zeroed() }
}
