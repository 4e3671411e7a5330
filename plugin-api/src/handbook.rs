//! The book for authors: what one wants to do, code that does it, and what goes wrong.
//!
//! All of the code is compiled and run with the tests of this crate. The chapters stand alone, in an order that can be
//! read through:
//!
//! | chapter | for whoever wants to |
//! |---|---|
//! | [`first_plugin`] | begin |
//! | [`outcomes`] | say what becomes of a job |
//! | [`payloads`] | know what a body is decoded into |
//! | [`retry`] | have a job tried again, and not for ever |
//! | [`idempotency`] | do the work of a job that comes twice only once |
//! | [`config`] | be configured, and refuse what does not fit |
//! | [`state`] | keep something between jobs |
//! | [`long_jobs`] | work for longer than a moment, and stop when asked to |
//! | [`asynchronous`] | write `async fn` |
//! | [`testing`] | test it, and see what it does |
//! | [`versioning`] | change it while jobs are waiting |
//! | [`crashes`] | find out why a worker died |
//! | [`releasing`] | bring it to the servers, and take it back |
//! | [`other_languages`] | write handlers in something else than Rust |

#[doc = include_str!("handbook/first_plugin.md")]
pub mod first_plugin {}

#[doc = include_str!("handbook/outcomes.md")]
pub mod outcomes {}

#[doc = include_str!("handbook/payloads.md")]
pub mod payloads {}

#[doc = include_str!("handbook/retry.md")]
pub mod retry {}

#[doc = include_str!("handbook/idempotency.md")]
pub mod idempotency {}

#[doc = include_str!("handbook/config.md")]
pub mod config {}

#[doc = include_str!("handbook/state.md")]
pub mod state {}

#[doc = include_str!("handbook/long_jobs.md")]
pub mod long_jobs {}

#[cfg_attr(feature = "tokio", doc = include_str!("handbook/asynchronous.md"))]
#[cfg_attr(
    not(feature = "tokio"),
    doc = "Asynchronous handlers: a chapter of the feature `tokio`."
)]
pub mod asynchronous {}

#[doc = include_str!("handbook/testing.md")]
pub mod testing {}

#[doc = include_str!("handbook/versioning.md")]
pub mod versioning {}

#[doc = include_str!("handbook/crashes.md")]
pub mod crashes {}

#[doc = include_str!("handbook/releasing.md")]
pub mod releasing {}

#[doc = include_str!("handbook/other_languages.md")]
pub mod other_languages {}
