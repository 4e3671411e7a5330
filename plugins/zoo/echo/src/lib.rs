//! Answers with its own payload, and misbehaves when the payload asks for it. For tests and benchmarks.
//!
//! A payload that is a map may ask, in this order, for: `leak_mib` (memory that it keeps for ever), `sleep_ms` (in steps of
//! `progress_every_ms`, if given; it says after each that it gets on, and fails where it should give up), `until_cancelled`
//! (true: it works until the host wants it to give up, and fails unless it has something to put), `abort` (true: the process ends by a signal), `exit` (the
//! code with which the process ends), `panic` (a text), `fail` (true or a text), `retry_in` (seconds), `bury` (a text). With
//! `count` (a number) it counts that, with `put` (a list of payloads) it puts jobs for its own tube, or as `put_with` says. With
//! `only_while`, a path, it gets all of that only while there is something at that path. A message of the PHP library's
//! kind asks in its `methodParams`.
//!
//! Its configuration may say how it checks itself, how often it ticks and how, and whether it says goodbye.

use std::{path::PathBuf, process, thread};

use plugin_api::{NewJob, Schemas, metrics::Counter, prelude::*, serde_json::Value};

/// Tells builds apart in tests that reload to a changed plugin.
const BUILD: Option<&str> = option_env!("ECHO_TAG");

/// What payloads have asked to be counted.
static COUNTED: Counter = Counter::new("counted", "What payloads have asked to be counted");

struct Echo {
    tag: String,
    self_check: SelfCheck,
    tick_every_ms: Option<u64>,
    tick: Tick,
    tick_well_without: Option<PathBuf>,
    goodbye: bool,
    goodbye_hangs: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Shown as `tag` with every job. The build's own tag unless set.
    tag: Option<String>,
    /// How the handler checks itself.
    #[serde(default)]
    self_check: SelfCheck,
    /// Ticks that often, and says so. Never unless set.
    tick_every_ms: Option<u64>,
    /// What each tick does when it has said so.
    #[serde(default)]
    tick: Tick,
    /// It does so only while there is something at this path.
    tick_well_without: Option<PathBuf>,
    /// Says goodbye in the log.
    #[serde(default)]
    goodbye: bool,
    /// Says goodbye for ever.
    #[serde(default)]
    goodbye_hangs: bool,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tick {
    #[default]
    Return,
    Fail,
    Panic,
    Hang,
    Abort,
    /// Ends the process as if all were well.
    Exit,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SelfCheck {
    /// It can do its work.
    #[default]
    Pass,
    /// The same, said in the log.
    Log,
    Fail,
    Panic,
    Hang,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wishes {
    only_while: Option<PathBuf>,
    until_cancelled: bool,
    leak_mib: usize,
    sleep_ms: u64,
    progress_every_ms: Option<u64>,
    abort: bool,
    exit: Option<i32>,
    panic: Option<String>,
    fail: Option<Fail>,
    retry_in: Option<f64>,
    bury: Option<String>,
    count: Option<f64>,
    put: Vec<Value>,
    put_with: PutWith,
}

/// What the jobs have that a payload has it put.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PutWith {
    tube: Option<String>,
    priority: Option<u32>,
    delay_ms: u64,
    ttr_ms: Option<u64>,
    /// Bodies of so many bytes instead.
    bytes: Option<usize>,
    /// On another thread than the job's.
    aside: bool,
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
        Ok(Echo {
            tag,
            self_check: config.self_check,
            tick_every_ms: config.tick_every_ms,
            tick: config.tick,
            tick_well_without: config.tick_well_without,
            goodbye: config.goodbye,
            goodbye_hangs: config.goodbye_hangs,
        })
    }

    fn schemas() -> Schemas {
        let tag = json!({"type": "string", "description": "Shown as `tag` with every job"});
        Schemas::new(
            Some(json!({"type": "object", "properties": {"tag": tag}})),
            Some(json!(true)),
        )
    }

    fn self_check(&self) -> Result<()> {
        match self.self_check {
            SelfCheck::Pass => {}
            SelfCheck::Log => info!("checked"),
            SelfCheck::Fail => return Err("there is nobody to answer to".into()),
            SelfCheck::Panic => panic!("the self-check gave up"),
            SelfCheck::Hang => hang(),
        }
        Ok(())
    }

    fn execute(&self, job: &Job, payload: Value) -> Result {
        debug!(tag = self.tag, bytes = job.body().len(), "echo");
        let arguments = payload
            .get("methodParams")
            .filter(|arguments| arguments.is_object());
        let asking = arguments.unwrap_or(&payload);
        if asking.is_object() {
            grant(job, Wishes::deserialize(asking).or_bury()?)?;
        }
        Ok(payload.into())
    }

    fn tick_every(&self) -> Option<Duration> {
        self.tick_every_ms.map(Duration::from_millis)
    }

    fn tick(&self) -> Result<()> {
        info!(tag = self.tag, "tick");
        if self.tick_well_without.as_ref().is_some_and(|path| !path.exists()) {
            return Ok(());
        }
        match self.tick {
            Tick::Return => Ok(()),
            Tick::Fail => Err("there is nothing to tick".into()),
            Tick::Panic => panic!("the tick gave up"),
            Tick::Hang => hang(),
            Tick::Abort => process::abort(),
            Tick::Exit => process::exit(0),
        }
    }

    fn shutdown(&self) {
        if self.goodbye {
            info!(tag = self.tag, "goodbye");
        }
        if self.goodbye_hangs {
            hang();
        }
    }
}

fn hang() -> ! {
    loop {
        thread::park();
    }
}

fn grant(job: &Job, wishes: Wishes) -> Result<()> {
    if wishes.only_while.is_some_and(|path| !path.exists()) {
        return Ok(());
    }
    // Filled, so that it is resident.
    vec![1_u8; wishes.leak_mib << 20].leak();
    sleep(job, wishes.sleep_ms, wishes.progress_every_ms)?;
    if wishes.until_cancelled {
        while !job.cancelled() {
            thread::sleep(Duration::from_millis(5));
        }
        if wishes.put.is_empty() {
            return Err("gave up when it was asked to".into());
        }
    }
    if let Some(value) = wishes.count {
        COUNTED.add(value);
    }
    for payload in &wishes.put {
        let id = put(job, payload, &wishes.put_with)?;
        info!(id, "put");
    }
    if wishes.abort {
        process::abort();
    }
    if let Some(code) = wishes.exit {
        process::exit(code);
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

fn put(job: &Job, payload: &Value, with: &PutWith) -> Result<u64> {
    let mut new = match with.bytes {
        Some(bytes) => NewJob::raw(vec![b'x'; bytes]),
        None => NewJob::of(payload)?,
    };
    new = new.delay(Duration::from_millis(with.delay_ms));
    if let Some(tube) = &with.tube {
        new = new.tube(tube);
    }
    if let Some(priority) = with.priority {
        new = new.priority(priority);
    }
    if let Some(ttr_ms) = with.ttr_ms {
        new = new.ttr(Duration::from_millis(ttr_ms));
    }
    if !with.aside {
        return Ok(job.put(&new)?);
    }
    let put = thread::scope(|scope| scope.spawn(|| job.put(&new)).join());
    Ok(put.map_err(|_| "the thread that puts has panicked")??)
}

/// In one step, or in several of which each is reported.
fn sleep(job: &Job, mut left_ms: u64, step_ms: Option<u64>) -> Result<()> {
    while let Some(step_ms) = step_ms.filter(|step_ms| *step_ms < left_ms) {
        thread::sleep(Duration::from_millis(step_ms));
        left_ms -= step_ms;
        if !job.progress() {
            return Err("gave up when it reported".into());
        }
    }
    thread::sleep(Duration::from_millis(left_ms));
    Ok(())
}

export_plugin!(Echo);
