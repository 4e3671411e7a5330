//! Breakers: which pools rest because their handler fails, and when one job is tried.
//!
//! Pure bookkeeping, as [`super::children`]: no clock, and nobody is told
//! anything. A pool without an entry is closed: it works.
//!
//! ```text
//!          tripped              rest is over             a job did not fail
//!  closed ────────▶ resting ────────────────▶ probing ──────────────────────▶ closed
//!                      ▲───a job failed, twice─┘
//!                          the rest
//! ```
//!
//! Whoever rests is probed again, for ever: no state is without a way on.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::children::Id;

/// How often a rest doubles.
const DOUBLINGS: u32 = 3;

/// What an open breaker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The rest to be over.
    Resting {
        /// When it is.
        until: Instant,
    },
    /// A worker to try a job.
    Probing {
        /// The worker that was told to; none while there is nobody to tell.
        by: Option<Id>,
    },
}

/// A breaker that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What it waits for.
    pub state: State,
    /// How often in a row the handler has failed.
    pub failures: u32,
    /// How often in a row it has rested, this one included.
    pub rests: u32,
    /// How the handler failed last.
    pub error: String,
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// The pool goes on.
    Closed,
    /// It rests again, for so long.
    Rests(Duration),
}

/// The open breakers, by pool.
#[derive(Debug, Default)]
pub struct Breakers(BTreeMap<String, Open>);

impl Breakers {
    /// The breaker of a pool, if it is open.
    pub fn get(&self, pool: &str) -> Option<&Open> {
        self.0.get(pool)
    }

    /// Whether the pool's tubes rest.
    pub fn is_open(&self, pool: &str) -> bool {
        self.0.contains_key(pool)
    }

    /// Whether all pools work.
    pub fn all_closed(&self) -> bool {
        self.0.is_empty()
    }

    /// The handler has failed too often: the pool rests. `false` where its breaker is open already.
    pub fn trip(&mut self, pool: &str, failures: u32, rest: Duration, error: &str, now: Instant) -> bool {
        if self.is_open(pool) {
            return false;
        }
        let open = Open {
            state: State::Resting { until: now + rest },
            failures,
            rests: 1,
            error: error.to_owned(),
        };
        self.0.insert(pool.to_owned(), open);
        true
    }

    /// The pools whose rest is over by `now`, once each: now a job is to be tried.
    pub fn end_rests(&mut self, now: Instant) -> Vec<String> {
        let mut ended = Vec::new();
        for (pool, open) in &mut self.0 {
            if matches!(open.state, State::Resting { until } if until <= now) {
                open.state = State::Probing { by: None };
                ended.push(pool.clone());
            }
        }
        ended
    }

    /// The pools that look for a worker to try a job: those that have none, and those whose worker is not `able` any
    /// more.
    pub fn without_prober(&mut self, able: impl Fn(Id) -> bool) -> Vec<String> {
        let mut without = Vec::new();
        for (pool, open) in &mut self.0 {
            if let State::Probing { by } = &mut open.state {
                *by = by.filter(|id| able(*id));
                if by.is_none() {
                    without.push(pool.clone());
                }
            }
        }
        without
    }

    /// That worker was told to try a job.
    pub fn probe_by(&mut self, pool: &str, id: Id) {
        if let Some(State::Probing { by }) = self.0.get_mut(pool).map(|open| &mut open.state) {
            *by = Some(id);
        }
    }

    /// Nobody tries a job any more, but somebody has to.
    pub fn withdraw(&mut self, pool: &str) {
        if let Some(State::Probing { by }) = self.0.get_mut(pool).map(|open| &mut open.state) {
            *by = None;
        }
    }

    /// Whether that worker was told to try a job.
    pub fn is_probed_by(&self, pool: &str, id: Id) -> bool {
        self.get(pool).map(|open| open.state) == Some(State::Probing { by: Some(id) })
    }

    /// A job was tried, whoever did it. Nothing where the pool does not wait for that.
    pub fn probed(
        &mut self,
        pool: &str,
        error: Option<&str>,
        rest: Duration,
        now: Instant,
    ) -> Option<Probed> {
        let open = self.0.get_mut(pool)?;
        if !matches!(open.state, State::Probing { .. }) {
            return None;
        }
        let Some(error) = error else {
            self.0.remove(pool);
            return Some(Probed::Closed);
        };
        let rest = rest.saturating_mul(1 << open.rests.min(DOUBLINGS));
        *open = Open {
            state: State::Resting { until: now + rest },
            failures: open.failures.saturating_add(1),
            rests: open.rests.saturating_add(1),
            error: error.to_owned(),
        };
        Some(Probed::Rests(rest))
    }

    /// Closes all of them, and answers with the pools that go on.
    pub fn close_all(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0).into_keys().collect()
    }

    /// When [`Breakers::end_rests`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let rests = self.0.values().filter_map(|open| match open.state {
            State::Resting { until } => Some(until),
            State::Probing { .. } => None,
        });
        rests.min()
    }
}

#[cfg(test)]
mod tests;
