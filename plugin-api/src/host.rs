//! The host that this library runs in, and what it was told of its handlers.
//!
//! Authors read from here which host it is and which of the plugin's handlers a call belongs to.
//!
//! ```
//! use plugin_api::{host, prelude::*};
//!
//! struct Report { of: String }
//!
//! impl Handler for Report {
//!     type Config = ();
//!     type Payload = RawBody;
//!     fn new((): ()) -> Result<Self> {
//!         let of = host::configured().map_or("", |configured| configured.handler()).to_owned();
//!         info!(host = host::version(), "made {of}");
//!         Ok(Report { of })
//!     }
//!     fn execute(&self, _: &Job, _: RawBody) -> Result { Ok(json!(self.of).into()) }
//! }
//!
//! export_plugin!("daily" => Report, "weekly" => Report);
//! # fn main() {}
//! ```

use std::{cell::Cell, sync::OnceLock};

use asynccall_abi::host::HostApiRef;

use crate::{
    bridge,
    panics::{self, Unguarded},
};

static CONNECTION: OnceLock<Connection> = OnceLock::new();

thread_local! {
    static CONFIGURED: Cell<Option<&'static Configured>> = const { Cell::new(None) };
}

/// Where the library runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a worker, as a plugin.
    Plugin,
    /// In the author's tests.
    Test,
}

/// The host, once per process.
#[derive(Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) api: HostApiRef,
    /// The plugin's package name.
    pub(crate) plugin: &'static str,
}

/// Remembers the host, and sends it the plugin's log events and panics. Only the first call does something.
pub(crate) fn connect(api: HostApiRef, plugin: &'static str, place: Place) {
    CONNECTION.get_or_init(|| {
        let unguarded = match place {
            Place::Plugin => Unguarded::Log,
            Place::Test => Unguarded::Previous,
        };
        panics::install_hook(api, unguarded);
        bridge::install(api);
        Connection { api, plugin }
    });
}

/// The host, if there is one yet.
pub(crate) fn connection() -> Option<Connection> {
    CONNECTION.get().copied()
}

/// The target of what this library logs itself.
pub(crate) const LOG_TARGET: &str = module_path!();

/// Writes an error to the host's log, if there is a host.
pub(crate) fn error(message: &str) {
    if let Some(host) = connection() {
        bridge::log(host.api, tracing::Level::ERROR, LOG_TARGET, message, &[]);
    }
}

/// The host's version, such as `0.1.0`. `None` before the first handler is made.
#[must_use]
pub fn version() -> Option<&'static str> {
    connection().map(|host| host.api.version()().as_str())
}

/// The handler whose code this thread runs, from its `new` to its drop. `None` on threads that handlers start.
#[must_use]
pub fn configured() -> Option<&'static Configured> {
    CONFIGURED.get()
}

/// One handler of the plugin as the operator has configured it.
#[derive(Debug)]
pub struct Configured {
    handler: String,
    config: String,
}

impl Configured {
    /// A handler that lives until the process ends, as the host keeps each that it makes.
    pub(crate) fn new(handler: &str, config: &str) -> &'static Configured {
        Box::leak(Box::new(Configured {
            handler: handler.to_owned(),
            config: config.to_owned(),
        }))
    }

    /// Runs code of the handler.
    pub(crate) fn during<T>(&'static self, call: impl FnOnce() -> T) -> T {
        /// Takes it back also where the call panics.
        struct Before(Option<&'static Configured>);
        impl Drop for Before {
            fn drop(&mut self) {
                CONFIGURED.set(self.0);
            }
        }
        let _before = Before(CONFIGURED.replace(Some(self)));
        call()
    }

    /// The name that the plugin exports it under.
    #[must_use]
    pub fn handler(&self) -> &str {
        &self.handler
    }

    /// Its section of the host's configuration, `[handler.NAME]`, as a JSON document; `{}` where there is none.
    ///
    /// What [`Handler::Config`](crate::Handler::Config) is made of: for code that stands apart from the handler's type.
    #[must_use]
    pub fn config(&self) -> &str {
        &self.config
    }
}
