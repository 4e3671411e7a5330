//! Who exists, in which state and generation, and what has to happen next.
//!
//! Pure bookkeeping: no clock, no process is touched. Every call takes what
//! happened and answers with [`Effect`]s for the master to carry out.
//!
//! A pool has seats, numbered from 0. A seat is served by its newest ready
//! worker of the current generation. Whoever else sits there is told to be
//! quiet, and only then: a worker that retires or belongs to an older
//! generation goes on until its successor is ready.
//!
//! ```text
//!  starting ──ready──▶ ready ──quiet──▶ quiet ──▶ gone
//!      └──────exit───────┴─────exit───────┘
//! ```
//!
//! A new generation begins with one worker for each pool. Only when all of
//! these are ready does it become the current one and take over every seat; if
//! one of them dies before, the generation is dropped and nothing else changes.
//! A worker that is ready reserves nothing until it is told to work, which it
//! is when its generation serves.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

mod backoff;
mod effect;
mod seating;

use backoff::Backoffs;
use seating::Seating;

pub use backoff::Wait;
pub use effect::Effect;

/// One incarnation of a worker; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Loading its plugins.
    Starting,
    /// Its slots work.
    Ready,
    /// It finishes what runs and leaves.
    Quiet,
}

/// A worker that exists.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Name of the pool.
    pub pool: String,
    /// The seat.
    pub nr: u32,
    /// The generation that it belongs to.
    pub generation: u64,
    /// Where it is in its life.
    pub state: State,
    /// When it entered the state.
    pub since: Instant,
    /// It was told to work.
    at_work: bool,
    /// It has asked for a successor.
    retiring: bool,
    /// It took too long to become ready and is being killed.
    overdue: bool,
    /// It reserves nothing any more, by its own word, or because it never began.
    still: bool,
}

/// What a generation asks of one pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolPlan {
    /// How many workers it has.
    pub seats: u32,
    /// How many of them are replaced at one time while their predecessors go on, at least 1. A generation's
    /// first worker comes on top.
    pub max_unavailable: u32,
}

/// What a generation asks of its workers.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The pools by name.
    pub pools: BTreeMap<String, PoolPlan>,
    /// How long a worker may take to become ready.
    pub start_timeout: Duration,
}

struct Rollout {
    generation: u64,
    plan: Plan,
}

/// The bookkeeping.
#[derive(Default)]
pub struct Children {
    workers: BTreeMap<Id, Worker>,
    current: u64,
    plan: Plan,
    rollout: Option<Rollout>,
    backoffs: Backoffs,
    stopping: bool,
    next_id: u64,
}

impl Children {
    /// The generation that serves; 0 before there is one.
    pub fn current(&self) -> u64 {
        self.current
    }

    /// The generation that is on its way, if any.
    pub fn rolling_out(&self) -> Option<u64> {
        self.rollout.as_ref().map(|rollout| rollout.generation)
    }

    /// Everybody who exists.
    pub fn workers(&self) -> impl Iterator<Item = (Id, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    /// One worker.
    pub fn worker(&self, id: Id) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// Whether every seat is served by a ready worker of the current generation and all others reserve nothing any
    /// more, but for those of a generation that is on its way.
    pub fn is_settled(&self) -> bool {
        let seating = self.seating();
        let serves =
            |id: Id, worker: &Worker| seating.seat(worker).is_some_and(|seat| seat.server == Some(id));
        let others_are_quiet = self
            .workers()
            .filter(|(_, worker)| self.rolling_out() != Some(worker.generation))
            .all(|(id, worker)| worker.still || serves(id, worker));
        let mut seats = seating.pools().flat_map(|(_, seats)| seats);
        others_are_quiet && seats.all(|seat| seat.server.is_some())
    }

    /// Begins a new generation. The caller makes sure that none is on its way.
    pub fn roll_out(&mut self, generation: u64, plan: Plan, now: Instant) -> Vec<Effect> {
        debug_assert!(self.rollout.is_none(), "one rollout at a time");
        self.rollout = Some(Rollout { generation, plan });
        self.next(now)
    }

    /// A worker has loaded its plugins.
    pub fn ready(&mut self, id: Id, now: Instant) -> Vec<Effect> {
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.state == State::Starting
        {
            worker.state = State::Ready;
            worker.since = now;
        }
        self.next(now)
    }

    /// Gives a pool another number of seats, until the next generation. Nothing where there is no such pool.
    pub fn scale(&mut self, pool: &str, seats: u32, now: Instant) -> Option<Vec<Effect>> {
        self.plan.pools.get_mut(pool)?.seats = seats;
        Some(self.next(now))
    }

    /// How many seats a pool has.
    pub fn seats(&self, pool: &str) -> Option<u32> {
        self.plan.pools.get(pool).map(|plan| plan.seats)
    }

    /// The seats of a pool that wait because their workers died, in order.
    pub fn waits(&self, pool: &str) -> impl Iterator<Item = Wait<'_>> {
        let seats = self.seats(pool).unwrap_or(0);
        self.backoffs.waits(pool).filter(move |wait| wait.nr < seats)
    }

    /// A worker wants a successor.
    pub fn retire(&mut self, id: Id, now: Instant) -> Vec<Effect> {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.retiring = true;
        }
        self.next(now)
    }

    /// A worker reserves nothing more, whoever told it so.
    pub fn quiet(&mut self, id: Id, now: Instant) -> Vec<Effect> {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.state = State::Quiet;
            worker.still = true;
        }
        self.next(now)
    }

    /// A worker is gone. `error` is what it, or the kernel, said of the reason.
    pub fn gone(&mut self, id: Id, error: &str, now: Instant) -> Vec<Effect> {
        let Some(worker) = self.workers.remove(&id) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        if self.rolling_out() == Some(worker.generation) {
            effects.extend(self.drop_rollout(error));
        } else if worker.state != State::Quiet {
            if worker.state == State::Starting && worker.generation == self.current {
                effects.push(Effect::SeatFailed {
                    generation: worker.generation,
                    error: error.to_owned(),
                });
            }
            // A worker of a generation that never came to serve says nothing about the seats of the one that does.
            if worker.generation <= self.current && !self.stopping {
                let lived = match worker.state {
                    State::Ready => now.duration_since(worker.since),
                    _ => Duration::ZERO,
                };
                let (failures, delay) = self.backoffs.add(&worker.pool, worker.nr, lived, error, now);
                effects.push(Effect::Waits {
                    pool: worker.pool,
                    nr: worker.nr,
                    failures,
                    delay,
                    error: error.to_owned(),
                });
            }
        }
        effects.extend(self.next(now));
        effects
    }

    /// Drops the generation that is on its way.
    fn drop_rollout(&mut self, error: &str) -> Option<Effect> {
        let rollout = self.rollout.take()?;
        Some(Effect::Dropped {
            generation: rollout.generation,
            error: error.to_owned(),
        })
    }

    /// Everybody is to finish and leave; nobody is started any more.
    pub fn stop(&mut self, now: Instant) -> Vec<Effect> {
        self.stopping = true;
        self.backoffs.clear();
        let mut effects: Vec<Effect> = self.drop_rollout("the daemon stops").into_iter().collect();
        effects.extend(self.next(now));
        effects
    }

    /// When [`Children::next`] has to be called again although nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let refills = self.backoffs.deadline();
        let starts = self.workers.values().filter_map(|worker| self.start_by(worker));
        refills.into_iter().chain(starts).min()
    }

    /// What has to happen now.
    pub fn next(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.give_up_on_the_overdue(now, &mut effects);
        if !self.stopping {
            self.advance_rollout(now, &mut effects);
            self.fill_seats(now, &mut effects);
            // Before their predecessors are told to leave, so that nobody misses them.
            self.set_to_work(&mut effects);
        }
        self.dismiss(&mut effects);
        effects
    }

    fn give_up_on_the_overdue(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let late: Vec<Id> = self
            .workers
            .iter()
            .filter(|(_, worker)| self.start_by(worker).is_some_and(|start_by| start_by <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.overdue = true;
                effects.push(Effect::Overdue(id));
            }
        }
    }

    /// When a worker that is starting is given up on.
    fn start_by(&self, worker: &Worker) -> Option<Instant> {
        let plan = match &self.rollout {
            Some(rollout) if rollout.generation == worker.generation => &rollout.plan,
            _ => &self.plan,
        };
        let waited_for = worker.state == State::Starting && !worker.overdue;
        waited_for.then(|| worker.since + plan.start_timeout)
    }

    /// Starts the first workers of a new generation, or lets it take over when they are ready.
    fn advance_rollout(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(rollout) = &self.rollout else { return };
        let generation = rollout.generation;
        let of_rollout = self
            .workers
            .values()
            .filter(|worker| worker.generation == generation);
        let first: BTreeMap<&str, State> = of_rollout
            .map(|worker| (worker.pool.as_str(), worker.state))
            .collect();
        let pools = rollout.plan.pools.keys();
        let missing: Vec<String> = pools
            .filter(|pool| !first.contains_key(pool.as_str()))
            .cloned()
            .collect();
        let all_ready = missing.is_empty() && first.values().all(|state| *state == State::Ready);
        for pool in missing {
            self.spawn(pool, 0, generation, now, effects);
        }
        if all_ready && let Some(rollout) = self.rollout.take() {
            self.current = rollout.generation;
            self.plan = rollout.plan;
            self.backoffs.clear();
            effects.push(Effect::Current(self.current));
        }
    }

    /// Starts workers for seats that nobody serves, unless they wait.
    ///
    /// A seat where nobody works is filled at once; one whose last worker goes on may have to wait for its turn.
    fn fill_seats(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        // What is over must not be waited for again, whether or not the seat is filled now.
        self.backoffs.pass(now);
        for (pool, seats) in self.seating().pools() {
            let replaced = seats.iter().filter(|seat| seat.is_worked && seat.is_starting);
            let mut replaced = replaced.count() as u32;
            let most = self.plan.pools.get(pool).map_or(1, |plan| plan.max_unavailable);
            for (nr, seat) in (0..).zip(seats) {
                let is_late = seat.is_worked && replaced >= most;
                if seat.server.is_some() || seat.is_starting || is_late || self.backoffs.holds(pool, nr) {
                    continue;
                }
                replaced += u32::from(seat.is_worked);
                self.spawn(pool.to_owned(), nr, self.current, now, effects);
            }
        }
    }

    /// Tells those to leave who are not needed any more.
    fn dismiss(&mut self, effects: &mut Vec<Effect>) {
        let seating = self.seating();
        let rolling_out = self.rolling_out();
        for (id, worker) in &mut self.workers {
            let seat = seating.seat(worker);
            let stays = match worker.state {
                State::Quiet => true,
                _ if self.stopping => false,
                _ if rolling_out == Some(worker.generation) => true,
                State::Starting => worker.generation == self.current && seat.is_some(),
                State::Ready => seat.is_some_and(|seat| match seat.server {
                    Some(server) => server == *id,
                    None => worker.generation <= self.current,
                }),
            };
            if stays {
                continue;
            }
            effects.push(match worker.state {
                State::Starting => Effect::Kill(*id),
                _ => Effect::Quiet(*id),
            });
            worker.still = worker.state == State::Starting;
            worker.state = State::Quiet;
        }
    }

    /// Lets the ready workers reserve jobs, of a generation that serves and not before.
    fn set_to_work(&mut self, effects: &mut Vec<Effect>) {
        for (id, worker) in &mut self.workers {
            let may_work = worker.state == State::Ready && worker.generation <= self.current;
            if may_work && !worker.at_work {
                worker.at_work = true;
                effects.push(Effect::Work(*id));
            }
        }
    }

    fn seating(&self) -> Seating {
        Seating::of(&self.plan.pools, self.current, self.workers())
    }

    fn spawn(&mut self, pool: String, nr: u32, generation: u64, now: Instant, effects: &mut Vec<Effect>) {
        let id = Id(self.next_id);
        self.next_id += 1;
        let worker = Worker {
            pool: pool.clone(),
            nr,
            generation,
            state: State::Starting,
            since: now,
            at_work: false,
            retiring: false,
            overdue: false,
            still: false,
        };
        self.workers.insert(id, worker);
        effects.push(Effect::Spawn {
            id,
            pool,
            nr,
            generation,
        });
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
