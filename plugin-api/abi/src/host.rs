//! What a host offers to a plugin for as long as the process lives.
#![allow(
    missing_docs,
    reason = "StableAbi generates undocumented items beside the struct"
)]

use abi_stable::{
    StableAbi,
    std_types::{RSlice, RStr},
};

/// Severity of a [`LogRecord`]: 1 error, 2 warn, 3 info, 4 debug, 5 trace. Other values read as trace.
pub type Level = u8;

/// One `name = value` of a [`LogRecord`]. Frozen: no field is ever added.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct LogField<'a> {
    /// The field's name.
    pub name: RStr<'a>,
    /// The value as text; where `json` is set, a JSON number or boolean.
    pub value: RStr<'a>,
    /// Whether `value` can stand in a JSON document without quotes.
    pub json: bool,
}

/// One log event of a plugin. Frozen: no field is ever added; what else there is to say goes into `fields`.
///
/// All of it is borrowed for the call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct LogRecord<'a> {
    /// Severity.
    pub level: Level,
    /// Id of the job that the event belongs to; 0: the one that runs on this thread, if any.
    pub job: u64,
    /// Module path, or the target that the author named.
    pub target: RStr<'a>,
    /// Source file; empty where unknown.
    pub file: RStr<'a>,
    /// Line in `file`; 0 where unknown.
    pub line: u32,
    /// The message.
    pub message: RStr<'a>,
    /// The event's own fields, behind those of the spans that it happened in (outermost first).
    pub fields: RSlice<'a, LogField<'a>>,
}

/// What a metric counts. An integer for the same reason as [`crate::outcome::Verdict`].
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetricKind(pub u8);

impl MetricKind {
    /// A sum that only grows; what is recorded is added.
    pub const COUNTER: MetricKind = MetricKind(0);
    /// A value that goes up and down; what is recorded takes its place.
    pub const GAUGE: MetricKind = MetricKind(1);
    /// How many of the recorded values were not above each of [`MetricDefinition::bounds`], and their sum.
    pub const HISTOGRAM: MetricKind = MetricKind(2);
}

/// One `name = value` that tells metrics of the same name apart. Frozen: no field is ever added.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct MetricLabel<'a> {
    /// The label's name.
    pub name: RStr<'a>,
    /// The label's value.
    pub value: RStr<'a>,
}

/// What a metric is. Frozen: no field is ever added. All of it is borrowed for the call.
///
/// Names of metrics and labels are those of Prometheus: letters, digits and `_`, no digit first.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct MetricDefinition<'a> {
    /// What it counts.
    pub kind: MetricKind,
    /// The package name of the plugin that it belongs to.
    pub plugin: RStr<'a>,
    /// The metric's name within the plugin.
    pub name: RStr<'a>,
    /// What it is, in one line; empty where there is nothing to say.
    pub help: RStr<'a>,
    /// What tells it apart from others of its name.
    pub labels: RSlice<'a, MetricLabel<'a>>,
    /// Upper bounds of a histogram's buckets, finite and ascending; the last bucket has none. Empty for other kinds.
    pub bounds: RSlice<'a, f64>,
}

/// [`HostApi::metric`]: the host does not keep it.
pub const NO_METRIC: u64 = 0;

/// The host's functions. A later minor adds fields behind the last one; they read as absent in older hosts.
///
/// There is one host in a process, for all plugins and for ever. Its functions may be called from any
/// thread, and none of them unwinds.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostApiRef)))]
#[sabi(missing_field(option))]
pub struct HostApi {
    /// The host's version, such as `0.1.0`.
    pub version: extern "C" fn() -> RStr<'static>,
    /// Whether an event of this level and target would be kept. Constant for the life of the process.
    pub log_enabled: extern "C" fn(level: Level, target: RStr<'_>) -> bool,
    /// Writes one event.
    #[sabi(last_prefix_field)]
    pub log: extern "C" fn(record: &LogRecord<'_>),
    /// Makes a metric known. Answers what it is called in [`HostApi::record`] for the life of the process, the same
    /// for the same name and labels; [`NO_METRIC`] where the host refuses it, which it says in its log. Since abi 1.2.
    pub metric: extern "C" fn(definition: &MetricDefinition<'_>) -> u64,
    /// Records one value of a metric. Cheap: nothing is allocated and nobody is waited for. Values that are not finite,
    /// negative ones of counters and those of [`NO_METRIC`] are dropped. Since abi 1.2.
    pub record: extern "C" fn(metric: u64, value: f64),
}
