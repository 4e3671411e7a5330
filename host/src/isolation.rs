//! What the kernel closes to the workers of an isolated pool, and to everything that they start.
//!
//! The operator declares what handlers may do ([`crate::config::Isolation`]); this adds what a worker needs for itself,
//! and gives the rest up for good. A denied call fails with EACCES (the system's "Permission denied") and ends nobody.
//! Nothing is ever closed in part: where the kernel cannot do what is declared, there is no worker. Limits of
//! resources, memory among them, are [`crate::worker`]'s.
//!
//! - [`kernel`]: whether this kernel can do it,
//! - [`files`]: the paths that stay open,
//! - [`network`]: the sockets that stay possible,
//! - [`hint`]: what an operator is told of a failure that looks like a denied call.

mod files;
pub(crate) mod hint;
mod kernel;
mod network;

use std::{
    io,
    os::fd::RawFd,
    path::{Path, PathBuf},
};

use asynccall_client::connection::Address;
use landlock::{
    Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated, RulesetError,
    RulesetStatus,
};

use crate::config::{Isolation, Pool};

/// Why a pool cannot be isolated as it is declared. `Display` is the text for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IsolationError {
    /// A declared path is not there, or cannot be reached.
    #[error("cannot open `{}` of `isolation.{key}`: {source}{}", path.display(), way_to(source))]
    Path {
        /// The setting.
        key: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A path that a worker needs for itself is there and cannot be reached.
    #[error("cannot open `{}`, which an isolated worker needs: {source}", path.display())]
    Own {
        /// The path.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The kernel has no landlock, or a version that cannot do what is declared.
    #[error("{0}")]
    Kernel(kernel::Lacking),
    /// Landlock was there and refused.
    #[error("cannot isolate the worker: {0}")]
    Landlock(#[from] RulesetError),
    /// Landlock took the rules, and does not enforce all of them.
    #[error("cannot isolate the worker: landlock enforces only a part of its rules")]
    Part,
    /// The filter of system calls cannot be made or set.
    #[error("cannot close the network by a filter of system calls: {0}")]
    Filter(#[from] seccompiler::Error),
}

/// What to do about a declared path that cannot be opened.
fn way_to(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "\n  hint: a path must be there before a worker starts, and so must every directory above it"
        }
        io::ErrorKind::PermissionDenied => {
            "\n  hint: whoever the daemon runs as must be able to search every directory above it (`chmod +x`)"
        }
        _ => "",
    }
}

impl IsolationError {
    fn declared(key: &'static str, path: &Path, source: io::Error) -> IsolationError {
        let path = path.to_owned();
        IsolationError::Path { key, path, source }
    }
}

/// What a worker itself goes on using once it is isolated.
pub(crate) struct Needs<'a> {
    /// Where its queue server listens.
    pub(crate) queue: &'a Address,
    /// Its log file.
    pub(crate) log: Option<&'a Path>,
    /// The copies of its plugins.
    pub(crate) plugins: &'a [RawFd],
}

/// Whether workers of that pool could be isolated as it is declared, on this kernel and with the paths that are there.
pub(crate) fn check(pool: &Pool) -> Result<(), IsolationError> {
    let isolation = &pool.isolation;
    kernel::check(isolation, kernel::landlock())?;
    for (key, path) in files::declared(isolation) {
        files::open(path).map_err(|source| IsolationError::declared(key, path, source))?;
    }
    Ok(())
}

/// Isolates this thread, and all threads and processes that it will start, for good. Needs `no_new_privs`.
pub(crate) fn enter(isolation: &Isolation, needs: &Needs<'_>) -> Result<(), IsolationError> {
    if !isolation.is_given() {
        return Ok(());
    }
    kernel::check(isolation, kernel::landlock())?;
    // Whatever of this the kernel cannot do is an error.
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if isolation.closes_files() {
        ruleset = ruleset.handle_access(AccessFs::from_all(kernel::FILES))?;
    }
    if isolation.network.is_some() {
        ruleset = ruleset.handle_access(AccessNet::from_all(kernel::NETWORK))?;
    }
    let mut ruleset: RulesetCreated = ruleset.create()?;
    if isolation.closes_files() {
        ruleset = files::allow(ruleset, isolation, needs)?;
    }
    if let Some(network) = &isolation.network {
        ruleset = network::allow(ruleset, network, needs.queue)?;
    }
    let status = ruleset.restrict_self()?;
    if status.ruleset != RulesetStatus::FullyEnforced {
        return Err(IsolationError::Part);
    }
    match &isolation.network {
        Some(network) => network::filter(network, needs.queue).map_err(Into::into),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
