//! The wire layer between `asynccall-host` and its plugins: frozen, append-only.
//!
//! Handler authors never see this crate; they use `asynccall-plugin-api`. It
//! exists so that a plugin built today loads in every later host of the same
//! abi major, and the other way round.
//!
//! In reading order:
//!
//! - [`descriptor`]: the plain C symbol that is read before anything else,
//! - [`manifest`]: the JSON bytes that describe a plugin without executing it,
//! - [`job`], [`handler`], [`outcome`], [`host`]: what crosses the border while jobs run,
//! - [`plugin`]: the root module, where all of it is reached from,
//! - [`load`]: how a host gets from a descriptor to the root module, with a
//!   layout check that works in both directions.
//!
//! What may change, how, and what shows that it holds:
//!
#![doc = include_str!("../STABILITY.md")]
#![warn(missing_docs)]
// `sabi_trait` and `StableAbi` generate items of their own, with unsafe code and without docs.
#![allow(
    unsafe_code,
    reason = "the frozen layer is a named place: the derives generate it, `load` argues for each block"
)]
#![allow(non_local_definitions, reason = "the code that sabi_trait generates has them")]

pub mod c;
pub mod descriptor;
mod difference;
pub mod handler;
pub mod host;
pub mod job;
pub mod load;
pub mod manifest;
pub mod outcome;
pub mod plugin;

pub use abi_stable;

/// The abi major. Hosts and plugins of different majors refuse each other.
pub const ABI_MAJOR: u16 = 1;
/// The abi minor. Any two minors of one major work together.
pub const ABI_MINOR: u16 = 2;

#[cfg(test)]
mod tests;
