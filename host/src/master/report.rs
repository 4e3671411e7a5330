//! What the master tells about itself: the answer of `status`, made from the bookkeeping and the scoreboard, and its
//! title.

use std::time::Instant;

use super::{
    Master,
    assignment::Assignment,
    breakers,
    processes::{Process, state_name},
};
use crate::{
    config,
    ipc::{
        row::{Counts, Row, State, monotonic_ns},
        streaks::Streak,
    },
    observe::status,
    title,
};

impl Master {
    /// Keeps the title of the process up to date.
    pub(super) fn show_title(&mut self) {
        if let Some(title) = &mut self.title {
            let name = self.pid_file.path().file_name().unwrap_or_default();
            let stopping = self.stopping.is_some();
            title.show(&title::of_master(&name.to_string_lossy(), self.serving, stopping));
        }
    }

    pub(super) fn status(&self) -> status::Status {
        let current = self.generations.get(&self.children.current());
        let plugins = current
            .into_iter()
            .flat_map(|generation| &generation.catalog.plugins);
        let mut totals = self.totals;
        for (_, process) in self.processes.iter() {
            for row in self.processes.rows(process) {
                totals += row.counts();
            }
        }
        let living = self.processes.iter();
        let living: Vec<_> = living.flat_map(|(id, process)| process.recorded(id)).collect();
        status::Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.started.elapsed().as_secs(),
            generation: self.children.current(),
            plugins: plugins.map(|staged| plugin(&staged.info)).collect(),
            pools: self.pools(),
            totals,
            metrics: self.metrics.shown(&living),
        }
    }

    /// The pools of every generation that still has workers, the current one's first.
    fn pools(&self) -> Vec<status::Pool> {
        let mut pools: Vec<status::Pool> = Vec::new();
        let current = self.generations.get(&self.children.current());
        // The one before the current one may be there for a rollback alone.
        let all = self.generations.values();
        let with_workers = all.filter(|generation| self.processes.has_generation(generation.number));
        for generation in current.into_iter().chain(with_workers.rev()) {
            for pool in &generation.config.pools {
                if pools.iter().any(|known| known.name == pool.name) {
                    continue;
                }
                let breaker = self.breaker(pool);
                let assignment = Assignment::of(pool, generation.handlers(&pool.name));
                pools.push(self.pool(&pool.name, &assignment, breaker));
            }
        }
        // Workers that an earlier instance has left may be all that is known of their generation.
        for (_, process) in self.processes.iter() {
            if pools.iter().all(|known| known.name != process.pool) {
                pools.push(self.pool(&process.pool, &process.assignment, None));
            }
        }
        pools
    }

    fn breaker(&self, pool: &config::Pool) -> Option<status::Breaker> {
        let open = self.breakers.get(&pool.name);
        if pool.breaker.failures == 0 && open.is_none() {
            return None;
        }
        let state = open.map(|open| open.state);
        let counted = self.processes.streak(&pool.name).map_or(0, Streak::failures);
        Some(status::Breaker {
            state: match state {
                None => "closed",
                Some(breakers::State::Resting { .. }) => "resting",
                Some(breakers::State::Probing { .. }) => "probing",
            }
            .to_owned(),
            failures: open.map_or(counted, |open| open.failures),
            rests: open.map_or(0, |open| open.rests),
            probe_in_s: match state {
                Some(breakers::State::Resting { until }) => Some(seconds_until(until)),
                _ => None,
            },
            error: open.map(|open| open.error.clone()),
        })
    }

    fn pool(&self, name: &str, assignment: &Assignment, breaker: Option<status::Breaker>) -> status::Pool {
        status::Pool {
            name: name.to_owned(),
            server: assignment.server.clone(),
            tubes: assignment.tubes.clone(),
            handler: assignment.handler(None).map(str::to_owned),
            handlers: assignment.by_tube(),
            workers: self.workers(name),
            waiting: self.waiting(name),
            breaker,
        }
    }

    fn waiting(&self, pool: &str) -> Vec<status::Waiting> {
        let waits = self.children.waits(pool);
        waits
            .map(|wait| status::Waiting {
                nr: wait.nr,
                failures: wait.failures,
                next_start_s: seconds_until(wait.until),
                error: wait.error.to_owned(),
            })
            .collect()
    }

    fn workers(&self, pool: &str) -> Vec<status::Worker> {
        let now = monotonic_ns();
        let of_pool = self.processes.iter().filter(|(_, process)| process.pool == pool);
        let mut workers: Vec<status::Worker> = of_pool
            .map(|(id, process)| {
                let mut counts = Counts::default();
                self.processes
                    .rows(process)
                    .for_each(|row| counts += row.counts());
                status::Worker {
                    nr: process.nr,
                    pid: process.pid,
                    generation: process.generation,
                    state: state_name(&self.children, id).to_owned(),
                    jobs: counts.executed,
                    slots: self
                        .processes
                        .rows(process)
                        .map(|row| slot(row, process, now))
                        .collect(),
                }
            })
            .collect();
        workers.sort_by_key(|worker| (worker.nr, worker.generation));
        workers
    }
}

/// Seconds, with the milliseconds behind the point.
fn seconds_until(then: Instant) -> f64 {
    then.saturating_duration_since(Instant::now()).as_millis() as f64 / 1000.0
}

fn slot(row: &Row, process: &Process, now: u64) -> status::Slot {
    let activity = row.activity();
    let at_work = activity.job != 0;
    let state = match activity.state {
        State::Free => "free",
        State::Away => "away",
        State::Idle => "idle",
        State::Running => "running",
        State::Settling => "settling",
        State::Paused => "paused",
    };
    status::Slot {
        state: state.to_owned(),
        job: at_work.then_some(activity.job),
        tube: activity
            .tube
            .and_then(|index| process.assignment.tubes.get(index).cloned())
            .filter(|_| at_work),
        handler: process
            .assignment
            .handler(activity.tube)
            .filter(|_| at_work)
            .map(str::to_owned),
        for_ms: match activity.state {
            State::Free => 0,
            _ => now.saturating_sub(activity.since_ns) / 1_000_000,
        },
    }
}

fn plugin(info: &crate::plugin::PluginInfo) -> status::Plugin {
    status::Plugin {
        name: info.manifest.name.clone(),
        version: info.manifest.version.clone(),
        path: info.path.display().to_string(),
        sha256: info.sha256.clone(),
        abi: info.manifest.abi.to_string(),
        handlers: info
            .manifest
            .handlers
            .iter()
            .map(|handler| handler.name.clone())
            .collect(),
    }
}
