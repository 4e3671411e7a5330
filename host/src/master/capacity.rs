//! Pausing pools, and changing how many workers they have: what an operator does by hand.
//!
//! Both last until they are undone; a reload brings the configured number of
//! workers back, and leaves a paused pool paused.

use std::time::Instant;

use tracing::info;

use super::{
    Failure, Master,
    children::{Id, State},
};
use crate::{control::Response, exit::Exit, ipc::ToWorker};

/// The most workers that a pool can be given, as in the settings.
const MOST_WORKERS: u32 = 1024;

impl Master {
    /// Lets a worker reserve, unless its pool is paused.
    pub(super) fn set_to_work(&self, id: Id) {
        let pool = self.children.worker(id).map(|worker| &worker.pool);
        if pool.is_some_and(|pool| !self.paused.contains(pool)) {
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
            if changed {
                info!(pool, "{what}");
                self.tell_ready_workers(pool, paused);
            }
        }
        Response::Done {
            text: format!("{what}: {}", pools.join(" ")),
        }
    }

    fn tell_ready_workers(&self, pool: &str, paused: bool) {
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

    /// Gives a pool another number of workers.
    pub(super) fn scale(&mut self, pool: &str, workers: u32) -> Response {
        if let Err(failure) = self.pools_named(Some(pool)) {
            return failure.response();
        }
        if !(1..=MOST_WORKERS).contains(&workers) {
            let error =
                format!("found {workers} workers, wanted 1 to {MOST_WORKERS}\n  hint: `pause` stops a pool");
            return Failure::new(Exit::Usage, error).response();
        }
        if let Some(effects) = self.children.scale(pool, workers, Instant::now()) {
            info!(pool, workers, "scaled");
            self.carry_out(effects);
        }
        Response::Done {
            text: format!("pool {pool}: {workers} workers"),
        }
    }

    /// Gives every pool so many workers more, or fewer, but never none.
    pub(super) fn scale_all(&mut self, by: i32) {
        for pool in self.pool_names() {
            let now = self.children.seats(&pool).unwrap_or(1);
            self.scale(&pool, now.saturating_add_signed(by).clamp(1, MOST_WORKERS));
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
