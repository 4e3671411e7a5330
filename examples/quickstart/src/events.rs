//! What is waited for: signals, children that end, files that appear.

use std::{
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::failure::Failure;

enum Event {
    /// A child has ended or a file has changed: whoever waits looks again.
    Changed,
    /// The user wants an end.
    Signal(i32),
}

pub(crate) struct Events {
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Events {
    /// From here on INT, TERM and HUP no longer end this process; they end the next [`wait`](Self::wait).
    pub(crate) fn listen() -> Result<Self, Failure> {
        let (sender, receiver) = channel();
        let mut signals = Signals::new([SIGCHLD, SIGHUP, SIGINT, SIGTERM])
            .map_err(|error| Failure::Events(error.into()))?;
        let heard = sender.clone();
        thread::spawn(move || {
            for signal in &mut signals {
                let event = match signal {
                    SIGCHLD => Event::Changed,
                    signal => Event::Signal(signal),
                };
                if heard.send(event).is_err() {
                    break;
                }
            }
        });
        Ok(Self { sender, receiver })
    }

    /// Makes changes in `directory` events, for as long as the answer lives.
    pub(crate) fn watch(&self, directory: &Path) -> Result<RecommendedWatcher, Failure> {
        let sender = self.sender.clone();
        let watch = || {
            let mut watcher = notify::recommended_watcher(move |_| {
                let _nobody_waits = sender.send(Event::Changed);
            })?;
            watcher.watch(directory, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        };
        watch().map_err(|error: notify::Error| Failure::Events(error.into()))
    }

    /// Looks now and after every event until `look` finds something. `at_least_every` is for what has no event.
    pub(crate) fn wait<T>(
        &self,
        what: &'static str,
        limit: Duration,
        at_least_every: Option<Duration>,
        mut look: impl FnMut() -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::TooLate { what, limit });
            }
            match self
                .receiver
                .recv_timeout(at_least_every.unwrap_or(left).min(left))
            {
                Ok(Event::Signal(signal)) => return Err(Failure::Interrupted { signal }),
                Ok(Event::Changed) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}
