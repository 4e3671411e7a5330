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
//! # What may change within abi 1
//!
//! A minor version may add
//!
//! - a method with a default behind the last method of [`job::RawJob`] and [`handler::RawHandler`]: called on a side
//!   that lacks it, the default of the calling side answers. A prefix type holds 64 at most;
//! - a field behind the last field of [`host::HostApi`] and [`plugin::Plugin`]: it reads as `None` on a side that
//!   lacks it. `last_prefix_field` stays where it is;
//! - a field behind the last one of [`descriptor::Descriptor`], which `size` announces, and a key in the manifest;
//! - a value of [`outcome::Verdict`] and [`plugin::CreateFailure`], within what older hosts take it for.
//!
//! Everything else is frozen: names of types, fields, methods and parameters, their order and types, the bounds of
//! the traits, the package name and the structs without a `last_prefix_field`. The layout check compares all of that
//! by value, except the descriptor, whose offsets are asserted where it is defined. A patch version changes none of it.
//!
//! A new field breaks whoever writes the struct out in full, so `asynccall-plugin-api` asks for one exact minor
//! (`~1.2.0`), and the crate's version and [`ABI_MINOR`] rise together.
//!
//! # What minors have added
//!
//! | minor | since then there is |
//! |---|---|
//! | 1.1 | [`job::RawJob::progress`], [`handler::RawHandler::self_check`] |
//! | 1.2 | [`handler::RawHandler::tick_every_ms`] and [`tick`](handler::RawHandler::tick), [`handler::RawHandler::shutdown`], [`job::RawJob::put`], [`host::HostApi::metric`] and [`record`](host::HostApi::record), [`plugin::Plugin::describe`] |
#![warn(missing_docs)]
// `sabi_trait` and `StableAbi` generate items of their own, with unsafe code and without docs.
#![allow(
    unsafe_code,
    reason = "the frozen layer is a named place: the derives generate it, `load` argues for each block"
)]
#![allow(non_local_definitions, reason = "the code that sabi_trait generates has them")]

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
