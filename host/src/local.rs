//! A handler in the process of whoever calls it: what `forceSync` runs instead of putting a job, and what the child of a
//! [`crate::trial`] runs.
//!
//! The same plugin files, vetted and copied as for a worker, and the same handler; but no queue, no retry, no limit on
//! the time, and no process of its own: a handler that takes its process down takes the caller's.

use std::{fmt, mem};

use asynccall_abi::{
    abi_stable::{
        erased_types::TD_Opaque,
        sabi_types::RRef,
        std_types::{RResult, RSlice, RStr, RString},
    },
    job::{NewJob, PutError, PutFailure, RawJob, RawJob_TO, UNKNOWN},
    outcome::{Outcome, Reading},
};
use asynccall_client::producer::{LocalFailure, LocalFailureKind};
use serde_json::Value;

use crate::{
    exit::Exit,
    plugin::{
        PluginError, PluginErrors, StagedRef,
        description::Description,
        library::Handler,
        registry::{self, Request},
        view::LazyView,
    },
    worker::host_api::host_api,
};

/// A handler that was loaded into this process.
#[derive(Debug)]
pub struct Runner {
    handler: Handler,
}

/// Where a message is said to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its tube.
    pub tube: String,
    /// Which attempt it is, from 1.
    pub attempt: u32,
}

/// What a [`Runner`] has behind it on its way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The plugins are loaded.
    Loaded,
    /// The configuration fits its schema.
    Fitted {
        /// Whether there is one.
        schema: bool,
    },
    /// The handler is made.
    Created,
    /// The handler has checked itself.
    Checked,
}

/// Why no handler could be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The plugins cannot be used.
    Plugins(PluginErrors),
    /// The handler cannot be chosen, made, or does not pass its own check.
    Handler(PluginError),
}

/// Loads staged plugins and asks what they say of a handler, which is not made.
///
/// The copies' descriptors stay open for the life of the process, and so does what is loaded.
///
/// # Errors
/// The plugins cannot be loaded, or what they say is of no use.
pub fn describe(
    copies: Vec<StagedRef>,
    handler: &str,
    mut reached: impl FnMut(Step),
) -> Result<Description, LoadError> {
    let registry = registry::open(copies, host_api()).map_err(LoadError::Plugins)?;
    reached(Step::Loaded);
    registry.describe(handler).map_err(LoadError::Handler)
}

impl Runner {
    /// Loads plugins and makes a handler of theirs: the one that is named, or the only one. `config` answers with
    /// the configuration of the handler of that name.
    ///
    /// What is loaded stays for the life of the process, also where this fails half way.
    ///
    /// # Errors
    /// Anything for which a worker would not start.
    pub fn load(
        plugins: &Request,
        handler: Option<&str>,
        config: impl FnOnce(&str) -> Value,
    ) -> Result<Runner, LoadError> {
        let catalog = registry::stage_all(plugins).map_err(LoadError::Plugins)?;
        let name = catalog
            .handlers
            .choose(handler)
            .map_err(LoadError::Handler)?
            .to_owned();
        let copies = catalog.references();
        // The copies stay open: the dynamic linker knows a library by the number of its descriptor, which must never
        // stand for another one.
        mem::forget(catalog);
        Runner::start(copies, &name, &config(&name), |_| {})
    }

    /// Loads staged plugins, makes a handler of theirs and has it check itself; `reached` hears of each step.
    ///
    /// The copies' descriptors stay open for the life of the process, and so does what is loaded.
    ///
    /// # Errors
    /// Anything for which a worker would not start.
    pub fn start(
        copies: Vec<StagedRef>,
        handler: &str,
        config: &Value,
        mut reached: impl FnMut(Step),
    ) -> Result<Runner, LoadError> {
        let registry = registry::open(copies, host_api()).map_err(LoadError::Plugins)?;
        reached(Step::Loaded);
        let schema = registry.check(handler, config).map_err(LoadError::Handler)?;
        reached(Step::Fitted { schema });
        let handler = registry.create(handler, config).map_err(LoadError::Handler)?;
        reached(Step::Created);
        handler.self_check().map_err(LoadError::Handler)?;
        reached(Step::Checked);
        Ok(Runner { handler })
    }

    /// Runs the handler on a message, to its end.
    pub fn execute(&self, body: &[u8], origin: &Origin) -> Outcome {
        let job = LocalJob {
            body,
            origin,
            view: LazyView::of(body),
        };
        self.handler
            .execute(RawJob_TO::from_ptr(RRef::new(&job), TD_Opaque))
    }

    /// The same for a first attempt; the result is a JSON document, empty where the handler has none.
    ///
    /// # Errors
    /// Any other ending than done. Nothing is tried again.
    pub fn run(&self, body: &[u8], tube: &str) -> Result<Vec<u8>, LocalFailure> {
        let origin = Origin {
            tube: tube.to_owned(),
            attempt: 1,
        };
        let outcome = self.execute(body, &origin);
        let kind = match outcome.verdict.read() {
            Reading::Done => return Ok(outcome.result.into()),
            Reading::Retry => LocalFailureKind::Retry,
            Reading::Bury => LocalFailureKind::Bury,
            Reading::Failed => LocalFailureKind::Failed,
            Reading::Exception => LocalFailureKind::Exception,
        };
        Err(LocalFailure {
            kind,
            message: outcome.message.into(),
        })
    }
}

impl LoadError {
    /// How a command ends that met it.
    pub fn exit(&self) -> Exit {
        match self {
            LoadError::Plugins(errors) => errors.exit(),
            LoadError::Handler(error) => error.exit(),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Plugins(errors) => errors.fmt(f),
            LoadError::Handler(error) => f.write_str(&error.full()),
        }
    }
}

impl std::error::Error for LoadError {}

/// A message as it is lent to a handler: a job that no queue server has.
struct LocalJob<'a> {
    body: &'a [u8],
    origin: &'a Origin,
    view: LazyView<'a>,
}

impl RawJob for LocalJob<'_> {
    fn id(&self) -> u64 {
        0
    }

    fn body(&self) -> RSlice<'_, u8> {
        self.body.into()
    }

    fn json(&self) -> RResult<RSlice<'_, u8>, RString> {
        self.view.json()
    }

    fn tube(&self) -> RStr<'_> {
        self.origin.tube.as_str().into()
    }

    fn attempt(&self) -> u32 {
        self.origin.attempt
    }

    fn remaining_ms(&self) -> u64 {
        UNKNOWN
    }

    fn age_ms(&self) -> u64 {
        0
    }

    fn priority(&self) -> u64 {
        UNKNOWN
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn touch(&self) -> bool {
        true
    }

    fn put(&self, _: NewJob<'_>) -> RResult<u64, PutError> {
        RResult::RErr(PutError {
            failure: PutFailure::UNSUPPORTED,
            message: RString::from("the handler is run without a queue server"),
        })
    }
}
