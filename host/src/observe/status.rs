//! The answer of `status`: one immutable picture of master, workers and slots.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
    ops::AddAssign,
};

use serde::{Deserialize, Serialize};

use crate::ipc::row::Counts;

pub use super::metrics::{Bucket, Metric, Numbers, Series};

/// What `status --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The master's pid.
    pub pid: u32,
    /// The daemon's version.
    pub version: String,
    /// Seconds since the daemon was started; a restart does not begin anew.
    pub uptime_s: u64,
    /// The generation that serves; 0 before there is one.
    pub generation: u64,
    /// The plugins of that generation.
    pub plugins: Vec<Plugin>,
    /// Its pools.
    pub pools: Vec<Pool>,
    /// What was done since the daemon was started; a restart does not begin anew.
    pub totals: Totals,
    /// What plugins have recorded, by name. Counters and histograms count since the daemon was started, gauges are the
    /// sum over the workers that live.
    pub metrics: Vec<Metric>,
}

/// One loaded plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its package name.
    pub name: String,
    /// Its package version.
    pub version: String,
    /// The file that it was loaded from.
    pub path: String,
    /// Hash of the content that was loaded, in hexadecimal.
    pub sha256: String,
    /// The abi that it was built for, such as `1.0`.
    pub abi: String,
    /// Names of its handlers.
    pub handlers: Vec<String>,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// The queue server that they are on, as `host:port` or `unix:PATH`.
    pub server: String,
    /// Its logical tubes.
    pub tubes: Vec<String>,
    /// The handler that executes all of its jobs; nothing where that depends on the tube.
    pub handler: Option<String>,
    /// The handler of each tube.
    pub handlers: BTreeMap<String, String>,
    /// Its workers, those of older generations that still finish included.
    pub workers: Vec<Worker>,
    /// Workers that died and are not started again yet.
    pub waiting: Vec<Waiting>,
    /// Whether its tubes rest because its handler fails; nothing where that is switched off.
    pub breaker: Option<Breaker>,
}

/// A pool's breaker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// `closed` (the pool works), `resting` or `probing` (one job is tried, when there is one).
    pub state: String,
    /// How often in a row the handler has failed.
    pub failures: u32,
    /// How often in a row the tubes have rested.
    pub rests: u32,
    /// Seconds until a job is tried, while they rest.
    pub probe_in_s: Option<f64>,
    /// How the handler failed last, while it is not closed.
    pub error: Option<String>,
}

/// A worker that died and is not started again yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its number in the pool.
    pub nr: u32,
    /// How often in a row it has died.
    pub failures: u32,
    /// Seconds until the next start.
    pub next_start_s: f64,
    /// Why it died last.
    pub error: String,
}

/// One worker process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its number in the pool.
    pub nr: u32,
    /// Its process id.
    pub pid: u32,
    /// Its generation.
    pub generation: u64,
    /// `starting`, `ready` or `quiet`.
    pub state: String,
    /// Jobs given to the handler so far.
    pub jobs: u64,
    /// Its slots.
    pub slots: Vec<Slot>,
}

/// One slot of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// `free` (not begun or ended), `away` (not connected), `idle`, `running`, `settling` or `paused`.
    pub state: String,
    /// The job in hand.
    pub job: Option<u64>,
    /// Its logical tube, once it is known.
    pub tube: Option<String>,
    /// The handler that executes it.
    pub handler: Option<String>,
    /// Milliseconds since the slot entered the state.
    pub for_ms: u64,
}

/// Sums over all workers, those that are gone included.
///
/// Done + released + buried = settled. Failed is part of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Jobs deleted.
    pub done: u64,
    /// Jobs released for another try.
    pub released: u64,
    /// Jobs buried.
    pub buried: u64,
    /// Jobs whose handler failed, panicked or ran too long.
    pub failed: u64,
    /// Jobs whose worker died.
    pub crashed: u64,
}

impl AddAssign<Counts> for Totals {
    fn add_assign(&mut self, counts: Counts) {
        self.done += counts.done;
        self.released += counts.released;
        self.buried += counts.buried;
        self.failed += counts.failed;
    }
}

/// The form for people.
impl Display for Status {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "asynccall-host {} pid {} up {} s, generation {}",
            self.version, self.pid, self.uptime_s, self.generation
        )?;
        for plugin in &self.plugins {
            writeln!(
                f,
                "plugin {} {} (abi {}, handlers {}) {} sha256 {}",
                plugin.name,
                plugin.version,
                plugin.abi,
                plugin.handlers.join(" "),
                plugin.path,
                plugin.sha256.get(..12).unwrap_or(&plugin.sha256),
            )?;
        }
        for pool in &self.pools {
            writeln!(
                f,
                "pool {} tubes {} {} server {}",
                pool.name,
                pool.tubes.join(" "),
                executors(&pool.handlers),
                pool.server
            )?;
            for worker in &pool.workers {
                write!(f, "  {worker}")?;
            }
            if let Some(breaker) = pool.breaker.as_ref().filter(|breaker| breaker.state != "closed") {
                writeln!(f, "  {breaker}")?;
            }
            for waiting in &pool.waiting {
                writeln!(f, "  {waiting}")?;
            }
        }
        for metric in &self.metrics {
            write!(f, "{metric}")?;
        }
        let Totals {
            done,
            released,
            buried,
            failed,
            crashed,
        } = self.totals;
        write!(
            f,
            "totals done {done} released {released} buried {buried} failed {failed} crashed {crashed}"
        )
    }
}

/// Who executes the jobs of a pool: `handler NAME`, or `handlers TUBE=NAME …` where that depends on the tube.
pub fn executors(by_tube: &BTreeMap<String, String>) -> String {
    let names: BTreeSet<&str> = by_tube.values().map(String::as_str).collect();
    if let (1, Some(only)) = (names.len(), names.first()) {
        return format!("handler {only}");
    }
    let pairs: Vec<String> = by_tube
        .iter()
        .map(|(tube, name)| format!("{tube}={name}"))
        .collect();
    format!("handlers {}", pairs.join(" "))
}

impl Display for Breaker {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "breaker {} after {} failures in a row",
            self.state, self.failures
        )?;
        if let Some(seconds) = self.probe_in_s {
            write!(f, ", a job is tried in {seconds:.1} s")?;
        }
        match &self.error {
            Some(error) => write!(f, ": {}", one_line(error)),
            None => Ok(()),
        }
    }
}

impl Display for Waiting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Waiting {
            nr,
            failures,
            next_start_s,
            error,
        } = self;
        let error = one_line(error);
        write!(
            f,
            "worker {nr} waits {next_start_s:.1} s after {failures} failures in a row: {error}"
        )
    }
}

/// A text of several lines as one.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join("; ")
}

impl Display for Worker {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Worker {
            nr,
            pid,
            generation,
            state,
            jobs,
            ..
        } = self;
        writeln!(f, "worker {nr} pid {pid} gen {generation} {state} jobs {jobs}")?;
        for slot in &self.slots {
            write!(f, "    slot {} {} ms", slot.state, slot.for_ms)?;
            if let Some(job) = slot.job {
                write!(f, " job {job} tube {}", slot.tube.as_deref().unwrap_or("-"))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
