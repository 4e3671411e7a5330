//! The worker's part in its pool's breaker: counting failures in a row, and trying one job while the pool rests.
//!
//! What the master has to hear of is kept until the main thread sends it. Only a
//! handler that failed, panicked or ran too long counts; one that asks for a
//! delay or a burial has answered, and ends the streak like one that is done.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use super::{Shared, execute::identify, lane::Lane};
use crate::{
    config,
    ipc::{ToMaster, row::monotonic_ns, scoreboard::Scoreboard, streaks::Streak},
};

/// The most of an error that the master is told, in characters.
const LONGEST_ERROR: usize = 500;

/// What all slots of a worker share of it.
pub(super) struct Breaker {
    settings: config::Breaker,
    streak: Option<&'static Streak>,
    /// One slot may take one job although the pool rests.
    offered: AtomicBool,
    news: Mutex<Option<ToMaster>>,
}

impl Breaker {
    /// The breaker of a pool whose failures are counted in that streak, if at all.
    pub(super) fn new(
        settings: config::Breaker,
        scoreboard: &'static Scoreboard,
        streak: Option<usize>,
    ) -> Breaker {
        let streak = streak.and_then(|index| scoreboard.streak(index));
        Breaker {
            settings,
            streak: streak.filter(|_| settings.failures > 0),
            offered: AtomicBool::new(false),
            news: Mutex::new(None),
        }
    }

    /// Whether this slot is the one that may take a job.
    pub(super) fn take_offer(&self) -> bool {
        self.offered.load(Ordering::Acquire) && self.offered.swap(false, Ordering::AcqRel)
    }

    /// One slot may take a job, or none any more.
    pub(super) fn offer(&self, offered: bool) {
        self.offered.store(offered, Ordering::Release);
    }

    /// What the master has to hear of.
    pub(super) fn take_news(&self) -> Option<ToMaster> {
        self.news().take()
    }

    fn news(&self) -> std::sync::MutexGuard<'_, Option<ToMaster>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Counts how the handler ended a job: with an error that counts as a failure, or not.
    pub(super) fn note_outcome(&self, lane: &Lane, error: Option<&str>) {
        let shortened = |error: &str| {
            let error: String = error.chars().take(LONGEST_ERROR).collect();
            match self.handlers.depend_on_tube() {
                true => format!("handler `{}`: {error}", identify(lane, lane.job()).handler),
                false => error,
            }
        };
        if lane.end_probe() {
            let error = error.map(shortened);
            *self.breaker.news() = Some(ToMaster::Probed { error });
            return self.ring();
        }
        let Some(streak) = self.breaker.streak else { return };
        let Some(error) = error else {
            return streak.end();
        };
        let settings = &self.breaker.settings;
        if streak.fail(monotonic_ns(), settings.within) >= settings.failures {
            let error = shortened(error);
            let mut news = self.breaker.news();
            // A probe's end says more.
            if news.is_none() {
                *news = Some(ToMaster::Tripped { error });
            }
            drop(news);
            self.ring();
        }
    }
}
