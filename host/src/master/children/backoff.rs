//! How long a seat waits whose worker died: longer each time in a row.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A worker that was ready for this long is no symptom of a crash loop.
pub(super) const STEADY: Duration = Duration::from_secs(10);
/// Wait before the first respawn of a seat; each further failure doubles it.
pub(super) const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait before a respawn.
pub(super) const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Failures of a seat in a row, and, while it waits, when it may be filled again.
struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

/// The seats whose workers died, by pool and number.
#[derive(Default)]
pub(super) struct Backoffs(BTreeMap<(String, u32), Backoff>);

impl Backoffs {
    /// Makes a seat wait. Its worker was ready for `lived`.
    pub(super) fn add(&mut self, pool: &str, nr: u32, lived: Duration, now: Instant) {
        let seat = (pool.to_owned(), nr);
        let failures = match self.0.get(&seat) {
            Some(backoff) if lived < STEADY => backoff.failures.saturating_add(1),
            _ => 1,
        };
        let delay = FIRST_BACKOFF
            .saturating_mul(1 << (failures - 1).min(16))
            .min(LONGEST_BACKOFF);
        let until = Some(now + delay);
        self.0.insert(seat, Backoff { failures, until });
    }

    /// Whether the seat may not be filled yet.
    pub(super) fn waits(&self, pool: &str, nr: u32) -> bool {
        // Most of the time nobody waits, and no key has to be made.
        let backoff = || self.0.get(&(pool.to_owned(), nr));
        !self.0.is_empty() && backoff().is_some_and(|backoff| backoff.until.is_some())
    }

    /// Ends the waits that are over.
    pub(super) fn pass(&mut self, now: Instant) {
        for backoff in self.0.values_mut() {
            if backoff.until.is_some_and(|until| until <= now) {
                backoff.until = None;
            }
        }
    }

    /// When the first wait is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|backoff| backoff.until).min()
    }

    /// Forgets every failure.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
