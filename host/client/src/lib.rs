//! Everything that speaks to the queue.
//!
//! The modules in reading order:
//!
//! - [`tube`]: names of tubes, what the server accepts, and how the PHP library's checksummed names map to
//!   the names people use.
//! - [`protocol`]: the beanstalkd protocol as pure functions between bytes and values; no I/O, no clock.
//! - [`connection`]: a blocking connection over TCP or a Unix socket, which pairs every command with its reply.
//! - [`payload`]: what the body of a job means: JSON and PHP's `serialize()`.
//! - [`call`]: a call of the PHP library with all its parameters, and the message that it becomes.
//! - [`producer`]: puts calls and jobs of any kind; `asynchronous` does so on tokio (feature `tokio`).
//!
//! A producer needs [`Client`], [`Call`] and a [`tube`]:
//!
//! ```no_run
//! use asynccall_client::{Call, Client, producer::Put, tube::TubeName};
//!
//! let mut client = Client::new("127.0.0.1:11300".parse()?, TubeName::new("orders")?);
//! // A message of the PHP library's kind, as JSON.
//! client.call(&Call::new("Order", "cancel").model_params(42).method_params(["late"]).delay(10))?;
//! // Any body.
//! client.put(&Put::new(br#"{"to":"ann@example.org"}"#))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "tokio")]
pub mod asynchronous;
pub mod call;
pub mod connection;
pub mod payload;
pub mod producer;
pub mod protocol;
pub mod tube;

pub use call::Call;
pub use producer::Client;
