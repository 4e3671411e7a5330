//! Run methods of database models as jobs.
//!
//! The PHP library's own command finds a model by the message's `model` and `modelParams` and calls `method` with
//! `methodParams`. This crate is that command on [SeaORM](sea_orm): an author registers entities under the names that the
//! messages use, and exports the handler [`Orm`].
//!
//! What a producer writes and an operator configures is in the plugin's README; modules, in reading order:
//!
//! - `message`: what the producer has written, and what PHP takes for true,
//! - `criteria`: Phalcon's criteria, parsed and bound, `find` and `value`: the query that becomes of them,
//! - `registry`: models and methods, `arguments` and `call`: what a method gets,
//! - `failure`: what becomes of a method's failure, `config` and `handler`: the rest.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// The README's plugin compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod message;

mod criteria;
mod find;
mod value;

mod arguments;
mod call;
mod registry;

mod config;
mod failure;
mod handler;

#[cfg(test)]
mod tests;

pub use call::Call;
pub use config::Config;
pub use failure::Failure;
pub use handler::{Models, Orm};
pub use message::Message;
pub use registry::{Answer, Method, Methods, Registry};

pub use sea_orm;
