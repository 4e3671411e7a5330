//! How the bookkeeping passes from one instance of the master to the next.
//!
//! Seats that wait because their workers died do not wait in the next
//! instance: a restart is a new try.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Children, Id, Plan, State, Worker};

/// A [`Worker`] as one instance leaves it to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Name of the pool.
    pub pool: String,
    /// The seat.
    pub nr: u32,
    /// The generation that it belongs to.
    pub generation: u64,
    state: State,
    /// How long it has been in the state.
    age: Duration,
    at_work: bool,
    retiring: bool,
    overdue: bool,
    still: bool,
}

impl Worker {
    /// What the next instance has to know of it.
    pub fn standing(&self, now: Instant) -> Standing {
        Standing {
            pool: self.pool.clone(),
            nr: self.nr,
            generation: self.generation,
            state: self.state,
            age: now.duration_since(self.since),
            at_work: self.at_work,
            retiring: self.retiring,
            overdue: self.overdue,
            still: self.still,
        }
    }

    fn adopted(standing: Standing, now: Instant) -> Worker {
        Worker {
            pool: standing.pool,
            nr: standing.nr,
            generation: standing.generation,
            state: standing.state,
            since: now.checked_sub(standing.age).unwrap_or(now),
            at_work: standing.at_work,
            retiring: standing.retiring,
            overdue: standing.overdue,
            still: standing.still,
        }
    }
}

impl Children {
    /// The number of the next incarnation.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// What the current generation asks for, with the seats that pools were given since.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Goes on where an earlier instance stopped, with that generation as the current one.
    pub fn adopt(
        current: u64,
        plan: Plan,
        next_id: u64,
        workers: BTreeMap<Id, Standing>,
        now: Instant,
    ) -> Children {
        let workers = workers.into_iter();
        Children {
            workers: workers
                .map(|(id, standing)| (id, Worker::adopted(standing, now)))
                .collect(),
            current,
            plan,
            next_id,
            ..Children::default()
        }
    }
}
