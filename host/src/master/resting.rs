//! Pools whose handler fails again and again: their tubes rest, and are probed.
//!
//! Workers count failures on the scoreboard and speak up when there are too
//! many; [`super::breakers`] keeps the books. Nothing ticks while every breaker
//! is closed.

use std::time::Instant;

use tracing::{info, warn};

use super::{
    Master,
    breakers::Probed,
    children::{Id, State},
    processes::Process,
};
use crate::{
    config,
    ipc::{ToWorker, row::monotonic_ns, streaks::Streak},
};

impl Master {
    /// A worker says that its handler has failed too often.
    pub(super) fn on_tripped(&mut self, id: Id, error: &str) {
        let Some(worker) = self.children.worker(id) else {
            return;
        };
        let (pool, generation) = (worker.pool.clone(), worker.generation);
        self.trip(&pool, generation, error);
    }

    /// A worker has tried a job.
    pub(super) fn on_probed(&mut self, id: Id, error: Option<&str>) {
        if let Some(pool) = self.children.worker(id).map(|worker| worker.pool.clone()) {
            self.end_probe(&pool, error);
        }
    }

    /// A handler took its worker down.
    pub(super) fn on_handler_crash(&mut self, id: Id, process: &Process, error: &str) {
        let Some(settings) = self.breaker_settings(&process.pool) else {
            return;
        };
        if self.breakers.is_probed_by(&process.pool, id) {
            return self.end_probe(&process.pool, Some(error));
        }
        let streak = self.processes.streak(&process.pool);
        let failures = streak.map_or(0, |streak| streak.fail(monotonic_ns(), settings.within));
        if failures >= settings.failures {
            self.trip(&process.pool, process.generation, error);
        }
    }

    /// The pool's settings in the generation that serves; nothing where it has no breaker.
    fn breaker_settings(&self, pool: &str) -> Option<config::Breaker> {
        let current = self.generations.get(&self.children.current())?;
        let settings = current.pool(pool)?.breaker;
        (settings.failures > 0).then_some(settings)
    }

    fn trip(&mut self, pool: &str, generation: u64, error: &str) {
        // Failures of an older generation say nothing about the handler of this one.
        let is_current = generation == self.children.current();
        let Some(settings) = self.breaker_settings(pool).filter(|_| is_current) else {
            return;
        };
        let failures = self.processes.streak(pool).map_or(0, Streak::failures);
        let (rest, now) = (settings.rest, Instant::now());
        if !self.breakers.trip(pool, failures, rest, error, now) {
            return;
        }
        warn!(
            pool, failures, rest = ?rest, error,
            "breaker open: the handler fails again and again, its tubes rest"
        );
        if !self.paused.contains(pool) {
            self.tell_ready_workers(pool, true);
        }
    }

    fn end_probe(&mut self, pool: &str, error: Option<&str>) {
        let rest = self.breaker_settings(pool).map(|settings| settings.rest);
        let probed = self
            .breakers
            .probed(pool, error, rest.unwrap_or_default(), Instant::now());
        match probed {
            None => {}
            Some(Probed::Rests(rest)) => {
                warn!(pool, rest = ?rest, error, "breaker still open: the job that was tried failed");
            }
            Some(Probed::Closed) => {
                info!(pool, "breaker closed: a job went well");
                self.go_on(pool);
            }
        }
    }

    /// The pool's breaker has closed.
    fn go_on(&mut self, pool: &str) {
        if let Some(streak) = self.processes.streak(pool) {
            streak.end();
        }
        if !self.paused.contains(pool) {
            self.tell_ready_workers(pool, false);
        }
    }

    /// Another generation serves, and its handlers are given a chance.
    pub(super) fn close_breakers(&mut self) {
        for pool in self.breakers.close_all() {
            info!(pool, "breaker closed: another generation serves");
            self.go_on(&pool);
        }
    }

    /// Has a job tried where a rest is over, or where whoever was told to has left.
    pub(super) fn mind_breakers(&mut self, now: Instant) {
        if self.breakers.all_closed() || self.stopping.is_some() {
            return;
        }
        for pool in self.breakers.end_rests(now) {
            info!(pool, "breaker: the rest is over, one job is tried");
        }
        let children = &self.children;
        let is_ready = |id| {
            children
                .worker(id)
                .is_some_and(|worker| worker.state == State::Ready)
        };
        for pool in self.breakers.without_prober(is_ready) {
            let current = self.children.current();
            let of_pool = self.children.workers().filter(|(_, worker)| {
                worker.pool == pool && worker.state == State::Ready && worker.generation == current
            });
            // The newest is the last one to be replaced.
            if let Some((id, _)) = of_pool.last().filter(|_| !self.paused.contains(&pool)) {
                self.processes.send(id, ToWorker::Probe);
                self.breakers.probe_by(&pool, id);
            }
        }
    }
}
