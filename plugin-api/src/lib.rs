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
//! # Outcomes
//!
//! | the handler | becomes | the job |
//! |---|---|---|
//! | `Ok(().into())`, `Ok(json!(…).into())`, [`Done::result`]`(&value)` | done, with an optional result | is deleted |
//! | `?` on any error, [`Error::failed`] | failed, with the error and its sources in one line | is retried by the host's policy |
//! | [`.or_retry_in(delay)`](OrRetry::or_retry_in), [`Error::retry_in`] | retry | is released after the delay |
//! | [`.or_bury()`](OrRetry::or_bury), [`Error::bury`] | bury | is buried, for a person to look at |
//! | a panic, [`Error::exception`] | exception, with message, file and line | is retried by the host's policy |
//! | a payload that does not deserialize | bury, with serde's sentence; `execute` is not called | is buried |
//!
//! [`Error::priority`] gives a released or buried job another priority; otherwise it keeps the one that it has.
//!
//! # Before the first job
//!
//! [`Handler::new`] makes the handler from its configuration, and [`Handler::self_check`], where there is one, finds out
//! whether it can work: a reload to a plugin that cannot is refused with its words, and the old one goes on.
//!
//! # At least once
//!
//! A handler runs **at least** once for each job, not exactly once. The worker can die, or lose the queue server, after a
//! handler has done its work and before the host could say so; then the job comes again. Where that matters, make
//! the work repeatable: look first whether it was done, or let the receiving system drop duplicates by an id of the payload.
//! The same happens to a job that takes longer than its time to run, which the host renews while the handler runs;
//! [`Job::touch`] asks for it at once.
//!
//! # Long jobs
//!
//! The operator limits how long a job may run. Past that, [`Job::cancelled`] says that the handler should give up, and
//! one that does not is left behind with its process. A handler that calls [`Job::progress`] whenever a step is done
//! starts that limit anew, so it bounds the time without progress instead of the time of the job.
//!
//! # Payloads
//!
//! [`Handler::Payload`] is whatever serde can deserialize. The body may be JSON or PHP's `serialize()`; the host
//! transcodes the latter, and a handler need not know which it was. PHP has one type for lists and maps, so its
//! empty array reads as a list, a map, a struct or `()`, at every depth. (Not inside `#[serde(flatten)]` and untagged or
//! internally tagged enums, where serde decides before the type is known: there it is a list.)
//!
//! A body that is empty, unparseable or of another shape is buried before `execute`. With `type Payload = `[`RawBody`]
//! nothing is decoded: [`Job::body`] has the bytes.
//!
//! # Logging
//!
//! The `tracing` macros of the prelude write to the host's log, with the id of the job and the fields of the spans
//! around. A thread or task that a handler starts knows the job only inside a span that was opened under it.
//!
//! Panics of such threads and tasks are logged as errors. `RUST_BACKTRACE=1` logs the backtrace of every panic.
//!
//! # Tests
//!
//! [`testing::Harness`] runs the handler inside `cargo test`, in the plugin's own crate. The body of a `#[test]`:
//!
//! ```
//! # use plugin_api::{prelude::*, serde_json};
//! # struct Mailer;
//! # impl Handler for Mailer {
//! #     type Config = serde_json::Value;
//! #     type Payload = std::collections::HashMap<String, String>;
//! #     fn new(_: serde_json::Value) -> Result<Self> { Ok(Mailer) }
//! #     fn execute(&self, _: &Job, mail: Self::Payload) -> Result {
//! #         mail.get("to").ok_or("missing field `to`").or_bury()?;
//! #         Ok(().into())
//! #     }
//! # }
//! use plugin_api::testing::{Harness, Verdict};
//!
//! let mailer = Harness::<Mailer>::new(json!({"smtp": "localhost"})).expect("the configuration fits");
//! let outcome = mailer.run(json!({"subject": "hello"}));
//! assert_eq!(outcome.verdict, Verdict::Bury);
//! assert!(outcome.message.contains("missing field `to`"));
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

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
