//! What handlers do apart from jobs, each on a thread of its own: their ticks, and their goodbye.
//!
//! Ticks begin when the worker is first set to work and end when its last job has ended. The goodbye (`shutdown`) comes
//! behind the handler's last tick, and only where the worker leaves in order. Together they keep the worker no longer
//! than the grace time: what has not returned by then is named in the log and left behind.
//! No thread runs for a handler that wants no ticks.

use std::{
    io, mem,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tracing::{error, warn};

use super::{Shared, fatal, handlers::Made, keeper::Keeper};
use crate::{ipc::ToWorker, observe::log};

/// Says that the worker's last job has ended.
#[derive(Default)]
pub(super) struct Parting {
    told: Mutex<bool>,
    changed: Condvar,
}

impl Parting {
    fn tell(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for so long, or until it is told; whether it is.
    fn is_told_within(&self, span: Duration) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(told, span, |told| !*told);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What a handler does on a thread of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// All of its ticks, one after the other.
    Tick,
    Shutdown,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Tick => "tick",
            What::Shutdown => "shutdown",
        }
    }

    fn run(self, shared: &Shared, made: &Made) {
        match (self, made.tick_every) {
            (What::Tick, Some(every)) => {
                while !shared.parting.is_told_within(every) {
                    made.handler.tick();
                }
            }
            (What::Tick, None) => {}
            (What::Shutdown, _) => made.handler.shutdown(),
        }
    }
}

/// One such thread.
pub(super) struct Aside {
    what: What,
    /// The handler's name.
    handler: &'static str,
    returned: AtomicBool,
}

/// Notes that the thread has returned, however it did.
struct UnderWay(Arc<Aside>, Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.returned.store(true, Ordering::Release);
        self.1.ring();
    }
}

/// All such threads of a worker.
pub(super) struct Asides {
    /// The worker's first row: where they leave their mark.
    row: usize,
    ticks_have_begun: bool,
    started: Vec<(Arc<Aside>, JoinHandle<()>)>,
}

impl Asides {
    /// None, for a worker whose rows begin with that one.
    pub(super) fn new(row: usize) -> Asides {
        Asides {
            row,
            ticks_have_begun: false,
            started: Vec::new(),
        }
    }

    /// Starts the ticks of the handlers that want some, unless that was done. The first comes after a whole period.
    pub(super) fn begin_ticks(&mut self, shared: &Arc<Shared>) {
        if mem::replace(&mut self.ticks_have_begun, true) {
            return;
        }
        for (index, made) in shared.handlers.all().iter().enumerate() {
            if made.tick_every.is_some() {
                self.start(shared, index, What::Tick);
            }
        }
    }

    /// Those that have not returned.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &Aside> {
        let all = self.started.iter().map(|(aside, _)| &**aside);
        all.filter(|aside| !aside.returned.load(Ordering::Acquire))
    }

    /// Waits for the threads, all of which have returned: none of them keeps a handler from being dropped.
    pub(super) fn join(self) {
        // A panic of ours ends with its thread, and was logged.
        self.started
            .into_iter()
            .for_each(|(_, thread)| drop(thread.join()));
    }

    fn ticks(&self, made: &Made) -> bool {
        self.under_way()
            .any(|aside| aside.what == What::Tick && aside.handler == made.name)
    }

    fn start(&mut self, shared: &Arc<Shared>, index: usize, what: What) {
        let Some(made) = shared.handlers.all().get(index) else {
            return;
        };
        let aside = Arc::new(Aside {
            what,
            handler: made.name,
            returned: AtomicBool::new(false),
        });
        let under_way = UnderWay(aside.clone(), shared.clone());
        let mark = shared.row(self.row).apart();
        let started = thread::Builder::new()
            .name(what.name().to_owned())
            .spawn(move || {
                let UnderWay(aside, shared) = &under_way;
                fatal::mark_thread_apart(mark);
                log::set_handler(aside.handler);
                if let Some(made) = shared.handlers.all().get(index) {
                    what.run(shared, made);
                }
            });
        match started {
            Ok(thread) => self.started.push((aside, thread)),
            Err(error) => {
                let (handler, what) = (made.name, what.name());
                error!(handler, what, error = %error, "cannot start a thread");
            }
        }
    }
}

impl Keeper {
    /// The last job has ended: lets the last ticks return and the handlers say goodbye, in the grace time.
    ///
    /// Nothing of that where a slot is left behind with a handler that does not end, or no time is given.
    pub(super) fn part(&mut self) -> io::Result<()> {
        // The last slot may have ended before anybody looked.
        self.say_quiet()?;
        self.shared.parting.tell();
        if !self.has_none_left_behind() || self.shared.grace.is_zero() {
            return Ok(());
        }
        let deadline = Instant::now() + self.shared.grace;
        let mut unasked: Vec<usize> = (0..self.shared.handlers.all().len()).collect();
        loop {
            let shared = self.shared.clone();
            unasked.retain(|index| {
                let made = shared.handlers.all().get(*index);
                let waits = made.is_some_and(|made| self.asides.ticks(made));
                if !waits {
                    self.asides.start(&shared, *index, What::Shutdown);
                }
                waits
            });
            let left = deadline.saturating_duration_since(Instant::now());
            let all_returned = self.asides.under_way().next().is_none();
            if all_returned || left.is_zero() {
                break;
            }
            self.wait(Some(left), !self.orphaned)?;
            if self.is_told_to_leave()? {
                break;
            }
        }
        for aside in self.asides.under_way() {
            let (handler, what) = (aside.handler, aside.what.name());
            warn!(handler, what, "it does not return: the worker leaves without it");
        }
        Ok(())
    }

    /// Hears what the master has to say to a worker that does nothing more; whether it is to leave at once.
    fn is_told_to_leave(&mut self) -> io::Result<bool> {
        while self.link_has_message()? {
            match self.link.receive()? {
                Some(ToWorker::Now) => return Ok(true),
                Some(_) => {}
                None => self.orphaned = true,
            }
        }
        Ok(false)
    }
}
