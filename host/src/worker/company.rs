//! Which handlers run beside each other in a worker, and how one of them runs alone.
//!
//! A worker with several busy slots may die so that nobody can tell which job
//! was at fault. Then none of them can be condemned. A job that was there too
//! often is run with nothing beside it: if the worker dies again, that proves
//! it, and if not, it is done. While it runs, and while it waits for the others
//! to end, the worker's other slots reserve nothing; they are paused.

use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::Shared;

/// Somebody runs alone, or waits for it; the other bits count the handlers that run in company.
const CLOSED: u32 = 1 << 31;

/// The handlers that run in this worker.
#[derive(Default)]
pub(super) struct Company {
    word: AtomicU32,
    waiting: Mutex<()>,
    changed: Condvar,
}

impl Company {
    /// Whether slots may take jobs.
    pub(super) fn is_open(&self) -> bool {
        self.word.load(Ordering::SeqCst) & CLOSED == 0
    }

    /// One more runs beside the others. `false` where somebody wants to be alone.
    fn join(&self) -> bool {
        let open = |word: u32| (word & CLOSED == 0).then(|| word + 1);
        let joined = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, open);
        joined.is_ok()
    }

    fn leave(&self) {
        if self.word.fetch_sub(1, Ordering::AcqRel) == CLOSED + 1 {
            self.wake();
        }
    }

    /// Lets nobody else in. `false` where somebody has done so already.
    fn close(&self) -> bool {
        self.word.fetch_or(CLOSED, Ordering::SeqCst) & CLOSED == 0
    }

    fn reopen(&self) {
        self.word.fetch_and(!CLOSED, Ordering::SeqCst);
    }

    /// Has whoever waits look again whether to go on waiting.
    pub(super) fn wake(&self) {
        let _guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.notify_all();
    }

    /// Whoever has closed it waits for the others to end: at most so long, and not while `given_up` says so.
    /// Whether they have ended.
    fn wait(&self, longest: Duration, given_up: impl Fn() -> bool) -> bool {
        let goes_on = |_: &mut ()| self.word.load(Ordering::Acquire) != CLOSED && !given_up();
        let guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(guard, longest, goes_on);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.word.load(Ordering::Acquire) == CLOSED
    }
}

/// A handler's place in the company, for as long as it runs.
pub(super) struct Place<'a> {
    shared: &'a Shared,
    alone: bool,
}

impl<'a> Place<'a> {
    /// Beside the others, unless somebody wants to be alone.
    pub(super) fn beside(shared: &'a Shared) -> Option<Place<'a>> {
        let alone = false;
        // Made only where it is one: a place that ends leaves the company.
        shared.company.join().then(|| Place { shared, alone })
    }

    /// Alone once the others have ended ([`Place::wait`]), unless somebody else wants that already.
    pub(super) fn alone(shared: &'a Shared) -> Option<Place<'a>> {
        if !shared.company.close() {
            return None;
        }
        // The main thread ends the reserves that wait.
        shared.ring();
        Some(Place { shared, alone: true })
    }

    /// Waits for the others to end: at most so long, and not while `given_up` says so. Whether they have ended.
    pub(super) fn wait(&self, longest: Duration, given_up: impl Fn() -> bool) -> bool {
        self.shared.company.wait(longest, given_up)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.alone {
            return self.shared.company.leave();
        }
        self.shared.company.reopen();
        // The main thread wakes the slots that have rested meanwhile.
        self.shared.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_is_alone_when_the_others_have_left_and_nobody_comes_in_meanwhile() {
        let company = Company::default();
        assert!(company.join() && company.join());
        assert!(company.close());
        assert!(!company.is_open());
        assert!(!company.join() && !company.close());
        assert!(!company.wait(NOW, || false), "two are there");
        company.leave();
        assert!(!company.wait(NOW, || false), "one is there");
        company.leave();
        assert!(company.wait(NOW, || false));
        company.reopen();
        assert!(company.is_open() && company.join());
    }

    #[test]
    fn whoever_waits_is_woken_by_the_last_that_leaves() {
        let company = Company::default();
        assert!(company.join() && company.close());
        thread::scope(|scope| {
            let (leave, may_leave) = mpsc::channel::<()>();
            let other = &company;
            scope.spawn(move || {
                may_leave.recv().expect("the test goes on");
                other.leave();
            });
            leave.send(()).expect("the thread waits");
            assert!(company.wait(LONG, || false));
        });
    }

    #[test]
    fn whoever_gives_up_does_not_wait() {
        let company = Company::default();
        assert!(company.join() && company.close());
        assert!(!company.wait(LONG, || true));
    }
}
