//! The answer of `status`, made from the bookkeeping and the scoreboard.

use std::time::Instant;

use super::{
    Master,
    processes::{Process, state_name},
};
use crate::{
    ipc::row::{Counts, Row, State, monotonic_ns},
    observe::status,
};

impl Master {
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
        status::Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: self.started.elapsed().as_secs(),
            generation: self.children.current(),
            plugins: plugins.map(|staged| plugin(&staged.info)).collect(),
            pools: self.pools(),
            totals,
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
                pools.push(self.pool(&pool.name, &pool.tubes, generation.handler(&pool.name)));
            }
        }
        // Workers that an earlier instance has left may be all that is known of their generation.
        for (_, process) in self.processes.iter() {
            if pools.iter().all(|known| known.name != process.pool) {
                pools.push(self.pool(&process.pool, &process.tubes, &process.handler));
            }
        }
        pools
    }

    fn pool(&self, name: &str, tubes: &[String], handler: &str) -> status::Pool {
        status::Pool {
            name: name.to_owned(),
            tubes: tubes.to_owned(),
            handler: handler.to_owned(),
            workers: self.workers(name),
            waiting: self.waiting(name),
        }
    }

    fn waiting(&self, pool: &str) -> Vec<status::Waiting> {
        let now = Instant::now();
        let waits = self.children.waits(pool);
        waits
            .map(|wait| status::Waiting {
                nr: wait.nr,
                failures: wait.failures,
                next_start_s: wait.until.saturating_duration_since(now).as_millis() as f64 / 1000.0,
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
            .and_then(|index| process.tubes.get(index).cloned())
            .filter(|_| at_work),
        handler: at_work.then(|| process.handler.clone()),
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
