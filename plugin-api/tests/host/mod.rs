//! The smallest host: it takes a plugin from its descriptor, lends it jobs, and keeps what it logs.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::{Mutex, OnceLock, PoisonError};

use asynccall_abi::{
    abi_stable::{
        prefix_type::PrefixTypeTrait,
        sabi_trait::TD_Opaque,
        sabi_types::RRef,
        std_types::{RResult, RSlice, RStr, RString},
    },
    descriptor::Descriptor,
    handler::RawHandlerBox,
    host::{HostApi, HostApiRef, LogRecord, MetricDefinition, NO_METRIC},
    job::{RawJob, RawJob_TO},
    load::{Identity, Root, identify, root},
    outcome::Outcome,
    plugin::CreateError,
};

/// The most verbose level that this host keeps: debug.
const VERBOSITY: u8 = 4;

/// A library that was accepted.
pub(crate) struct Plugin {
    pub(crate) identity: Identity<'static>,
    root: Root,
}

impl Plugin {
    /// Takes a plugin from its descriptor.
    ///
    /// # Safety
    ///
    /// `descriptor` is what a plugin exports under that name, in a library that is never unloaded.
    pub(crate) unsafe fn accept(descriptor: *const Descriptor) -> Self {
        // SAFETY: the caller says that it is a plugin's descriptor and that its library stays.
        let identity = unsafe { identify(descriptor) }.expect("the descriptor fits this host");
        // SAFETY: `identify` accepted the descriptor, and its library stays.
        let root = unsafe { root(descriptor) }.expect("the layouts are equal");
        Plugin { identity, root }
    }

    pub(crate) fn create(&self, handler: &str, config: &str) -> Result<RawHandlerBox, CreateError> {
        self.root.create(api(), handler, config).into()
    }
}

/// A job with this body, which is its own JSON view.
pub(crate) struct TestJob<'a> {
    pub(crate) id: u64,
    pub(crate) body: &'a [u8],
    /// Called when the handler asks for the JSON view.
    pub(crate) on_json: &'a (dyn Fn() + Sync),
}

impl<'a> TestJob<'a> {
    pub(crate) fn new(id: u64, body: &'a [u8]) -> Self {
        TestJob {
            id,
            body,
            on_json: &|| {},
        }
    }

    pub(crate) fn run(&self, handler: &RawHandlerBox) -> Outcome {
        handler.execute(RawJob_TO::from_ptr(RRef::new(self), TD_Opaque))
    }
}

impl RawJob for TestJob<'_> {
    fn id(&self) -> u64 {
        self.id
    }

    fn body(&self) -> RSlice<'_, u8> {
        self.body.into()
    }

    fn json(&self) -> RResult<RSlice<'_, u8>, RString> {
        (self.on_json)();
        if self.body.is_empty() {
            RResult::RErr("the body is empty".into())
        } else {
            RResult::ROk(self.body.into())
        }
    }

    fn tube(&self) -> RStr<'_> {
        "tube".into()
    }

    fn attempt(&self) -> u32 {
        1
    }

    fn remaining_ms(&self) -> u64 {
        1000
    }

    fn age_ms(&self) -> u64 {
        0
    }

    fn priority(&self) -> u64 {
        0
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn touch(&self) -> bool {
        true
    }
}

/// A log event as the host got it.
#[derive(Clone, Debug)]
pub(crate) struct Logged {
    pub(crate) level: u8,
    pub(crate) job: u64,
    pub(crate) target: String,
    pub(crate) file: String,
    pub(crate) message: String,
    /// Name, value, and whether the value is JSON.
    pub(crate) fields: Vec<(String, String, bool)>,
}

static LOGGED: Mutex<Vec<Logged>> = Mutex::new(Vec::new());

/// What has been logged so far, of one job (0: of none).
pub(crate) fn logged(job: u64) -> Vec<Logged> {
    let logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    logged.iter().filter(|event| event.job == job).cloned().collect()
}

fn api() -> HostApiRef {
    static API: OnceLock<HostApiRef> = OnceLock::new();
    *API.get_or_init(|| {
        HostApi {
            version,
            log_enabled,
            log,
            metric,
            record,
        }
        .leak_into_prefix()
    })
}

extern "C" fn version() -> RStr<'static> {
    "0.0.0".into()
}

extern "C" fn log_enabled(level: u8, _: RStr<'_>) -> bool {
    level <= VERBOSITY
}

#[allow(
    clippy::print_stderr,
    reason = "a plugin's panic hook logs the panics of this binary, failed assertions among them"
)]
extern "C" fn log(record: &LogRecord<'_>) {
    let fields = record.fields.iter();
    let event = Logged {
        level: record.level,
        job: record.job,
        target: record.target.into(),
        file: record.file.into(),
        message: record.message.into(),
        fields: fields
            .map(|field| (field.name.into(), field.value.into(), field.json))
            .collect(),
    };
    eprintln!("{event:?}");
    LOGGED.lock().unwrap_or_else(PoisonError::into_inner).push(event);
}

/// Keeps none.
extern "C" fn metric(_: &MetricDefinition<'_>) -> u64 {
    NO_METRIC
}

extern "C" fn record(_: u64, _: f64) {}
