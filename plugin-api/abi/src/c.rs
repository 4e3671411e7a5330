//! Plugins of kind 2: plain C, as `include/asynccall_plugin.h` describes it to their authors.
//!
//! The structs here are that header's, field by field; a test compares the two. Those with a `size` grow at their end
//! only, and no reader believes a field that ends behind it. All others are frozen. What is C here is turned into the
//! traits of kind 1 and back: `plugin` makes a handler of a table of functions; `host`, `job` and `answer`
//! are what such a handler calls. So a host has one kind of handler.
//!
//! A plugin in C can break whatever a process can break, as one in Rust can. What is believed of it is what the header
//! says: texts that are readable for as long as they are borrowed, tables that live as long as the library, functions
//! that do not unwind and may be called from any thread.

mod answer;
mod host;
mod job;
mod plugin;
mod text;

use std::ffi::c_void;

use crate::descriptor::Text;

pub use plugin::Plugin;

/// What authors in C compile against: the text of `asynccall_plugin.h`.
pub const HEADER: &str = include_str!("../include/asynccall_plugin.h");

/// One `name = value` of a log event.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LogField {
    /// The field's name.
    pub name: Text,
    /// The value as text.
    pub value: Text,
    /// Not 0: `value` is a JSON number or boolean. A C `bool`, as the answers below: whatever byte is there.
    pub json: u8,
}

/// One log event. Frozen.
#[repr(C)]
pub struct LogRecord {
    /// Severity, as [`crate::host::Level`].
    pub level: u8,
    /// The job that it belongs to; 0: the one that runs on this thread.
    pub job: u64,
    /// Who logs.
    pub target: Text,
    /// Source file; may be empty.
    pub file: Text,
    /// Line in `file`.
    pub line: u32,
    /// The message.
    pub message: Text,
    /// First of the event's fields.
    pub fields: *const LogField,
    /// How many there are.
    pub field_count: usize,
}

/// One `name = value` of a metric. Frozen.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MetricLabel {
    /// The label's name.
    pub name: Text,
    /// The label's value.
    pub value: Text,
}

/// What a metric is. Frozen.
#[repr(C)]
pub struct MetricDefinition {
    /// As [`crate::host::MetricKind`].
    pub kind: u8,
    /// The plugin's name.
    pub plugin: Text,
    /// The metric's name within the plugin.
    pub name: Text,
    /// One line; may be empty.
    pub help: Text,
    /// First label.
    pub labels: *const MetricLabel,
    /// How many there are.
    pub label_count: usize,
    /// First bound of a histogram.
    pub bounds: *const f64,
    /// How many there are.
    pub bound_count: usize,
}

/// The host's functions.
#[repr(C)]
pub struct Host {
    /// Size of this struct in bytes.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// The host's version.
    pub version: extern "C" fn() -> Text,
    /// Whether an event would be kept.
    pub log_enabled: unsafe extern "C" fn(level: u8, target: Text) -> bool,
    /// Writes one event.
    pub log: unsafe extern "C" fn(record: *const LogRecord),
    /// Makes a metric known.
    pub metric: unsafe extern "C" fn(definition: *const MetricDefinition) -> u64,
    /// Records one value.
    pub record: extern "C" fn(metric: u64, value: f64),
}

/// A job to be put. Frozen.
#[repr(C)]
pub struct NewJob {
    /// Logical name of the tube; empty: that of the job in hand.
    pub tube: Text,
    /// The body.
    pub body: Text,
    /// As [`crate::job::NewJob::priority`].
    pub priority: i64,
    /// As [`crate::job::NewJob::delay_ms`].
    pub delay_ms: u64,
    /// As [`crate::job::NewJob::ttr_ms`].
    pub ttr_ms: u64,
}

/// What [`JobFunctions::put`] answers for a job that was put; else a [`crate::job::PutFailure`].
pub const PUT_DONE: u8 = 255;

/// The functions of a lent job.
#[repr(C)]
pub struct JobFunctions {
    /// Size of this struct in bytes.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// As [`crate::job::RawJob::id`].
    pub id: unsafe extern "C" fn(job: *const Job) -> u64,
    /// As [`crate::job::RawJob::body`].
    pub body: unsafe extern "C" fn(job: *const Job) -> Text,
    /// As [`crate::job::RawJob::json`].
    pub json: unsafe extern "C" fn(job: *const Job, json_or_reason: *mut Text) -> bool,
    /// As [`crate::job::RawJob::tube`].
    pub tube: unsafe extern "C" fn(job: *const Job) -> Text,
    /// As [`crate::job::RawJob::attempt`].
    pub attempt: unsafe extern "C" fn(job: *const Job) -> u32,
    /// As [`crate::job::RawJob::remaining_ms`].
    pub remaining_ms: unsafe extern "C" fn(job: *const Job) -> u64,
    /// As [`crate::job::RawJob::age_ms`].
    pub age_ms: unsafe extern "C" fn(job: *const Job) -> u64,
    /// As [`crate::job::RawJob::priority`].
    pub priority: unsafe extern "C" fn(job: *const Job) -> u64,
    /// As [`crate::job::RawJob::cancelled`].
    pub cancelled: unsafe extern "C" fn(job: *const Job) -> bool,
    /// As [`crate::job::RawJob::touch`].
    pub touch: unsafe extern "C" fn(job: *const Job) -> bool,
    /// As [`crate::job::RawJob::progress`].
    pub progress: unsafe extern "C" fn(job: *const Job) -> bool,
    /// As [`crate::job::RawJob::put`].
    pub put: unsafe extern "C" fn(job: *const Job, put: *const NewJob, id: *mut u64, reason: *mut Text) -> u8,
}

/// The head of a lent job, which is all that a plugin sees of it. Frozen.
#[repr(C)]
pub struct Job {
    /// What it can be asked.
    pub functions: *const JobFunctions,
}

/// The functions of an answer.
#[repr(C)]
pub struct OutcomeFunctions {
    /// Size of this struct in bytes.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Answers with the fields of [`crate::outcome::Outcome`].
    pub answer:
        unsafe extern "C" fn(outcome: *mut Outcome, verdict: u8, delay_ms: u64, priority: i64, message: Text),
    /// Adds the result.
    pub result: unsafe extern "C" fn(outcome: *mut Outcome, json: Text),
}

/// The head of an answer. Frozen.
#[repr(C)]
pub struct Outcome {
    /// How to answer.
    pub functions: *const OutcomeFunctions,
}

/// The functions of a failure.
#[repr(C)]
pub struct FailureFunctions {
    /// Size of this struct in bytes.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// Fails with a [`crate::plugin::CreateFailure`].
    pub fail: unsafe extern "C" fn(failure: *mut Failure, kind: u8, message: Text),
}

/// The head of a failure. Frozen.
#[repr(C)]
pub struct Failure {
    /// How to fail.
    pub functions: *const FailureFunctions,
}

/// The plugin's functions. A host copies as much of it as `size` announces; what is missing or null reads as `None`.
///
/// None of them may unwind. One that does all the same ends the process with SIGABRT: `C-unwind` makes it run the
/// drop that does so.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct PluginFunctions {
    /// Size of this struct in bytes, as the plugin was built.
    pub size: u32,
    /// Plugins write 0, hosts read nothing from it.
    pub reserved: u32,
    /// As [`crate::plugin::Plugin::create`].
    pub create: Option<
        unsafe extern "C-unwind" fn(
            host: *const Host,
            handler: Text,
            config: Text,
            state: *mut *mut c_void,
            failure: *mut Failure,
        ) -> u8,
    >,
    /// As [`crate::handler::RawHandler::execute`].
    pub execute:
        Option<unsafe extern "C-unwind" fn(state: *mut c_void, job: *const Job, outcome: *mut Outcome)>,
    /// Ends a handler.
    pub destroy: Option<unsafe extern "C-unwind" fn(state: *mut c_void)>,
    /// As [`crate::handler::RawHandler::self_check`].
    pub self_check: Option<unsafe extern "C-unwind" fn(state: *mut c_void, failure: *mut Failure) -> u8>,
    /// As [`crate::handler::RawHandler::tick_every_ms`].
    pub tick_every_ms: Option<unsafe extern "C-unwind" fn(state: *mut c_void) -> u64>,
    /// As [`crate::handler::RawHandler::tick`].
    pub tick: Option<unsafe extern "C-unwind" fn(state: *mut c_void)>,
    /// As [`crate::handler::RawHandler::shutdown`].
    pub shutdown: Option<unsafe extern "C-unwind" fn(state: *mut c_void)>,
    /// As [`crate::plugin::Plugin::describe`].
    pub describe: Option<unsafe extern "C-unwind" fn(handler: Text) -> Text>,
}
