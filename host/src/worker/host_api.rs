//! What the host offers to plugins: its side of [`asynccall_abi::host::HostApi`].

use asynccall_abi::{
    abi_stable::{prefix_type::PrefixTypeTrait, std_types::RStr},
    host::{HostApi, HostApiRef, LogRecord, MetricDefinition},
};
use tracing::Level;

use super::metrics;
use crate::observe::log;

/// The functions that plugins call, for as long as the process lives.
pub(crate) fn host_api() -> HostApiRef {
    HostApi {
        version,
        log_enabled,
        log: write,
        metric,
        record,
    }
    .leak_into_prefix()
}

extern "C" fn version() -> RStr<'static> {
    RStr::from_str(env!("CARGO_PKG_VERSION"))
}

extern "C" fn log_enabled(level: u8, target: RStr<'_>) -> bool {
    log::enabled(severity(level), target.as_str())
}

extern "C" fn write(record: &LogRecord<'_>) {
    log::foreign(
        severity(record.level),
        record.target.as_str(),
        record.job,
        |line| {
            for field in record.fields {
                match field.json {
                    true => line.json(field.name.as_str(), field.value.as_str()),
                    false => line.text(field.name.as_str(), field.value.as_str()),
                }
            }
            line.message(record.message.as_str());
        },
    );
}

extern "C" fn metric(definition: &MetricDefinition<'_>) -> u64 {
    metrics::make_known(definition)
}

extern "C" fn record(metric: u64, value: f64) {
    metrics::record(metric, value);
}

fn severity(level: u8) -> Level {
    match level {
        1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    }
}
