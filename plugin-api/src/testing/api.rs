//! The host that stands behind every harness: it keeps what handlers log and record.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use asynccall_abi::{
    abi_stable::{prefix_type::PrefixTypeTrait, std_types::RStr},
    host::{HostApi, HostApiRef, LogRecord, MetricDefinition},
};
use tracing::Level;

use super::Log;
use crate::host;

/// Runs `call` on behalf of a job (0 for none); beside its answer, what was logged of that job meanwhile.
pub(super) fn logged<T>(job: u64, call: impl FnOnce() -> T) -> (T, Vec<Log>) {
    logs().insert(job, Vec::new());
    let answer = call();
    (answer, logs().remove(&job).unwrap_or_default())
}

thread_local! {
    /// What the library itself has logged on this thread.
    static COMPLAINT: Cell<Option<String>> = const { Cell::new(None) };
}

/// Makes a call that nobody waits for the answer of; what the library says where it went wrong.
pub(super) fn complaint(call: impl FnOnce()) -> Option<String> {
    COMPLAINT.set(None);
    call();
    COMPLAINT.take()
}

/// What was recorded of a metric in this process, in order: the handlers of all tests that have run until now.
///
/// `name` is that of the plugin's code, without anything before it.
pub fn metric(name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
    let metrics = metrics();
    let found = metrics.iter().find(|metric| metric.is(name, labels));
    found.map_or_else(Vec::new, |metric| metric.recorded.clone())
}

/// A metric, and what was recorded of it.
struct Metric {
    name: String,
    labels: Vec<(String, String)>,
    recorded: Vec<f64>,
}

impl Metric {
    fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let own = self.labels.iter().map(|(name, value)| (&**name, &**value));
        self.name == name && own.eq(labels.iter().copied())
    }
}

/// The metrics that the host was told of: one is called by its place here, counted from 1.
fn metrics() -> MutexGuard<'static, Vec<Metric>> {
    static METRICS: Mutex<Vec<Metric>> = Mutex::new(Vec::new());
    METRICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the running jobs have logged so far, by job id.
fn logs() -> MutexGuard<'static, HashMap<u64, Vec<Log>>> {
    static LOGS: OnceLock<Mutex<HashMap<u64, Vec<Log>>>> = OnceLock::new();
    let logs = LOGS.get_or_init(Mutex::default);
    // Appending to a list leaves nothing half done.
    logs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The host of all harnesses of the process.
pub(super) fn api() -> HostApiRef {
    static API: OnceLock<HostApiRef> = OnceLock::new();
    *API.get_or_init(|| {
        HostApi {
            version,
            log_enabled,
            log,
            metric: make_known,
            record,
        }
        .leak_into_prefix()
    })
}

extern "C" fn version() -> RStr<'static> {
    RStr::from_str(env!("CARGO_PKG_VERSION"))
}

extern "C" fn log_enabled(_: u8, _: RStr<'_>) -> bool {
    true
}

#[allow(
    clippy::print_stderr,
    reason = "`cargo test` captures it and shows it with a failed test"
)]
extern "C" fn log(record: &LogRecord<'_>) {
    let level = match record.level {
        1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let fields = record.fields.iter();
    let log = Log {
        level,
        target: record.target.into(),
        message: record.message.into(),
        fields: fields
            .map(|field| (field.name.into(), field.value.into()))
            .collect(),
    };
    eprintln!(
        "{level} job={} {}: {} {:?}",
        record.job, log.target, log.message, log.fields
    );
    if log.target == host::LOG_TARGET {
        COMPLAINT.set(Some(log.message.clone()));
    }
    if let Some(of_job) = logs().get_mut(&record.job) {
        of_job.push(log);
    }
}

extern "C" fn make_known(definition: &MetricDefinition<'_>) -> u64 {
    let labels = definition.labels.iter();
    let labels = labels.map(|label| (label.name.into(), label.value.into()));
    let mut metrics = metrics();
    metrics.push(Metric {
        name: definition.name.into(),
        labels: labels.collect(),
        recorded: Vec::new(),
    });
    metrics.len() as u64
}

extern "C" fn record(metric: u64, value: f64) {
    let mut metrics = metrics();
    let index = usize::try_from(metric)
        .ok()
        .and_then(|metric| metric.checked_sub(1));
    if let Some(metric) = index.and_then(|index| metrics.get_mut(index)) {
        metric.recorded.push(value);
    }
}
