//! Keeps panics inside the plugin: none may cross the border to the host.
//!
//! Owns the guard around every call of the host, and the panic hook that tells the guard where it happened. The
//! library has a standard library of its own, so the hook sees this plugin's panics and no others.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    cell::Cell,
    mem,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    thread,
};

use asynccall_abi::host::HostApiRef;

use crate::{bridge, error::one_line};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// The job that this thread runs; 0 for none.
    static JOB: Cell<u64> = const { Cell::new(0) };
    /// Where this thread panicked last, as `file:line`.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// The job that this thread runs; 0 for none.
pub(crate) fn job() -> u64 {
    JOB.get()
}

/// Runs `call` on behalf of a job (0 for none). A panic becomes its message in one line, with file and line.
pub(crate) fn guard<T>(job: u64, call: impl FnOnce() -> T) -> Result<T, String> {
    let outer = (GUARDED.replace(true), JOB.replace(job));
    // One of an earlier call, which the author's code has caught itself.
    PLACE.set(None);
    // What the closure leaves half changed is the author's own state. The handler lives on after a panic as
    // it does in every thread pool, and its locks are poisoned.
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    let result = result.map_err(|payload| {
        let told = describe(&*payload);
        // Dropping a payload runs code of the author once more.
        if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(second);
        }
        told
    });
    GUARDED.set(outer.0);
    JOB.set(outer.1);
    result
}

fn describe(payload: &(dyn Any + Send)) -> String {
    let said = text(payload);
    let told = match PLACE.take() {
        Some(place) => format!("panicked at {place}: {said}"),
        None => format!("panicked: {said}"),
    };
    one_line(told)
}

fn text(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "a payload that is no text",
    }
}

/// What becomes of panics that no guard catches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unguarded {
    /// The host's log. Nobody reads a worker's terminal.
    Log,
    /// The hook that was there before, such as that of `cargo test`.
    Previous,
}

/// Installs the hook. To be called once.
pub(crate) fn install_hook(host: HostApiRef, unguarded: Unguarded) {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if GUARDED.get() {
            PLACE.set(Some(place(info)));
            let backtrace = Backtrace::capture();
            if backtrace.status() == BacktraceStatus::Captured {
                log(host, info, &backtrace);
            }
        } else if unguarded == Unguarded::Previous {
            previous(info);
        } else {
            log(host, info, &Backtrace::capture());
        }
    }));
}

fn place(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(String::new, |location| {
        format!("{}:{}", location.file(), location.line())
    })
}

/// Writes the panic to the host's log, with the backtrace where `RUST_BACKTRACE` asks for one.
fn log(host: HostApiRef, info: &PanicHookInfo<'_>, backtrace: &Backtrace) {
    let current = thread::current();
    let thread = current.name().unwrap_or("unnamed");
    let message = one_line(format!("panicked at {}: {}", place(info), text(info.payload())));
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => Some(backtrace.to_string()),
        _ => None,
    };
    let fields = [("thread", Some(thread)), ("backtrace", backtrace.as_deref())];
    bridge::log(host, tracing::Level::ERROR, "panic", &message, &fields);
}
