//! Signals become events, and none is lost in a restart.
//!
//! Only the master's own thread takes signals: other threads are started while
//! they are held, and inherit that. So a restart holds all of them by holding
//! them in one thread: what comes then waits for the next instance.

use std::io;

use nix::{
    libc,
    sys::signal::{SigSet, SigmaskHow},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::Event;

/// What a signal asks for.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    Stop,
    Reload,
    /// Pause, or go on.
    Pause(bool),
    /// So many workers more, or fewer, in each pool.
    Scale(i32),
}

/// Signals wait while this is held.
pub(super) struct Held {
    before: SigSet,
}

/// Lets all signals wait.
pub(super) fn hold() -> io::Result<Held> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    Ok(Held { before })
}

impl Drop for Held {
    fn drop(&mut self) {
        // It cannot fail with a mask that was in force.
        let _ = self.before.thread_set_mask();
    }
}

/// Turns signals into events. Those that an earlier instance held, or whoever started it, come now.
pub(super) fn listen(events: &mpsc::UnboundedSender<Event>) -> io::Result<()> {
    let kinds = [
        (SignalKind::terminate(), Some(Signal::Stop)),
        (SignalKind::interrupt(), Some(Signal::Stop)),
        (SignalKind::hangup(), Some(Signal::Reload)),
        (SignalKind::user_defined1(), Some(Signal::Reload)),
        (SignalKind::from_raw(libc::SIGTSTP), Some(Signal::Pause(true))),
        (SignalKind::from_raw(libc::SIGCONT), Some(Signal::Pause(false))),
        (SignalKind::from_raw(libc::SIGTTIN), Some(Signal::Scale(1))),
        (SignalKind::from_raw(libc::SIGTTOU), Some(Signal::Scale(-1))),
        (SignalKind::child(), None),
    ];
    for (kind, meaning) in kinds {
        let mut stream = signal(kind)?;
        let events = events.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                let event = meaning.map_or(Event::ChildExited, Event::Signal);
                if events.send(event).is_err() {
                    break;
                }
            }
        });
    }
    Ok(SigSet::all().thread_unblock()?)
}
