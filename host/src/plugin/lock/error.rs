//! Why a lock file cannot be used, and what it refuses.

use std::path::Path;
use std::{io, path::PathBuf};

use thiserror::Error;

use crate::plugin::{
    error::{file_name, reason},
    vet::{Finding, Unopened},
};

/// A lock file that cannot be used, or a plugin that it refuses.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// It cannot be opened, looked at or read.
    #[error("cannot read lock file `{}`: {detail}", lock.display())]
    Open {
        /// The lock file, as it was asked for.
        lock: PathBuf,
        /// The system's words.
        detail: String,
        /// Whether it is because there is no such file.
        is_missing: bool,
    },
    /// Somebody other than root and this user could have changed it.
    #[error("refusing lock file {}: {finding}", file_name(lock))]
    Unsafe {
        /// The lock file's canonical path.
        lock: PathBuf,
        /// What was found, on the file or on a directory above it.
        finding: Box<Finding>,
    },
    /// It is no lock file of this host.
    #[error("cannot use lock file `{}`: {detail}", lock.display())]
    Invalid {
        /// The lock file's canonical path.
        lock: PathBuf,
        /// What was found, and what was wanted.
        detail: String,
        /// Whether `plugin lock` wrote it, or there is nothing in it.
        is_own: bool,
    },
    /// It cannot be written.
    #[error("cannot write lock file `{}`: {}", lock.display(), reason(source))]
    Write {
        /// The lock file, as it was asked for.
        lock: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The lock file has no plugin of that file name.
    #[error(
        "refusing plugin {}: `{}` (sha256 {found}) is not in lock file `{}`",
        file_name(path), path.display(), lock.display()
    )]
    Missing {
        /// The plugin's canonical path.
        path: PathBuf,
        /// The hash of its content.
        found: String,
        /// The lock file's canonical path.
        lock: PathBuf,
    },
    /// Whether the lock file has the plugin cannot be told.
    #[error("refusing plugin {}: lock file `{}` cannot be used", file_name(path), lock.display())]
    Unknown {
        /// The plugin's canonical path.
        path: PathBuf,
        /// The lock file, as it was asked for.
        lock: PathBuf,
    },
    /// The lock file has another plugin of that file name.
    #[error(
        "refusing plugin {}: `{}` has sha256 {found}, lock file `{}` wants {}",
        file_name(path), path.display(), lock.display(), locked.join(" or ")
    )]
    Differs {
        /// The plugin's canonical path.
        path: PathBuf,
        /// The hash of its content.
        found: String,
        /// The hashes that were agreed to for this file name, at least one.
        locked: Vec<String>,
        /// The lock file's canonical path.
        lock: PathBuf,
    },
}

impl LockError {
    pub(super) fn unopened(lock: &Path, error: Unopened) -> LockError {
        LockError::Open {
            lock: lock.to_owned(),
            is_missing: error.is_missing(),
            detail: error.to_string(),
        }
    }

    /// Whether nothing is lost where a new lock file takes the place of this one.
    pub(super) fn is_replaceable(&self) -> bool {
        matches!(
            self,
            LockError::Open { is_missing: true, .. }
                | LockError::Unsafe { .. }
                | LockError::Invalid { is_own: true, .. }
        )
    }

    /// What to do about it, in one line.
    pub(in crate::plugin) fn hint(&self) -> Option<String> {
        Some(match self {
            LockError::Open { is_missing: true, .. } => {
                "`asynccall-host plugin lock` writes it, for the plugins as they are".to_owned()
            }
            LockError::Open { .. } | LockError::Write { .. } | LockError::Unknown { .. } => return None,
            LockError::Unsafe { finding, .. } => format!(
                "run `{}`, or accept the risk with `--allow-unsafe-plugins`",
                finding.remedy()
            ),
            LockError::Invalid { is_own: true, .. } => {
                "`asynccall-host plugin lock` writes it anew".to_owned()
            }
            LockError::Invalid { .. } => {
                "`asynccall-host plugin lock` has not written it; name another file, or remove it if nobody needs it"
                    .to_owned()
            }
            LockError::Missing { path, .. } | LockError::Differs { path, .. } => format!(
                "if `{}` is what it should be, agree to it with `asynccall-host plugin lock`",
                path.display()
            ),
        })
    }
}
