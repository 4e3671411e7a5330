//! Forwards `tracing` events of the plugin to the host's log.
//!
//! The library has a `tracing` of its own, so nothing reaches the host without this. Whether a callsite is wanted is
//! asked once and cached by `tracing`: an event of a level that the host drops costs one load.

use std::{cell::Cell, fmt, fmt::Write, ops::Range};

use asynccall_abi::{
    abi_stable::std_types::{RSlice, RStr},
    host::{HostApiRef, LogField, LogRecord},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::{Interest, set_global_default},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::{LookupSpan, SpanRef},
};

use crate::{error, panics};

/// A larger buffer is not kept for the thread's next event, in bytes.
const KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Fields> = const { Cell::new(Fields::new()) };
}

/// Makes the bridge the plugin's subscriber. To be called once.
pub(crate) fn install(host: HostApiRef) {
    if set_global_default(Registry::default().with(Bridge { host })).is_err() {
        let message =
            "the plugin has set a tracing subscriber of its own: its events do not reach the host's log";
        log(host, Level::WARN, module_path!(), message, &[]);
    }
}

/// Writes one event past `tracing`. Fields without a value are left out.
pub(crate) fn log(
    host: HostApiRef,
    level: Level,
    target: &str,
    message: &str,
    fields: &[(&str, Option<&str>)],
) {
    let present = fields.iter().filter_map(|&(name, value)| {
        let value = RStr::from_str(value?);
        Some(LogField {
            name: RStr::from_str(name),
            value,
            json: false,
        })
    });
    let fields: Vec<_> = present.collect();
    host.log()(&LogRecord {
        level: number(level),
        job: job_here(),
        target: RStr::from_str(target),
        file: RStr::from_str(""),
        line: 0,
        message: RStr::from_str(message),
        fields: RSlice::from_slice(&fields),
    });
}

/// The job that this thread runs, else the one that its current span belongs to; 0 for none.
fn job_here() -> u64 {
    let own = panics::job();
    if own != 0 {
        return own;
    }
    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let span = registry.span(tracing::Subscriber::current_span(registry).id()?)?;
        let extensions = span.extensions();
        extensions.get::<Opened>().map(|opened| opened.job)
    })
    .unwrap_or(0)
}

/// As the wire layer counts: 1 error to 5 trace.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// What is kept with a span.
struct Opened {
    /// The job that the span was opened under, on its thread or inside a span of the job; 0 for none.
    job: u64,
    fields: Fields,
}

struct Bridge {
    host: HostApiRef,
}

impl Bridge {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        self.host.log_enabled()(number(*metadata.level()), RStr::from_str(metadata.target()))
    }
}

// There is no `max_level_hint`: the host answers per target, and no level stands for all targets.
impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Bridge {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut job = panics::job();
        if job == 0 {
            job = span.parent().map_or(0, |parent| job_of(&parent));
        }
        let mut fields = Fields::new();
        attributes.record(&mut fields);
        span.extensions_mut().insert(Opened { job, fields });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::new();
        values.record(&mut fields);
        if let Some(opened) = span.extensions_mut().get_mut::<Opened>() {
            let known = &mut opened.fields;
            known
                .list
                .retain(|old| fields.list.iter().all(|new| new.name != old.name));
            known.append(&fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        // A field's own `Debug` may log: it then finds an empty buffer.
        let mut fields = BUFFER.try_with(Cell::take).unwrap_or_default();
        let own = panics::job();
        let mut job = own;
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(opened) = span.extensions().get::<Opened>() {
                    fields.append(&opened.fields);
                    if own == 0 && opened.job != 0 {
                        job = opened.job;
                    }
                }
            }
        }
        event.record(&mut fields);
        fields.send(self.host, job, event.metadata());
        if fields.text.capacity() <= KEPT {
            fields.clear();
            // Without a place for it, the thread is about to end.
            let _ = BUFFER.try_with(|buffer| buffer.set(fields));
        }
    }
}

fn job_of<S: for<'a> LookupSpan<'a>>(span: &SpanRef<'_, S>) -> u64 {
    span.extensions().get::<Opened>().map_or(0, |opened| opened.job)
}

/// Fields as text, all in one buffer.
#[derive(Default)]
struct Fields {
    text: String,
    message: Range<usize>,
    list: Vec<Value>,
}

/// One field.
struct Value {
    name: &'static str,
    text: Range<usize>,
    json: bool,
}

impl Fields {
    const fn new() -> Self {
        Fields {
            text: String::new(),
            message: 0..0,
            list: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.message = 0..0;
        self.list.clear();
    }

    fn append(&mut self, other: &Fields) {
        let start = self.text.len();
        self.text.push_str(&other.text);
        self.list.extend(other.list.iter().map(|value| Value {
            text: start + value.text.start..start + value.text.end,
            ..*value
        }));
    }

    fn push(&mut self, field: &Field, json: bool, value: fmt::Arguments<'_>) {
        let start = self.text.len();
        // Only an author's `Display` or `Debug` can fail here; what it wrote until then is shown.
        let _ = self.text.write_fmt(value);
        let text = start..self.text.len();
        if field.name() == "message" {
            self.message = text;
            return;
        }
        self.list.push(Value {
            name: field.name(),
            text,
            json,
        });
    }

    fn slice(&self, range: &Range<usize>) -> RStr<'_> {
        RStr::from_str(self.text.get(range.clone()).unwrap_or_default())
    }

    fn send(&self, host: HostApiRef, job: u64, metadata: &Metadata<'_>) {
        let fields: Vec<_> = self
            .list
            .iter()
            .map(|value| LogField {
                name: RStr::from_str(value.name),
                value: self.slice(&value.text),
                json: value.json,
            })
            .collect();
        host.log()(&LogRecord {
            level: number(*metadata.level()),
            job,
            target: RStr::from_str(metadata.target()),
            file: RStr::from_str(metadata.file().unwrap_or_default()),
            line: metadata.line().unwrap_or(0),
            message: self.slice(&self.message),
            fields: RSlice::from_slice(&fields),
        });
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity and no NaN.
        self.push(field, value.is_finite(), format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, true, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, true, format_args!("{value}"));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.push(field, true, format_args!("{value}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.push(field, true, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, true, format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, false, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.push(field, false, format_args!("{}", error::chain(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, false, format_args!("{value:?}"));
    }
}
