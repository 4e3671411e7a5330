//! How long a slot waits before it connects again: longer with each failure in a row, and not as long as other slots.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// Wait before the first reconnect; each further failure doubles it.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait before a reconnect. A connection that lasted longer has not failed in a row with those before it.
const LONGEST: Duration = Duration::from_secs(10);

/// The failures of a slot in a row.
#[derive(Default)]
pub(super) struct Reconnects {
    failures: u32,
}

impl Reconnects {
    /// Whether a connection, or the attempt to make one, has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Counts a failure of what lasted so long, and answers with how long to wait.
    ///
    /// A server that accepts and drops at once is not asked at full speed, either. `random` is from 0 to 1: up to a
    /// quarter of the wait is left out, so that the slots of many workers do not all come at once.
    pub(super) fn failed(&mut self, lasted: Duration, random: f64) -> Duration {
        self.failures = match lasted > LONGEST {
            true => 1,
            false => self.failures.saturating_add(1),
        };
        let full = FIRST
            .saturating_mul(1 << (self.failures - 1).min(16))
            .min(LONGEST);
        full - (full / 4).mul_f64(random)
    }
}

/// A number from 0 to 1 that nobody can foretell.
pub(super) fn random() -> f64 {
    // Each state has keys of its own (std::hash::RandomState).
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn the_wait_doubles_from_a_tenth_of_a_second_to_ten_seconds() {
        let mut reconnects = Reconnects::default();
        assert!(!reconnects.has_failed());
        let waits = [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].map(Duration::from_millis);
        for wait in waits {
            assert_eq!(reconnects.failed(AT_ONCE, 0.0), wait);
            assert!(reconnects.has_failed());
        }
        reconnects.failures = u32::MAX;
        assert_eq!(reconnects.failed(AT_ONCE, 0.0), LONGEST, "for ever");
    }

    #[test]
    fn up_to_a_quarter_is_left_out_at_random() {
        for (random, wait) in [(0.0, 10_000), (0.5, 8750), (1.0, 7500)] {
            let mut reconnects = Reconnects { failures: 40 };
            assert_eq!(reconnects.failed(AT_ONCE, random), Duration::from_millis(wait));
        }
        let mut randoms: Vec<f64> = (0..100).map(|_| random()).collect();
        assert!(randoms.iter().all(|random| (0.0..=1.0).contains(random)));
        randoms.sort_by(f64::total_cmp);
        assert!(randoms[99] - randoms[0] > 0.5, "they are spread: {randoms:?}");
        randoms.dedup();
        assert!(randoms.len() > 90, "they differ: {randoms:?}");
    }

    #[test]
    fn a_connection_that_has_lasted_begins_the_waits_anew() {
        let mut reconnects = Reconnects { failures: 40 };
        assert_eq!(reconnects.failed(LONGEST, 0.0), LONGEST);
        assert_eq!(reconnects.failed(LONGEST + Duration::from_millis(1), 0.0), FIRST);
    }
}
