//! How long a seat waits whose worker died: longer each time in a row.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
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
    error: String,
}

/// A seat that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait<'a> {
    /// The seat.
    pub nr: u32,
    /// How often in a row its workers have died.
    pub failures: u32,
    /// When it is filled again.
    pub until: Instant,
    /// What was said of the last death.
    pub error: &'a str,
}

/// The seats whose workers died, by pool and number.
#[derive(Default)]
pub(super) struct Backoffs(BTreeMap<(String, u32), Backoff>);

impl Backoffs {
    /// Makes a seat wait whose worker was ready for `lived`. Answers with how often in a row that has
    /// happened, and how long it waits.
    pub(super) fn add(
        &mut self,
        pool: &str,
        nr: u32,
        lived: Duration,
        error: &str,
        now: Instant,
    ) -> (u32, Duration) {
        let seat = (pool.to_owned(), nr);
        let failures = match self.0.get(&seat) {
            Some(backoff) if lived < STEADY => backoff.failures.saturating_add(1),
            _ => 1,
        };
        let delay = delay(pool, nr, failures);
        let backoff = Backoff {
            failures,
            until: Some(now + delay),
            error: error.to_owned(),
        };
        self.0.insert(seat, backoff);
        (failures, delay)
    }

    /// Whether the seat may not be filled yet.
    pub(super) fn holds(&self, pool: &str, nr: u32) -> bool {
        // Most of the time nobody waits, and no key has to be made.
        let backoff = || self.0.get(&(pool.to_owned(), nr));
        !self.0.is_empty() && backoff().is_some_and(|backoff| backoff.until.is_some())
    }

    /// The seats of a pool that wait, in order.
    pub(super) fn waits(&self, pool: &str) -> impl Iterator<Item = Wait<'_>> {
        let of_pool = self.0.range((pool.to_owned(), 0)..=(pool.to_owned(), u32::MAX));
        of_pool.filter_map(|((_, nr), backoff)| {
            Some(Wait {
                nr: *nr,
                failures: backoff.failures,
                until: backoff.until?,
                error: &backoff.error,
            })
        })
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

/// Doubles from [`FIRST_BACKOFF`] to [`LONGEST_BACKOFF`], shortened by up to a quarter.
///
/// By how much depends on the seat and the failure alone, so that seats which failed together are filled apart.
fn delay(pool: &str, nr: u32, failures: u32) -> Duration {
    let full = FIRST_BACKOFF
        .saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(LONGEST_BACKOFF);
    let mut hasher = DefaultHasher::new();
    (pool, nr, failures).hash(&mut hasher);
    let part = hasher.finish() as f64 / u64::MAX as f64;
    full - (full / 4).mul_f64(part)
}
