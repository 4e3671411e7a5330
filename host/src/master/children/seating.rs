//! Who sits where: one pass over the workers, so that looking at every seat costs no more than that.

use std::collections::BTreeMap;

use super::{Id, PoolPlan, State, Worker};

/// One seat of the current plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seat {
    /// The newest ready worker of the current generation that does not retire.
    pub(super) server: Option<Id>,
    /// Somebody works there, of whatever generation.
    pub(super) is_worked: bool,
    /// A worker of the current generation is starting.
    pub(super) is_starting: bool,
}

/// The seats of a plan, by pool and number.
pub(super) struct Seating {
    pools: BTreeMap<String, Vec<Seat>>,
}

impl Seating {
    /// Seats everybody who has a seat in `plan`.
    pub(super) fn of<'a>(
        plan: &BTreeMap<String, PoolPlan>,
        current: u64,
        workers: impl Iterator<Item = (Id, &'a Worker)>,
    ) -> Seating {
        let empty = |(pool, plan): (&String, &PoolPlan)| {
            let seats = vec![Seat::default(); plan.seats as usize];
            (pool.clone(), seats)
        };
        let mut seating = Seating {
            pools: plan.iter().map(empty).collect(),
        };
        // In ascending order, so that the newest is the last.
        for (id, worker) in workers {
            let pool = seating.pools.get_mut(&worker.pool);
            let Some(seat) = pool.and_then(|seats| seats.get_mut(worker.nr as usize)) else {
                continue;
            };
            let is_current = worker.generation == current;
            match worker.state {
                State::Ready => {
                    seat.is_worked = true;
                    if is_current && !worker.retiring {
                        seat.server = Some(id);
                    }
                }
                State::Starting => seat.is_starting |= is_current,
                State::Quiet => {}
            }
        }
        seating
    }

    /// The seat of a worker; `None` where the plan has none for it.
    pub(super) fn seat(&self, worker: &Worker) -> Option<&Seat> {
        self.pools.get(&worker.pool)?.get(worker.nr as usize)
    }

    /// Every pool with its seats in order.
    pub(super) fn pools(&self) -> impl Iterator<Item = (&str, &[Seat])> {
        self.pools
            .iter()
            .map(|(pool, seats)| (pool.as_str(), seats.as_slice()))
    }
}
