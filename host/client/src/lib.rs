//! Everything that speaks to the queue.
//!
//! The modules in reading order:
//!
//! - [`tube`]: names of tubes, what the server accepts, and how the PHP library's checksummed names map to
//!   the names people use.
//! - [`protocol`]: the beanstalkd protocol as pure functions between bytes and values; no I/O, no clock.
//! - [`connection`]: a blocking connection over TCP or a Unix socket, which pairs every command with its reply.
//! - [`payload`]: what the body of a job means: JSON and PHP's `serialize()`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod connection;
pub mod payload;
pub mod protocol;
pub mod tube;
