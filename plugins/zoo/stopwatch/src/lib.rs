//! Does nothing with a payload that it has decoded. Where it is configured to, it notes when each job came and was
//! answered, and writes that down when it is shut down. For benchmarks, and for tests of many short jobs.

use std::{
    fs,
    path::PathBuf,
    process,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};
use plugin_api::prelude::*;

/// The jobs for whose stamps there is room from the start.
const STAMPS_KEPT: usize = 1 << 20;

/// What to do beside nothing.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// A directory for when each job came and was answered; a file for each process, of a line for each job.
    stamps: Option<PathBuf>,
}

/// What a job says, to be decoded.
#[derive(Deserialize)]
#[allow(
    dead_code,
    reason = "it is decoded, as any handler's payload is, and not used"
)]
struct Payload {
    id: u64,
    to: String,
    text: String,
    /// How long the job takes.
    #[serde(default)]
    sleep_ms: u64,
    /// It fails.
    #[serde(default)]
    fails: bool,
    /// It ends the process by a signal.
    #[serde(default)]
    aborts: bool,
}

struct Stopwatch {
    directory: Option<PathBuf>,
    /// Id, came, answered; in nanoseconds of the clock that all processes share.
    stamps: Mutex<Vec<[u64; 3]>>,
}

impl Handler for Stopwatch {
    type Config = Config;
    type Payload = Payload;

    fn new(config: Config) -> Result<Self> {
        let kept = config.stamps.as_ref().map_or(0, |_| STAMPS_KEPT);
        Ok(Stopwatch {
            directory: config.stamps,
            stamps: Mutex::new(Vec::with_capacity(kept)),
        })
    }

    fn execute(&self, job: &Job, payload: Payload) -> Result {
        if payload.sleep_ms > 0 {
            thread::sleep(Duration::from_millis(payload.sleep_ms));
        }
        if payload.aborts {
            process::abort();
        }
        if payload.fails {
            return Err(Error::failed("the payload asked for it"));
        }
        if self.directory.is_some() {
            let came = now_ns();
            let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
            stamps.push([job.id(), came, now_ns()]);
        }
        Ok(().into())
    }

    fn shutdown(&self) {
        let Some(directory) = &self.directory else { return };
        let stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = stamps.iter();
        let text: String = lines
            .map(|[id, came, answered]| format!("{id} {came} {answered}\n"))
            .collect();
        let file = directory.join(process::id().to_string());
        if let Err(error) = fs::write(&file, text) {
            error!("cannot write `{}`: {error}", file.display());
        }
    }
}

fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    })
}

export_plugin!("stopwatch" => Stopwatch);
