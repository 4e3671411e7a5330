//! The host's functions, for C.

use std::sync::OnceLock;

use abi_stable::std_types::{RSlice, RStr};

use super::{
    Host, LogField, LogRecord, MetricDefinition, MetricLabel,
    text::{borrowed, list, text},
};
use crate::{
    descriptor::Text,
    host::{self, HostApiRef, MetricKind, NO_METRIC},
};

static HOST: OnceLock<HostApiRef> = OnceLock::new();

static FUNCTIONS: Host = Host {
    size: size_of::<Host>() as u32,
    reserved: 0,
    version,
    log_enabled,
    log,
    metric,
    record,
};

/// The functions of this process's one host, for C.
pub(super) fn host(api: HostApiRef) -> *const Host {
    HOST.get_or_init(|| api);
    &raw const FUNCTIONS
}

extern "C" fn version() -> Text {
    let version = HOST.get().map_or(RStr::empty(), |host| host.version()());
    text(version.as_str().as_bytes())
}

unsafe extern "C" fn log_enabled(level: u8, target: Text) -> bool {
    // SAFETY: the header's promise on texts.
    let target = unsafe { borrowed(target) };
    HOST.get()
        .is_some_and(|host| host.log_enabled()(level, RStr::from_str(&target)))
}

unsafe extern "C" fn log(record: *const LogRecord) {
    // SAFETY: the header's promise: a record is readable for the call, or null.
    let (Some(record), Some(host)) = (unsafe { record.as_ref() }, HOST.get()) else {
        return;
    };
    // SAFETY: the header's promise on texts and lists.
    let (target, file, message, fields) = unsafe {
        (
            borrowed(record.target),
            borrowed(record.file),
            borrowed(record.message),
            list(record.fields, record.field_count),
        )
    };
    let texts: Vec<_> = fields
        .iter()
        // SAFETY: as above.
        .map(|LogField { name, value, json }| unsafe { (borrowed(*name), borrowed(*value), *json) })
        .map(|(name, value, json)| {
            // Anything else would break the line that it is written into.
            let bare = json != 0 && is_number_or_boolean(&value);
            (name, value, bare)
        })
        .collect();
    let fields: Vec<_> = texts
        .iter()
        .map(|(name, value, json)| host::LogField {
            name: RStr::from_str(name),
            value: RStr::from_str(value),
            json: *json,
        })
        .collect();
    host.log()(&host::LogRecord {
        level: record.level,
        job: record.job,
        target: RStr::from_str(&target),
        file: RStr::from_str(&file),
        line: record.line,
        message: RStr::from_str(&message),
        fields: RSlice::from_slice(&fields),
    });
}

fn is_number_or_boolean(value: &str) -> bool {
    match serde_json::from_str(value) {
        Ok(serde_json::Value::Number(_) | serde_json::Value::Bool(_)) => value.trim() == value,
        _ => false,
    }
}

unsafe extern "C" fn metric(definition: *const MetricDefinition) -> u64 {
    // SAFETY: the header's promise: a definition is readable for the call, or null.
    let Some(definition) = (unsafe { definition.as_ref() }) else {
        return NO_METRIC;
    };
    let Some(metric) = HOST.get().and_then(|host| host.metric()) else {
        return NO_METRIC;
    };
    // SAFETY: the header's promise on texts and lists.
    let (plugin, name, help, labels, bounds) = unsafe {
        (
            borrowed(definition.plugin),
            borrowed(definition.name),
            borrowed(definition.help),
            list(definition.labels, definition.label_count),
            list(definition.bounds, definition.bound_count),
        )
    };
    let texts: Vec<_> = labels
        .iter()
        // SAFETY: as above.
        .map(|MetricLabel { name, value }| unsafe { (borrowed(*name), borrowed(*value)) })
        .collect();
    let labels: Vec<_> = texts
        .iter()
        .map(|(name, value)| host::MetricLabel {
            name: RStr::from_str(name),
            value: RStr::from_str(value),
        })
        .collect();
    metric(&host::MetricDefinition {
        kind: MetricKind(definition.kind),
        plugin: RStr::from_str(&plugin),
        name: RStr::from_str(&name),
        help: RStr::from_str(&help),
        labels: RSlice::from_slice(&labels),
        bounds: RSlice::from_slice(bounds),
    })
}

extern "C" fn record(metric: u64, value: f64) {
    if let Some(record) = HOST.get().and_then(|host| host.record()) {
        record(metric, value);
    }
}
