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
//! one of them fails, the generation is dropped and nothing else changes.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

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
    /// It has asked for a successor.
    retiring: bool,
    /// It took too long to become ready and is being killed.
    overdue: bool,
}

/// What the master has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start a worker process.
    Spawn {
        /// The new incarnation.
        id: Id,
        /// Name of its pool.
        pool: String,
        /// Its seat.
        nr: u32,
        /// Its generation.
        generation: u64,
    },
    /// Tell a worker to be quiet.
    Quiet(Id),
    /// Kill a worker that has not begun to work.
    Kill(Id),
    /// Kill a worker that takes too long to begin.
    Overdue(Id),
    /// The generation has taken over.
    Current(u64),
    /// The generation could not start; the one before goes on.
    Dropped {
        /// The generation.
        generation: u64,
        /// What its worker said last.
        error: String,
    },
    /// Nobody is left.
    AllGone,
}

/// Name and number of seats of one pool.
pub type Seats = BTreeMap<String, u32>;

/// What a generation asks of its workers.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The pools and their seats.
    pub seats: Seats,
    /// How long a worker may take to become ready.
    pub start_timeout: Duration,
}

/// How many workers of a pool are replaced at one time while their predecessors go on.
const REPLACED_AT_ONCE: usize = 4;
/// A worker that was ready for this long is no symptom of a crash loop.
const STEADY: Duration = Duration::from_secs(10);
/// Wait before the first respawn of a seat; each further failure doubles it.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait before a respawn.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

struct Rollout {
    generation: u64,
    plan: Plan,
}

/// Failures of a seat in a row, and, while it waits, when it may be filled again.
struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

/// The bookkeeping.
#[derive(Default)]
pub struct Children {
    workers: BTreeMap<Id, Worker>,
    current: u64,
    plan: Plan,
    rollout: Option<Rollout>,
    backoffs: BTreeMap<(String, u32), Backoff>,
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

    /// Whether every seat is served by a ready worker of the current generation and all others are quiet.
    pub fn is_settled(&self) -> bool {
        let others_are_quiet = self
            .workers
            .values()
            .all(|worker| self.serves(worker) || worker.state == State::Quiet);
        self.rollout.is_none()
            && others_are_quiet
            && self
                .every_seat()
                .all(|(pool, nr)| self.server(&pool, nr).is_some())
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
        }
        self.next(now)
    }

    /// A worker is gone. `error` is what it, or the kernel, said of the reason.
    pub fn gone(&mut self, id: Id, error: &str, now: Instant) -> Vec<Effect> {
        let Some(worker) = self.workers.remove(&id) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        let of_rollout = self.rolling_out() == Some(worker.generation);
        if of_rollout && worker.state == State::Starting {
            effects.extend(self.drop_rollout(error));
        } else if worker.state != State::Quiet {
            self.back_off(&worker, now);
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
        let mut effects: Vec<Effect> = self.drop_rollout("the daemon stops").into_iter().collect();
        effects.extend(self.next(now));
        effects
    }

    /// When [`Children::next`] has to be called again although nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let empty = self
            .every_seat()
            .filter(|(pool, nr)| !self.stopping && self.server(pool, *nr).is_none());
        let refills = empty.filter_map(|seat| self.backoffs.get(&seat)?.until);
        let starts = self.workers.values().filter_map(|worker| self.start_by(worker));
        refills.chain(starts).min()
    }

    /// What has to happen now.
    pub fn next(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.give_up_on_the_overdue(now, &mut effects);
        if !self.stopping {
            self.advance_rollout(now, &mut effects);
            self.fill_seats(now, &mut effects);
        }
        self.dismiss(&mut effects);
        if self.stopping && self.workers.is_empty() {
            effects.push(Effect::AllGone);
        }
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
        let first = |pool: &str| {
            self.workers
                .values()
                .find(|worker| worker.generation == generation && worker.pool == pool)
        };
        let missing: Vec<String> = rollout
            .plan
            .seats
            .keys()
            .filter(|pool| first(pool).is_none())
            .cloned()
            .collect();
        let all_ready = rollout
            .plan
            .seats
            .keys()
            .all(|pool| first(pool).is_some_and(|worker| worker.state == State::Ready));
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

    fn fill_seats(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let empty: Vec<(String, u32)> = self
            .every_seat()
            .filter(|(pool, nr)| self.server(pool, *nr).is_none())
            .collect();
        for (pool, nr) in empty {
            let starting = |worker: &&Worker| {
                worker.pool == pool && worker.state == State::Starting && worker.generation == self.current
            };
            if self
                .workers
                .values()
                .any(|worker| starting(&worker) && worker.nr == nr)
            {
                continue;
            }
            let has_predecessor = self
                .workers
                .values()
                .any(|worker| worker.pool == pool && worker.nr == nr && worker.state == State::Ready);
            if has_predecessor && self.workers.values().filter(starting).count() >= REPLACED_AT_ONCE {
                continue;
            }
            if let Some(backoff) = self.backoffs.get_mut(&(pool.clone(), nr)) {
                if backoff.until.is_some_and(|until| now < until) {
                    continue;
                }
                backoff.until = None;
            }
            self.spawn(pool, nr, self.current, now, effects);
        }
    }

    /// Tells those to leave who are not needed any more.
    fn dismiss(&mut self, effects: &mut Vec<Effect>) {
        let mut superfluous = Vec::new();
        for (id, worker) in &self.workers {
            let of_rollout = self.rolling_out() == Some(worker.generation);
            let has_seat = self
                .plan
                .seats
                .get(&worker.pool)
                .is_some_and(|seats| worker.nr < *seats);
            let stays = match worker.state {
                State::Quiet => true,
                _ if self.stopping => false,
                _ if of_rollout => true,
                State::Starting => worker.generation == self.current && has_seat,
                State::Ready => {
                    self.serves(worker)
                        || (worker.generation <= self.current
                            && has_seat
                            && self.server(&worker.pool, worker.nr).is_none())
                }
            };
            if !stays {
                superfluous.push((*id, worker.state));
            }
        }
        for (id, state) in superfluous {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.state = State::Quiet;
            }
            effects.push(match state {
                State::Starting => Effect::Kill(id),
                _ => Effect::Quiet(id),
            });
        }
    }

    /// The worker that serves a seat: the newest ready one of the current generation that does not retire.
    fn server(&self, pool: &str, nr: u32) -> Option<Id> {
        let candidates = self.workers.iter().filter(|(_, worker)| {
            worker.pool == pool
                && worker.nr == nr
                && worker.generation == self.current
                && worker.state == State::Ready
                && !worker.retiring
        });
        candidates.map(|(id, _)| *id).next_back()
    }

    fn serves(&self, worker: &Worker) -> bool {
        let server = self.server(&worker.pool, worker.nr);
        self.plan
            .seats
            .get(&worker.pool)
            .is_some_and(|seats| worker.nr < *seats)
            && server
                .and_then(|id| self.workers.get(&id))
                .is_some_and(|server| std::ptr::eq(server, worker))
    }

    fn every_seat(&self) -> impl Iterator<Item = (String, u32)> {
        self.plan
            .seats
            .iter()
            .flat_map(|(pool, seats)| (0..*seats).map(|nr| (pool.clone(), nr)))
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
            retiring: false,
            overdue: false,
        };
        self.workers.insert(id, worker);
        effects.push(Effect::Spawn {
            id,
            pool,
            nr,
            generation,
        });
    }

    /// Makes the seat of a worker that died wait, longer each time it happens in a row.
    fn back_off(&mut self, worker: &Worker, now: Instant) {
        let lived = worker.state == State::Ready && now.duration_since(worker.since) >= STEADY;
        let seat = (worker.pool.clone(), worker.nr);
        let failures = match self.backoffs.get(&seat) {
            Some(backoff) if !lived => backoff.failures.saturating_add(1),
            _ => 1,
        };
        let delay = FIRST_BACKOFF
            .saturating_mul(1 << (failures - 1).min(16))
            .min(LONGEST_BACKOFF);
        self.backoffs.insert(
            seat,
            Backoff {
                failures,
                until: Some(now + delay),
            },
        );
    }
}

#[cfg(test)]
mod tests;
