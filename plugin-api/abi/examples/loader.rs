//! The smallest host: it loads plugins, has each of them check itself and run one job, and prints what they answered.
//!
//! ```text
//! loader PLUGIN.so HANDLER CONFIG_JSON [PLUGIN.so HANDLER CONFIG_JSON]... < body
//! ```
//!
//! Standard input is the job's body and its own JSON view. For each plugin one line of JSON goes to standard
//! output: `plugin`, `version`, `abi`, `verdict`, `delay_ms` and `priority` (null where they are left to the host),
//! `message`, `result` (as text), `progress` (how often the job was said to get on), `put` (bodies of the jobs that it has
//! put), `metrics` (name and value of what it has recorded), `tick_every_ms`, `described` (as text; null where it cannot
//! say) and `logs`, or only `error`. The exit code is 0 where every plugin ran its job. A handler that wants to tick does so
//! once, and each is told to shut down.
//!
//! All plugins share the process, as in a worker. The loader of every released minor is kept as a test fixture: a
//! host of that day, which later plugins must run in. So it needs nothing but this crate.
#![allow(
    unsafe_code,
    reason = "opening a library and reading its descriptor is what a host does; each block is argued for"
)]
#![allow(clippy::print_stdout, reason = "the answers are the program's output")]

use std::{
    env,
    error::Error as _,
    ffi::c_void,
    io::{self, Read},
    mem::{self, ManuallyDrop},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use asynccall_abi::{
    ABI_MAJOR, ABI_MINOR,
    abi_stable::{
        erased_types::TD_Opaque,
        prefix_type::PrefixTypeTrait,
        sabi_types::RRef,
        std_types::{RResult, RSlice, RStr, RString},
    },
    descriptor::{DESCRIPTOR_SYMBOL, Descriptor},
    handler::RawHandlerBox,
    host::{HostApi, HostApiRef, LogRecord, MetricDefinition},
    job::{NewJob, PutError, RawJob, RawJob_TO},
    load::{identify, root},
    outcome::{DELAY_BY_POLICY, Outcome, PRIORITY_KEEP},
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use serde_json::{Value, json};

/// The id of every job that is lent.
const JOB: u64 = 901;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.is_empty() || !arguments.len().is_multiple_of(3) {
        println!(
            "{}",
            json!({"error": "usage: loader (PLUGIN.so HANDLER CONFIG_JSON)... < body"})
        );
        return ExitCode::from(2);
    }
    let mut body = Vec::new();
    if let Err(error) = io::stdin().read_to_end(&mut body) {
        println!("{}", json!({"error": format!("cannot read the body: {error}")}));
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    for asked in arguments.chunks(3) {
        let [file, handler, config] = asked else { continue };
        let answer = run(file, handler, config, &body).unwrap_or_else(|error| {
            code = ExitCode::FAILURE;
            json!({"error": error})
        });
        println!("{answer}");
    }
    code
}

/// Loads the plugin, makes its handler, and lends it one job.
fn run(file: &str, handler: &str, config: &str, body: &[u8]) -> Result<Value, String> {
    let descriptor = descriptor_of(file)?;
    // SAFETY: the symbol of a plugin is a descriptor, and its library stays for ever.
    let identity = unsafe { identify(descriptor) }.map_err(|error| error.to_string())?;
    // SAFETY: `identify` accepted it, and the library stays.
    let root = unsafe { root(descriptor) }.map_err(|error| error.to_string())?;
    let described = root.describe(handler).map(RString::into_string);
    let handler: RawHandlerBox = match root.create(host_api(), handler, config) {
        RResult::ROk(handler) => handler,
        RResult::RErr(error) => return Err(format!("create {}: {}", error.failure.0, error.message)),
    };
    if let RResult::RErr(error) = handler.self_check() {
        return Err(format!("self-check {}: {}", error.failure.0, error.message));
    }
    let tick_every_ms = handler.tick_every_ms();
    let job = Lent {
        body,
        progress: AtomicU32::new(0),
        put: Mutex::default(),
    };
    let outcome: Outcome = handler.execute(RawJob_TO::from_ptr(RRef::new(&job), TD_Opaque));
    if tick_every_ms > 0 {
        handler.tick();
    }
    handler.shutdown();
    let logs = mem::take(&mut *LOGS.lock().unwrap_or_else(PoisonError::into_inner));
    let metrics = mem::take(&mut *RECORDED.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(json!({
        "plugin": identity.name,
        "version": identity.version,
        "abi": [identity.abi.0, identity.abi.1],
        "host_abi": [ABI_MAJOR, ABI_MINOR],
        "verdict": outcome.verdict.0,
        "delay_ms": Some(outcome.delay_ms).filter(|delay| *delay != DELAY_BY_POLICY),
        "priority": Some(outcome.priority).filter(|priority| *priority != PRIORITY_KEEP),
        "message": outcome.message.as_str(),
        "result": String::from_utf8_lossy(&outcome.result),
        "progress": job.progress.into_inner(),
        "put": job.put.into_inner().unwrap_or_else(PoisonError::into_inner),
        "metrics": metrics,
        "tick_every_ms": tick_every_ms,
        "described": described,
        "logs": logs,
    }))
}

/// Opens the library, never to be closed, and finds its descriptor.
fn descriptor_of(file: &str) -> Result<*const Descriptor, String> {
    // A name without a slash would be searched for along the linker's own path.
    let file = std::path::absolute(file).map_err(|error| error.to_string())?;
    let words = |error: libloading::Error| match error.source() {
        Some(linker) => linker.to_string(),
        None => error.to_string(),
    };
    // SAFETY: the library's constructors run, which is what the loader is asked for.
    let library = unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.map_err(words)?;
    let library = ManuallyDrop::new(library);
    // SAFETY: only the address is taken here.
    let symbol = unsafe { library.get::<*mut c_void>(DESCRIPTOR_SYMBOL) }.map_err(words)?;
    let descriptor = symbol.into_raw().cast_const().cast::<Descriptor>();
    if descriptor.is_null() || !descriptor.is_aligned() {
        return Err("its descriptor is not where one can be".to_owned());
    }
    Ok(descriptor)
}

/// A job whose body is its own JSON view.
struct Lent<'a> {
    body: &'a [u8],
    /// How often the handler has said that it gets on.
    progress: AtomicU32,
    /// Bodies of the jobs that the handler has put, as text.
    put: Mutex<Vec<String>>,
}

impl RawJob for Lent<'_> {
    fn id(&self) -> u64 {
        JOB
    }

    fn body(&self) -> RSlice<'_, u8> {
        self.body.into()
    }

    fn json(&self) -> RResult<RSlice<'_, u8>, RString> {
        match self.body {
            [] => RResult::RErr("the body is empty".into()),
            json => RResult::ROk(json.into()),
        }
    }

    fn tube(&self) -> RStr<'_> {
        "loader".into()
    }

    fn attempt(&self) -> u32 {
        1
    }

    fn remaining_ms(&self) -> u64 {
        60_000
    }

    fn age_ms(&self) -> u64 {
        0
    }

    fn priority(&self) -> u64 {
        1024
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn touch(&self) -> bool {
        true
    }

    fn progress(&self) -> bool {
        self.progress.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn put(&self, job: NewJob<'_>) -> RResult<u64, PutError> {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.push(String::from_utf8_lossy(job.body.as_slice()).into_owned());
        RResult::ROk(JOB + put.len() as u64)
    }
}

static LOGS: Mutex<Vec<Value>> = Mutex::new(Vec::new());

/// Names of the metrics that the host was told of: one is called by its place here, counted from 1.
static METRICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Name and value of what was recorded.
static RECORDED: Mutex<Vec<(String, f64)>> = Mutex::new(Vec::new());

fn host_api() -> HostApiRef {
    HostApi {
        version,
        log_enabled,
        log,
        metric,
        record,
    }
    .leak_into_prefix()
}

extern "C" fn version() -> RStr<'static> {
    "0.0.0".into()
}

/// Debug and above.
extern "C" fn log_enabled(level: u8, _target: RStr<'_>) -> bool {
    level <= 4
}

extern "C" fn log(record: &LogRecord<'_>) {
    let fields: serde_json::Map<_, _> = record
        .fields
        .iter()
        .map(|field| (field.name.to_string(), field.value.as_str().into()))
        .collect();
    let event = json!({
        "level": record.level,
        "job": record.job,
        "target": record.target.as_str(),
        "message": record.message.as_str(),
        "fields": fields,
    });
    LOGS.lock().unwrap_or_else(PoisonError::into_inner).push(event);
}

extern "C" fn metric(definition: &MetricDefinition<'_>) -> u64 {
    let mut metrics = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    metrics.push(format!("{}_{}", definition.plugin, definition.name));
    metrics.len() as u64
}

extern "C" fn record(metric: u64, value: f64) {
    let metrics = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    let index = usize::try_from(metric)
        .ok()
        .and_then(|metric| metric.checked_sub(1));
    if let Some(name) = index.and_then(|index| metrics.get(index)) {
        let mut recorded = RECORDED.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.push((name.clone(), value));
    }
}
