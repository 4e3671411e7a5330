//! From an author's handler to the one that the wire layer wants.
//!
//! Everything that a host calls goes through here: the decoding of configuration and payload, the guard against
//! panics, and the translation of answers.

use std::{marker::PhantomData, time::Duration};

use asynccall_abi::{
    abi_stable::{
        sabi_trait::TD_Opaque,
        std_types::{RResult, RStr, RString},
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
    error::{Error, millis},
    export::{Entry, Export},
    handler::{Handler, Payload},
    host::{self, Configured},
    job::Job,
    panics::guard,
    schemas::Schemas,
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
    /// How often the handler wants to tick.
    fn tick_every(&self) -> Option<Duration>;
    /// Has the handler do what is due.
    ///
    /// # Errors
    ///
    /// The handler's own.
    fn tick(&self) -> Result<()>;
    /// Has the handler say goodbye.
    ///
    /// # Errors
    ///
    /// What keeps it from running at all.
    fn shutdown(&self) -> Result<()>;
    /// The schemas of configuration and payload.
    fn schemas() -> Schemas;
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

    fn tick_every(&self) -> Option<Duration> {
        Handler::tick_every(self)
    }

    fn tick(&self) -> Result<()> {
        Handler::tick(self)
    }

    fn shutdown(&self) -> Result<()> {
        Handler::shutdown(self);
        Ok(())
    }

    fn schemas() -> Schemas {
        H::schemas()
    }
}

/// A handler behind the guard.
struct Adapter<K, H: Run<K>> {
    /// `None` only while the adapter is dropped: that runs the author's code, which may panic.
    handler: Option<H>,
    configured: &'static Configured,
    kind: PhantomData<fn() -> K>,
}

impl<K, H: Run<K>> Adapter<K, H> {
    /// Calls the handler behind the guard, on behalf of a job or of none (0).
    fn call<T>(&self, job: u64, call: impl FnOnce(&H) -> Result<T>) -> Result<T> {
        let Some(handler) = &self.handler else {
            return Err(Error::failed("the handler is gone"));
        };
        guard(job, || self.configured.during(|| call(handler)))
            .unwrap_or_else(|panic| Err(Error::exception(panic)))
    }

    /// A call that nobody waits for the answer of: what goes wrong is logged.
    fn call_and_log(&self, doing: &str, call: impl FnOnce(&H) -> Result<()>) {
        if let Err(error) = self.call(0, call) {
            host::error(&format!(
                "{doing} of handler `{}`: {error}",
                self.configured.handler()
            ));
        }
    }
}

impl<K, H: Run<K>> RawHandler for Adapter<K, H> {
    fn execute(&self, job: RawJobRef<'_>) -> Outcome {
        let job = Job::new(job);
        match self.call(job.id(), |handler| handler.run(&job)) {
            Ok(done) => Outcome {
                result: done.into_json().into(),
                ..Outcome::done()
            },
            Err(error) => error.into(),
        }
    }

    fn self_check(&self) -> RResult<(), CreateError> {
        self.call(0, Run::check).map_err(Error::into_refusal).into()
    }

    fn tick_every_ms(&self) -> u64 {
        let every = self.call(0, |handler| Ok(handler.tick_every()));
        let wanted = every.unwrap_or_else(|error| {
            host::error(&format!(
                "tick_every of handler `{}`, which gets no ticks: {error}",
                self.configured.handler()
            ));
            None
        });
        // No time at all is no wish for none.
        wanted.map_or(0, |every| millis(every).max(1))
    }

    fn tick(&self) {
        self.call_and_log("tick", Run::tick);
    }

    fn shutdown(&self) {
        self.call_and_log("shutdown", Run::shutdown);
    }
}

impl<K, H: Run<K>> Drop for Adapter<K, H> {
    fn drop(&mut self) {
        if let Some(handler) = self.handler.take()
            && let Err(panic) = guard(0, || self.configured.during(|| handler.retire()))
        {
            host::error(&panic);
        }
    }
}

/// Makes the handler of that name from its configuration, a JSON document.
pub(crate) fn make<K: 'static, H: Run<K>>(
    name: &str,
    config: &str,
) -> std::result::Result<RawHandlerBox, CreateError> {
    // No configuration at all is an empty one.
    let config = if config.trim().is_empty() { "{}" } else { config };
    let decoded =
        decode::from_slice(config.as_bytes()).map_err(|said| refused(CreateFailure::CONFIG, said))?;
    let configured = Configured::new(name, config);
    let handler = configured
        .during(|| H::make(decoded))
        .map_err(|error| refused(CreateFailure::FAILED, error.into_message()))?;
    let adapter = Adapter {
        handler: Some(handler),
        configured,
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
        host::connect(host, E::PLUGIN, host::Place::Plugin);
        let Some(entry) = entry_of::<E>(name.as_str()) else {
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
        (entry.make)(entry.name, config.as_str())
    });
    created
        .unwrap_or_else(|panic| Err(refused(CreateFailure::PANIC, panic)))
        .into()
}

/// The plugin's answer to [`asynccall_abi::plugin::Plugin::describe`].
pub(crate) extern "C" fn describe<E: Export>(name: RStr<'_>) -> RString {
    let described = guard(0, || {
        entry_of::<E>(name.as_str()).map(|entry| (entry.schemas)().into_json())
    });
    // What a panic says is no document, so every host refuses it, with these words.
    described.unwrap_or_else(Some).unwrap_or_default().into()
}

fn entry_of<E: Export>(name: &str) -> Option<&'static Entry> {
    E::HANDLERS.iter().find(|entry| entry.name == name)
}

impl Error {
    fn into_message(self) -> String {
        Outcome::from(self).message.into()
    }

    /// Why a self-check failed.
    fn into_refusal(self) -> CreateError {
        let outcome = Outcome::from(self);
        let failure = match outcome.verdict {
            Verdict::EXCEPTION => CreateFailure::PANIC,
            _ => CreateFailure::FAILED,
        };
        CreateError {
            failure,
            message: outcome.message,
        }
    }
}
