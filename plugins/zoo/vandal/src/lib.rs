//! Spoils what its process shares with the host, as its payload says. For tests.

#![allow(unsafe_code, reason = "the host's signal handlers are taken away")]

use std::{env, thread};

use nix::{
    sys::signal::{SigHandler, Signal, signal},
    unistd::close,
};
use plugin_api::prelude::*;

/// What a job does.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    /// Makes `/` the working directory of the process.
    Leave,
    /// Has a thread of its own panic.
    PanicInAThread,
    /// Replaces the panic hook by one that says nothing.
    SilencePanics,
    /// Panics.
    Panic,
    /// Closes what it has not opened: the queue server's connection, the link to the master, the log.
    CloseDescriptors,
    /// Takes away what the host does at TERM and INT.
    IgnoreSignals,
}

struct Vandal;

impl Handler for Vandal {
    type Config = ();
    type Payload = Deed;
    const DESCRIPTION: &'static str = "Spoils what it shares";

    fn new((): ()) -> Result<Self> {
        Ok(Vandal)
    }

    fn execute(&self, _: &Job, deed: Deed) -> Result {
        match deed {
            Deed::Leave => env::set_current_dir("/")?,
            // Its panic is not this job's.
            Deed::PanicInAThread => drop(thread::spawn(|| panic!("nobody waits for me")).join()),
            Deed::SilencePanics => std::panic::set_hook(Box::new(|_| ())),
            Deed::Panic => panic!("the job gave up"),
            Deed::CloseDescriptors => (3..64).for_each(|number| {
                // Some of the numbers are nobody's.
                let _ = close(number);
            }),
            Deed::IgnoreSignals => {
                for number in [Signal::SIGTERM, Signal::SIGINT] {
                    // SAFETY: to ignore a signal runs no code.
                    unsafe { signal(number, SigHandler::SigIgn) }?;
                }
            }
        }
        Ok(().into())
    }

    fn shutdown(&self) {
        panic!("not without a goodbye");
    }
}

impl Drop for Vandal {
    fn drop(&mut self) {
        panic!("not without a last word");
    }
}

export_plugin!(Vandal);
