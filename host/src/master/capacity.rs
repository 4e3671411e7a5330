//! Pausing pools, and changing how many workers they have: what an operator does by hand.
//!
//! Both last until they are undone; a reload or restart brings the configured
//! number of workers back, and leaves a paused pool paused.

use std::time::Instant;

use tracing::{info, warn};

use super::{
    Failure, Master,
    children::{Id, State},
};
use crate::{
    control::Response,
    exit::Exit,
    ipc::{ToWorker, scoreboard::MOST_SLOTS},
};

/// The most workers that a pool can be given, as in the settings.
const MOST_WORKERS: u32 = 1024;

impl Master {
    /// Lets a worker reserve, unless its pool is paused or rests.
    pub(super) fn set_to_work(&self, id: Id) {
        let pool = self.children.worker(id).map(|worker| &worker.pool);
        if pool.is_some_and(|pool| !self.paused.contains(pool) && !self.breakers.is_open(pool)) {
            self.processes.send(id, ToWorker::Work);
        }
    }

    /// Pauses a pool, or all of them, or lets them go on.
    pub(super) fn pause(&mut self, pool: Option<&str>, paused: bool) -> Response {
        let pools = match self.pools_named(pool) {
            Ok(pools) => pools,
            Err(failure) => return failure.response(),
        };
        let what = if paused { "paused" } else { "at work" };
        for pool in &pools {
            let changed = match paused {
                true => self.paused.insert(pool.clone()),
                false => self.paused.remove(pool),
            };
            if !changed {
                continue;
            }
            info!(pool, "{what}");
            self.breakers.withdraw(pool);
            // One that rests goes on when its breaker closes, and not before.
            if paused || !self.breakers.is_open(pool) {
                self.tell_ready_workers(pool, paused);
            }
        }
        Response::Done {
            text: format!("{what}: {}", pools.join(" ")),
        }
    }

    pub(super) fn tell_ready_workers(&self, pool: &str, paused: bool) {
        let current = self.children.current();
        for (id, worker) in self.children.workers() {
            // One that is not ready hears of it when it is; one that is quiet reserves nothing anyway.
            if worker.pool != pool || worker.state != State::Ready || worker.generation > current {
                continue;
            }
            let message = if paused { ToWorker::Pause } else { ToWorker::Work };
            self.processes.send(id, message);
        }
    }

    /// Gives a pool another number of workers. Refused while a generation is on its way, which brings numbers
    /// of its own.
    pub(super) fn scale(&mut self, pool: &str, workers: u32) -> Result<Response, Failure> {
        if let Some(generation) = self.children.rolling_out() {
            let error = format!(
                "generation {generation} is on its way and brings its own number of workers\n  hint: scale again when it serves"
            );
            return Err(Failure::new(Exit::Failed, error));
        }
        self.pools_named(Some(pool))?;
        if !(1..=MOST_WORKERS).contains(&workers) {
            let error =
                format!("found {workers} workers, wanted 1 to {MOST_WORKERS}\n  hint: `pause` stops a pool");
            return Err(Failure::new(Exit::Usage, error));
        }
        self.have_room(pool, workers)?;
        if let Some(effects) = self.children.scale(pool, workers, Instant::now()) {
            info!(pool, workers, "scaled");
            self.carry_out(effects);
        }
        Ok(Response::Done {
            text: format!("pool {pool}: {workers} workers"),
        })
    }

    /// Whether all slots have room on the scoreboard, and once more for those that replace them.
    fn have_room(&self, pool: &str, workers: u32) -> Result<(), Failure> {
        let current = self.generations.get(&self.children.current());
        let pools = current.map_or(&[][..], |generation| &generation.config.pools);
        let (mut own, mut others) = (0, 0);
        for settings in pools {
            match settings.name == pool {
                true => own = u64::from(settings.slots),
                false => {
                    let seats = self.children.seats(&settings.name).unwrap_or(0);
                    others += u64::from(seats) * u64::from(settings.slots);
                }
            }
        }
        let sum = u64::from(workers) * own + others;
        if sum <= MOST_SLOTS as u64 {
            return Ok(());
        }
        let error = format!(
            "found {sum} slots in all workers ({workers} workers with {own} slots each, and {others} slots of other pools), wanted at most {MOST_SLOTS}"
        );
        Err(Failure::new(Exit::Usage, error))
    }

    /// Gives every pool so many workers more, or fewer, but never none.
    pub(super) fn scale_all(&mut self, by: i32) {
        for pool in self.pool_names() {
            let now = self.children.seats(&pool).unwrap_or(1);
            let wanted = now.saturating_add_signed(by).clamp(1, MOST_WORKERS);
            if let Err(failure) = self.scale(&pool, wanted) {
                warn!(pool, error = %failure, "cannot scale");
            }
        }
    }

    fn pool_names(&self) -> Vec<String> {
        let current = self.generations.get(&self.children.current());
        let pools = current
            .into_iter()
            .flat_map(|generation| &generation.config.pools);
        pools.map(|pool| pool.name.clone()).collect()
    }

    fn pools_named(&self, pool: Option<&str>) -> Result<Vec<String>, Failure> {
        let names = self.pool_names();
        if names.is_empty() {
            // Workers that become ready go to work, so a pause would be lost.
            let error = "no generation serves yet\n  hint: try again when the daemon has started";
            return Err(Failure::new(Exit::Failed, error));
        }
        match pool {
            None => Ok(names),
            Some(pool) if names.iter().any(|name| name == pool) => Ok(vec![pool.to_owned()]),
            Some(pool) => {
                let error = format!(
                    "there is no pool `{pool}`\n  hint: the pools are {}",
                    names.join(", ")
                );
                Err(Failure::new(Exit::Usage, error))
            }
        }
    }
}
