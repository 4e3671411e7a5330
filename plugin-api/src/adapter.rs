//! From an author's handler to the one that the wire layer wants.
//!
//! Everything that a host calls goes through here: the decoding of configuration and payload, the guard against
//! panics, and the translation of answers.

use std::marker::PhantomData;

use asynccall_abi::{
    abi_stable::{
        sabi_trait::TD_Opaque,
        std_types::{RResult, RStr},
    },
    handler::{RawHandler, RawHandler_TO, RawHandlerBox},
    host::HostApiRef,
    job::RawJobRef,
    outcome::{Outcome, Verdict},
    plugin::{CreateError, CreateFailure},
};
use serde::de::DeserializeOwned;

use crate::{
    decode,
    done::Result,
    error::Error,
    export::Export,
    handler::{Handler, Payload},
    host,
    job::Job,
    panics::guard,
};

/// Marks the [`Run`] of a [`Handler`].
pub struct Blocking;

/// What a [`Handler`] and an `AsyncHandler` have in common. The marker `K` keeps the two implementations apart;
/// the compiler infers it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "implement `plugin_api::Handler`, or `plugin_api::AsyncHandler` with the feature `tokio`"
)]
pub trait Run<K>: Sized + Send + Sync + 'static {
    /// The handler's configuration.
    type Config: DeserializeOwned;
    /// The handler's description.
    const DESCRIPTION: &'static str;
    /// Makes the handler.
    ///
    /// # Errors
    ///
    /// The handler's own.
    fn make(config: Self::Config) -> Result<Self>;
    /// Has the handler look whether it can work.
    ///
    /// # Errors
    ///
    /// The handler's own.
    fn check(&self) -> Result<()>;
    /// Decodes the payload and runs the job.
    ///
    /// # Errors
    ///
    /// The handler's own, and those of decoding.
    fn run(&self, job: &Job<'_>) -> Result;
    /// Drops the handler.
    fn retire(self) {}
}

impl<H: Handler> Run<Blocking> for H {
    type Config = H::Config;
    const DESCRIPTION: &'static str = H::DESCRIPTION;

    fn make(config: Self::Config) -> Result<Self> {
        H::new(config)
    }

    fn check(&self) -> Result<()> {
        self.self_check()
    }

    fn run(&self, job: &Job<'_>) -> Result {
        let payload = H::Payload::decode(job)?;
        self.execute(job, payload)
    }
}

/// A handler behind the guard.
struct Adapter<K, H: Run<K>> {
    /// `None` only while the adapter is dropped: that runs the author's code, which may panic.
    handler: Option<H>,
    kind: PhantomData<fn() -> K>,
}

impl<K, H: Run<K>> RawHandler for Adapter<K, H> {
    fn execute(&self, job: RawJobRef<'_>) -> Outcome {
        let job = Job::new(job);
        let Some(handler) = &self.handler else {
            return Outcome::new(Verdict::FAILED, "the handler is gone");
        };
        match guard(job.id(), || handler.run(&job)) {
            Ok(Ok(done)) => Outcome {
                result: done.into_json().into(),
                ..Outcome::done()
            },
            Ok(Err(error)) => error.into(),
            Err(panic) => Outcome::new(Verdict::EXCEPTION, panic),
        }
    }

    fn self_check(&self) -> RResult<(), CreateError> {
        let Some(handler) = &self.handler else {
            return RResult::RErr(refused(CreateFailure::FAILED, "the handler is gone".to_owned()));
        };
        match guard(0, || handler.check()) {
            Ok(checked) => checked
                .map_err(|error| refused(CreateFailure::FAILED, error.into_message()))
                .into(),
            Err(panic) => RResult::RErr(refused(CreateFailure::PANIC, panic)),
        }
    }
}

impl<K, H: Run<K>> Drop for Adapter<K, H> {
    fn drop(&mut self) {
        if let Some(handler) = self.handler.take()
            && let Err(panic) = guard(0, || handler.retire())
        {
            host::error(&panic);
        }
    }
}

/// Makes a handler from its configuration, a JSON document.
pub(crate) fn make<K: 'static, H: Run<K>>(config: &str) -> std::result::Result<RawHandlerBox, CreateError> {
    // No configuration at all is an empty one.
    let config = if config.trim().is_empty() { "{}" } else { config };
    let config =
        decode::from_slice(config.as_bytes()).map_err(|said| refused(CreateFailure::CONFIG, said))?;
    let handler = H::make(config).map_err(|error| refused(CreateFailure::FAILED, error.into_message()))?;
    let adapter = Adapter {
        handler: Some(handler),
        kind: PhantomData,
    };
    Ok(RawHandler_TO::from_value(adapter, TD_Opaque))
}

fn refused(failure: CreateFailure, message: String) -> CreateError {
    CreateError {
        failure,
        message: message.into(),
    }
}

/// The plugin's answer to [`asynccall_abi::plugin::Plugin::create`].
pub(crate) extern "C" fn create<E: Export>(
    host: HostApiRef,
    name: RStr<'_>,
    config: RStr<'_>,
) -> RResult<RawHandlerBox, CreateError> {
    let created = guard(0, || {
        host::connect(host, host::Place::Plugin);
        let Some(entry) = E::HANDLERS.iter().find(|entry| entry.name == name.as_str()) else {
            let known: Vec<_> = E::HANDLERS
                .iter()
                .map(|entry| format!("`{}`", entry.name))
                .collect();
            let said = format!(
                "no handler is called `{name}`, the plugin has {}",
                known.join(", ")
            );
            return Err(refused(CreateFailure::UNKNOWN_HANDLER, said));
        };
        (entry.make)(config.as_str())
    });
    created
        .unwrap_or_else(|panic| Err(refused(CreateFailure::PANIC, panic)))
        .into()
}

impl Error {
    fn into_message(self) -> String {
        Outcome::from(self).message.into()
    }
}
