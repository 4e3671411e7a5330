//! A handler in the process of whoever calls it: what `forceSync` runs instead of putting a job.
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
    job::{RawJob, RawJob_TO, UNKNOWN},
    outcome::Verdict,
};
use asynccall_client::producer::{LocalFailure, LocalFailureKind};
use serde_json::Value;

use crate::{
    plugin::{
        PluginError, PluginErrors,
        library::Handler,
        registry::{self, Request},
        view::LazyView,
    },
    worker::host_api::host_api,
};

/// A handler that was loaded into this process, for messages of one tube.
#[derive(Debug)]
pub struct Runner {
    handler: Handler,
    tube: String,
}

/// Why no handler could be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The plugins cannot be used.
    Plugins(PluginErrors),
    /// The handler cannot be chosen, made, or does not pass its own check.
    Handler(PluginError),
}

impl Runner {
    /// Loads plugins and makes a handler of theirs: the one that is named, or the only one. `config` answers with
    /// the configuration of the handler of that name. Messages will be said to be of `tube`.
    ///
    /// What is loaded stays for the life of the process, also where this fails half way.
    ///
    /// # Errors
    /// Anything for which a worker would not start.
    pub fn load(
        plugins: &Request,
        handler: Option<&str>,
        config: impl FnOnce(&str) -> Value,
        tube: &str,
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
        let registry = registry::open(copies, host_api()).map_err(LoadError::Plugins)?;
        let handler = registry
            .create(&name, &config(&name))
            .map_err(LoadError::Handler)?;
        handler.self_check().map_err(LoadError::Handler)?;
        let tube = tube.to_owned();
        Ok(Runner { handler, tube })
    }

    /// Runs the handler on a message, to its end; its result is a JSON document, empty where it has none.
    ///
    /// # Errors
    /// Any other ending than done. Nothing is tried again.
    pub fn run(&self, body: &[u8]) -> Result<Vec<u8>, LocalFailure> {
        let job = LocalJob {
            body,
            tube: &self.tube,
            view: LazyView::of(body),
        };
        let outcome = self
            .handler
            .execute(RawJob_TO::from_ptr(RRef::new(&job), TD_Opaque));
        let kind = match outcome.verdict {
            Verdict::DONE => return Ok(outcome.result.into()),
            Verdict::FAILED => LocalFailureKind::Failed,
            Verdict::EXCEPTION => LocalFailureKind::Exception,
            Verdict::BURY => LocalFailureKind::Bury,
            // Verdicts of later minors read as a wish for another try.
            _ => LocalFailureKind::Retry,
        };
        Err(LocalFailure {
            kind,
            message: outcome.message.into(),
        })
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
    tube: &'a str,
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
        self.tube.into()
    }

    fn attempt(&self) -> u32 {
        1
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
}
