//! What the main thread has to say to the queue server about a running job, said by a thread of its own.
//!
//! A queue server that does not answer on one connection holds up whoever asks
//! over it, for as long as a reply may take. Meanwhile the jobs of the other
//! slots want their touches, and the master its answers. So the main thread
//! never waits for a connection: it sends somebody, at most one for each lane,
//! and is woken when that one is back.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tracing::warn;

use super::lane::Lane;

/// Whether somebody is on their way for a lane.
#[derive(Default)]
pub(super) struct Errand {
    under_way: Mutex<bool>,
    over: Condvar,
}

impl Errand {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one is under way.
    pub(super) fn is_under_way(&self) -> bool {
        *self.lock()
    }

    /// Waits until none is under way.
    pub(super) fn wait_until_over(&self) {
        let mut under_way = self.lock();
        while *under_way {
            under_way = self.over.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn set(&self, under_way: bool) -> bool {
        let before = std::mem::replace(&mut *self.lock(), under_way);
        self.over.notify_all();
        before
    }
}

/// Ends the errand however its thread ends.
struct UnderWay(Arc<Lane>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.errand().set(false);
        self.0.shared.ring();
    }
}

/// Has it done by a thread of its own, unless one is under way for this lane already: then it is for the caller to
/// come back.
pub(super) fn send(lane: &Arc<Lane>, errand: impl FnOnce(&Lane) + Send + 'static) {
    if lane.errand().set(true) {
        return;
    }
    let under_way = UnderWay(lane.clone());
    let sent = thread::Builder::new().name("errand".to_owned()).spawn(move || {
        let under_way = under_way;
        errand(&under_way.0);
    });
    if let Err(error) = sent {
        warn!(error = %error, "cannot start a thread to look after a running job");
    }
}
