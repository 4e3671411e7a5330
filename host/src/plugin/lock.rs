//! The lock file: the plugins that an operator has agreed to, by file name and content hash.
//!
//! A plugin is agreed to where the file has an entry of its file name (of the canonical path, without directories) and
//! its hash. So the same lock file serves on every machine that has the same files, wherever they lie, and two directories
//! may have different files of one name. What is compared is the hash of the staged copy, which is what is loaded.
//!
//! Whoever can change the lock file can agree to anything, so it is judged as a plugin's file is. It is written by
//! `plugin lock`, as TOML, and read here; which plugins are to be in it is not decided here.

mod error;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    draft,
    plugin::{
        PluginError, PluginErrors, PluginInfo, Warning,
        error::file_name,
        vet::{self, Policy},
    },
};
pub use error::LockError;

/// The form of the file that this host reads and writes.
const VERSION: u32 = 1;

/// The largest lock file that is read, in bytes.
const LARGEST: u64 = 4 << 20;

/// What a lock file begins with: TOML has comments, and somebody will open it.
const HEADER: &str = "\
# The plugins that may be loaded where `[plugins] require_sha256` is on, by file name and content hash.
# Written by `asynccall-host plugin lock`.

";

/// Plugins that were agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Where it was read from, or is to be written to.
    path: PathBuf,
    entries: BTreeSet<Entry>,
}

/// One plugin that was agreed to. Name and version are for people; file name and hash decide.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The last component of its canonical path.
    pub file: String,
    /// The name that its manifest says.
    pub name: String,
    /// The version that its manifest says.
    pub version: String,
    /// SHA-256 of its content, 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Entry {
    /// The entry of a plugin.
    pub fn of(info: &PluginInfo) -> Entry {
        Entry {
            file: file_name(&info.path),
            name: info.manifest.name.clone(),
            version: info.manifest.version.clone(),
            sha256: info.sha256.clone(),
        }
    }
}

/// The file as TOML.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, rename = "plugin")]
    plugins: Vec<Entry>,
}

impl Lock {
    /// A lock that agrees to these plugins, not written yet.
    pub fn of<'i>(path: PathBuf, plugins: impl IntoIterator<Item = &'i PluginInfo>) -> Lock {
        let entries = plugins.into_iter().map(Entry::of).collect();
        Lock { path, entries }
    }

    /// Reads a lock file, and what is tolerated about who could have changed it.
    ///
    /// # Errors
    /// It cannot be opened or read, others could have changed it, or it is no lock file.
    pub fn read(path: &Path, policy: Policy) -> Result<(Lock, Vec<Warning>), PluginErrors> {
        let failed = |source: LockError| PluginErrors::from(PluginError::Lock { source });
        let seen = vet::examine(path, policy).map_err(|error| failed(LockError::unopened(path, error)))?;
        let (mut warnings, mut errors) = (Vec::new(), Vec::new());
        for finding in seen.findings {
            let lock = seen.path.clone();
            vet::Warning::UnsafeLock { lock, finding }.sort(policy, &mut warnings, &mut errors);
        }
        let mut text = String::new();
        let read = seen.file.take(LARGEST + 1).read_to_string(&mut text);
        read.map_err(|source| failed(LockError::unopened(path, vet::Unopened::system(path, source))))?;
        let lock = Lock::parse(seen.path, &text).map_err(failed)?;
        PluginErrors::or(errors, (lock, warnings))
    }

    /// Reads the lock file that a new one is to take the place of; without entries where there is none, or where
    /// what it has counts for nothing.
    ///
    /// # Errors
    /// Something is there that no lock was written to, and that would be lost.
    pub fn read_to_replace(path: &Path, policy: Policy) -> Result<Lock, PluginErrors> {
        let is_replaceable =
            |error: &PluginError| matches!(error, PluginError::Lock { source } if source.is_replaceable());
        match Lock::read(path, policy) {
            Ok((lock, _)) => Ok(lock),
            Err(errors) if errors.errors().iter().all(is_replaceable) => Ok(Lock::of(path.to_owned(), [])),
            Err(errors) => Err(errors),
        }
    }

    fn parse(path: PathBuf, text: &str) -> Result<Lock, LockError> {
        let invalid = |detail: String| LockError::Invalid {
            lock: path.clone(),
            detail,
            is_own: text.trim().is_empty() || text.starts_with(HEADER.trim_end()),
        };
        if text.len() as u64 > LARGEST {
            return Err(invalid(format!("it has more than {LARGEST} bytes")));
        }
        // The form first: another version may have other keys.
        let table: toml::Table = toml::from_str(text).map_err(|error| invalid(words(&error, text)))?;
        match table.get("version").and_then(toml::Value::as_integer) {
            Some(version) if version == i64::from(VERSION) => {}
            Some(version) => return Err(invalid(format!("found `version = {version}`, wanted {VERSION}"))),
            None => return Err(invalid(format!("found no `version`, wanted {VERSION}"))),
        }
        let document: Document = toml::from_str(text).map_err(|error| invalid(words(&error, text)))?;
        for entry in &document.plugins {
            let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
            if entry.sha256.len() != 64 || !entry.sha256.chars().all(is_digit) {
                let Entry { file, sha256, .. } = entry;
                return Err(invalid(format!(
                    "`{}` has sha256 `{}`, wanted 64 lower-case hexadecimal digits",
                    file.escape_debug(),
                    sha256.escape_debug()
                )));
            }
        }
        let entries = document.plugins.into_iter().collect();
        Ok(Lock { path, entries })
    }

    /// The entries, sorted by file name.
    pub fn entries(&self) -> &BTreeSet<Entry> {
        &self.entries
    }

    /// Whether a staged plugin was agreed to.
    ///
    /// # Errors
    /// The lock has no entry of its file name, or only ones with other hashes.
    pub fn check(&self, info: &PluginInfo) -> Result<(), PluginError> {
        let file = file_name(&info.path);
        let locked = self.entries.iter().filter(|entry| entry.file == file);
        let locked: Vec<String> = locked.map(|entry| entry.sha256.clone()).collect();
        if locked.contains(&info.sha256) {
            return Ok(());
        }
        let lock = self.path.clone();
        let (path, found) = (info.path.clone(), info.sha256.clone());
        let source = match locked.is_empty() {
            true => LockError::Missing { path, found, lock },
            false => LockError::Differs {
                path,
                found,
                locked,
                lock,
            },
        };
        Err(PluginError::Lock { source })
    }

    /// Writes the file, whole or not at all: a reader sees the old one or the new one.
    ///
    /// Everybody may read it, and only its owner may write.
    ///
    /// # Errors
    /// What the system said to making, filling or renaming the new file.
    pub fn write(&self) -> Result<(), LockError> {
        let failed = |source| LockError::Write {
            lock: self.path.clone(),
            source,
        };
        let text = self.text().map_err(failed)?;
        // A link stays one: what it leads to is replaced.
        let target = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let draft = draft::beside(&target);
        let written = write_new(&draft, &text).and_then(|()| fs::rename(&draft, &target));
        if written.is_err() {
            // It may never have been made.
            let _ = fs::remove_file(&draft);
        }
        written.map_err(failed)
    }

    fn text(&self) -> io::Result<String> {
        let document = Document {
            version: VERSION,
            plugins: self.entries.iter().cloned().collect(),
        };
        let toml = toml::to_string(&document).map_err(io::Error::other)?;
        Ok(format!("{HEADER}{toml}"))
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The parser's words and the line that they are about.
fn words(error: &toml::de::Error, text: &str) -> String {
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {}", before.matches('\n').count() + 1, error.message()),
        None => error.message().to_owned(),
    }
}
