//! Write job handlers for asynccall-host.
//!
//! A plugin is a `cdylib` crate that exports one or several *handlers*. The host reserves jobs from beanstalkd, lends each
//! to a handler, and settles it by the handler's answer. This is a whole plugin:
//!
//! ```
//! use plugin_api::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config { smtp: String }
//!
//! #[derive(Deserialize)]
//! struct Mail { to: String, #[serde(default)] subject: String }
//!
//! struct Mailer(Config);
//!
//! impl Handler for Mailer {
//!     type Config = Config;
//!     type Payload = Mail;
//!
//!     fn new(config: Config) -> Result<Self> { Ok(Mailer(config)) }
//!
//!     fn execute(&self, job: &Job, mail: Mail) -> Result {
//!         info!(to = %mail.to, "attempt {}", job.attempt());
//!         send(&self.0.smtp, &mail).or_retry_in(Duration::from_secs(30))?;
//!         Ok(().into())
//!     }
//! }
//!
//! export_plugin!(Mailer);          // or: export_plugin!("mailer" => Mailer, "sms" => Sms);
//!
//! fn send(smtp: &str, mail: &Mail) -> std::io::Result<()> {
//!     if smtp.is_empty() { return Err(std::io::Error::other("no server to send to")) }
//!     debug!(subject = mail.subject, "sent");
//!     Ok(())
//! }
//! # use plugin_api::testing::{Harness, Verdict};
//! # fn main() -> Result<()> {
//! # let harness = Harness::<Mailer>::new(json!({"smtp": ""}))?;
//! # assert_eq!(harness.run(json!({"to": "a@example.org"})).verdict, Verdict::Retry);
//! # let refused = Harness::<Mailer>::new(json!({"smpt": ""})).map(drop).unwrap_err();
//! # assert_eq!(refused.message(), "unknown field `smpt`, expected `smtp`");
//! # Ok(())
//! # }
//! ```
//!
//! with this `Cargo.toml`. `serde` is there because its derive macros name it; everything else comes with the prelude:
//!
//! ```toml
//! [package]
//! name = "mailer"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! asynccall-plugin-api = "1"      # features = ["tokio"] for AsyncHandler
//! serde = { version = "1", features = ["derive"] }
//! ```
//!
//! `asynccall-host plugin new NAME` writes such a crate, with tests and a configuration to try it with.
//!
//! Neither `unsafe` nor the types of the binary interface appear in an author's crate: `#![forbid(unsafe_code)]` holds.
//!
//! # The handbook
//!
//! [`handbook`] leads from here, chapter by chapter: [a first plugin](handbook::first_plugin), what becomes of a job by
//! [its outcome](handbook::outcomes), [retries](handbook::retry), [jobs that come twice](handbook::idempotency),
//! [configuration](handbook::config), [tests](handbook::testing), [versions](handbook::versioning),
//! [crashes](handbook::crashes), [releases](handbook::releasing), and more.
//!
//! Two things to know before the first job:
//!
//! - A handler runs **at least** once for each job, not exactly once: [`handbook::idempotency`].
//! - A handler is lent to several threads at once, in several processes: [`handbook::state`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// What authors read.
pub mod handbook;

// What authors write.
mod done;
mod error;
mod handler;
mod job;
mod put;
mod schemas;
mod state;

// What authors find beside their jobs.
pub mod host;
pub mod metrics;

// What makes a library of it.
mod export;

// What runs it, from the host's call inwards.
mod adapter;
#[cfg(feature = "tokio")]
mod asynchronous;
mod decode;

// What the library has only one of.
mod bridge;
mod panics;

pub mod testing;

#[cfg(feature = "schemars")]
pub use schemars;
pub use serde;
pub use serde_json;
pub use tracing;

pub use decode::php_arrays;
pub use done::{Done, Result};
pub use error::{Error, OrRetry};
#[cfg(feature = "tokio")]
pub use handler::AsyncHandler;
pub use handler::{Handler, Payload, RawBody};
pub use job::Job;
pub use put::{NewJob, PutError, PutErrorKind};
pub use schemas::Schemas;
pub use state::Shared;

/// Everything that a plugin usually needs: `use plugin_api::prelude::*;`.
pub mod prelude {
    pub use std::time::Duration;

    pub use serde::Deserialize;
    pub use serde_json::json;
    pub use tracing::{debug, error, info, trace, warn};

    #[cfg(feature = "tokio")]
    pub use crate::AsyncHandler;
    pub use crate::{Done, Error, Handler, Job, OrRetry, RawBody, Result, export_plugin};
}

/// What [`export_plugin!`] expands to. Not for authors.
#[doc(hidden)]
pub mod __private {
    pub use asynccall_abi::{
        abi_stable::library::LibHeader,
        descriptor::Descriptor,
        manifest::{Manifest, bytes as manifest_bytes, length as manifest_length},
    };

    pub use crate::export::{
        Entry, Export, check_names, entry, header, listed, manifest, snake_case, snake_case_length,
    };
}
