//! Plugins: from what was asked for to handlers that can be called.
//!
//! The master's half reads and copies files and executes none of them; the worker's
//! half loads the copies. What crosses from one to the other is [`stage::StagedRef`].
//!
//! ```text
//!            master, once per generation                │           worker
//!  registry::stage_all                                  │  registry::open
//!    resolve ─▶ vet ─▶ stage ─▶ manifest ─▶ lock ─ StagedRef ┼─▶ library (dlopen, handshake) ─▶ Handler
//! ```
//!
//! In reading order:
//!
//! - [`manifest`]: what a plugin says of itself, read from the bytes of its file,
//! - [`vet`]: who could have changed the file,
//! - [`stage`]: the copy that is loaded, and its hash,
//! - [`lock`]: which hashes an operator has agreed to,
//! - [`library`]: loading the copy and calling across the border,
//! - [`description`]: which documents its handlers say that they take,
//! - [`schema`]: checking a configuration against what they say,
//! - [`page`]: the same for people,
//! - [`view`]: the JSON view of a body that handlers ask for,
//! - [`registry`]: the search along directories, and names of handlers,
//! - [`places`]: which directories to watch for changes of what is loaded,
//! - [`error`]: every way in which this fails, as texts.
//!
//! Plugins are trusted code in the worker's uid: vetting guards against accidents
//! and mixed-up privileges, it is no sandbox. Nothing in here logs.

pub mod description;
pub mod error;
pub mod library;
pub mod lock;
pub mod manifest;
mod nearby;
pub mod page;
pub mod places;
pub mod registry;
pub mod schema;
pub mod stage;
pub mod vet;
pub mod view;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use manifest::Manifest;

pub use error::{PluginError, PluginErrors};
pub use stage::StagedRef;
pub use vet::Warning;

/// Which plugin it is: where it came from, what exactly it is, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginInfo {
    /// The canonical path of the file, which is valid UTF-8. What is loaded is the copy that was made of it.
    pub path: PathBuf,
    /// SHA-256 of the copy, 64 hexadecimal digits: two plugins are the same code where this is the same.
    pub sha256: String,
    /// Read from the copy.
    pub manifest: Manifest,
}

#[cfg(test)]
mod fixtures;
