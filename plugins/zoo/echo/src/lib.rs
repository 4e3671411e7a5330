//! Answers with its own payload, and misbehaves when the payload asks for it. For tests and benchmarks.
//!
//! A payload that is a map may ask, in this order, for: `until_cancelled` (true: it works until the host wants it to
//! give up, and fails), `leak_mib` (memory that it keeps for ever), `sleep_ms`, `abort` (true: the process ends), `panic` (a
//! text), `fail` (true or a text), `retry_in` (seconds), `bury` (a text).

use std::{process, thread};

use plugin_api::{prelude::*, serde_json::Value};

/// Tells builds apart in tests that reload to a changed plugin.
const BUILD: Option<&str> = option_env!("ECHO_TAG");

struct Echo {
    tag: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Shown as `tag` with every job. The build's own tag unless set.
    tag: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wishes {
    until_cancelled: bool,
    leak_mib: usize,
    sleep_ms: u64,
    abort: bool,
    panic: Option<String>,
    fail: Option<Fail>,
    retry_in: Option<f64>,
    bury: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Fail {
    Plain(bool),
    Because(String),
}

impl Handler for Echo {
    type Config = Config;
    type Payload = Value;
    const DESCRIPTION: &'static str = "Answers with its own payload";

    fn new(config: Config) -> Result<Self> {
        let tag = config.tag.or(BUILD.map(str::to_owned)).unwrap_or_default();
        Ok(Echo { tag })
    }

    fn execute(&self, job: &Job, payload: Value) -> Result {
        debug!(tag = self.tag, bytes = job.body().len(), "echo");
        if payload.is_object() {
            grant(job, Wishes::deserialize(&payload).or_bury()?)?;
        }
        Ok(payload.into())
    }
}

fn grant(job: &Job, wishes: Wishes) -> Result<()> {
    if wishes.until_cancelled {
        while !job.cancelled() {
            thread::sleep(Duration::from_millis(5));
        }
        return Err("gave up when it was asked to".into());
    }
    // Filled, so that it is resident.
    vec![1_u8; wishes.leak_mib << 20].leak();
    thread::sleep(Duration::from_millis(wishes.sleep_ms));
    if wishes.abort {
        process::abort();
    }
    if let Some(text) = wishes.panic {
        panic!("{text}");
    }
    match wishes.fail {
        Some(Fail::Plain(true)) => return Err("the payload asked for a failure".into()),
        Some(Fail::Because(text)) => return Err(text.into()),
        Some(Fail::Plain(false)) | None => {}
    }
    if let Some(seconds) = wishes.retry_in {
        let delay = Duration::try_from_secs_f64(seconds).or_bury()?;
        return Err(Error::retry_in(delay, "the payload asked for a retry"));
    }
    wishes.bury.map_or(Ok(()), |text| Err(Error::bury(text)))
}

export_plugin!(Echo);
