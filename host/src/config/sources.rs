//! What a configuration is made from: flags, environment, directory, and the texts of the files they name.
//!
//! [`Sources`] are recorded when the daemon starts, so that a reload resolves anew from the same ones.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::layer::{self, Layer};
use super::problem::{Place, Report};
use super::settings::{Section, VARIABLE_PREFIX};
use crate::cli::Flags;

/// Where the system keeps a user's run-time files (XDG Base Directory Specification).
const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// The inputs of a configuration, apart from the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// What was typed.
    pub flags: Flags,
    /// The variables that matter.
    pub environment: Environment,
    /// Completes the relative paths of flags and environment. Absolute.
    pub cwd: PathBuf,
    /// The effective user, of whom the default pid file is.
    pub euid: u32,
}

/// The `ASYNCCALL_*` variables and `XDG_RUNTIME_DIR`. Its `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Keeps what matters of `variables`.
    pub fn new<N: Into<String>, T: Into<String>>(variables: impl IntoIterator<Item = (N, T)>) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, text)| (name.into(), text.into()));
        let matters = |name: &str| name.starts_with(VARIABLE_PREFIX) || name == RUNTIME_DIR;
        Self(variables.filter(|(name, _)| matters(name)).collect())
    }

    /// The variables whose name begins with `prefix`.
    pub(super) fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        all.filter(move |(name, _)| name.starts_with(prefix))
    }

    /// `XDG_RUNTIME_DIR`; a relative one is to be ignored, as its specification says.
    pub(super) fn runtime_dir(&self) -> Option<&Path> {
        self.0
            .get(RUNTIME_DIR)
            .map(Path::new)
            .filter(|path| path.is_absolute())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// The contents of the files that [`Sources`] name. A file that could not be read is left out.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// The configuration file.
    pub config: Option<FileText>,
    /// The JSON files of `--handler-config`, by handler.
    pub handlers: BTreeMap<String, FileText>,
}

/// A file that was read.
#[derive(Clone, PartialEq, Eq)]
pub struct FileText {
    /// Absolute.
    pub path: PathBuf,
    /// The whole content.
    pub text: String,
}

/// A file that has to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedFile {
    /// Where it is named.
    pub(super) place: Place,
    pub(super) path: PathBuf,
}

/// One `NAME=PATH` of `--handler-config`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct HandlerFile {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// The layers of the command line: flags over environment.
pub(super) struct Typed {
    pub(super) flags: Layer,
    pub(super) environment: Layer,
}

impl Typed {
    pub(super) fn of(sources: &Sources, report: &mut Report) -> Self {
        let environment = layer::of_environment(&sources.environment, &sources.cwd, report);
        Self {
            flags: layer::of_flags(&sources.flags, &sources.cwd, report),
            environment,
        }
    }

    /// The value and place of a setting that names files.
    fn invocation<T: for<'a> Deserialize<'a>>(&self, key: &'static str) -> Option<(T, &Place)> {
        let given = self
            .flags
            .get(Section::Invocation, key)
            .or(self.environment.get(Section::Invocation, key))?;
        let value = given.value.clone()?;
        Some((serde_json::from_value(value).ok()?, &given.place))
    }

    /// The configuration file to read.
    pub(super) fn config_file(&self) -> Option<WantedFile> {
        let (path, place) = self.invocation("config")?;
        Some(WantedFile {
            place: place.clone(),
            path,
        })
    }

    /// The handlers' JSON files to read, with the handler's name.
    pub(super) fn handler_files(&self) -> Vec<(String, WantedFile)> {
        let Some((files, place)) = self.invocation::<Vec<HandlerFile>>("handler_config") else {
            return Vec::new();
        };
        let wanted = |path| WantedFile {
            place: place.clone(),
            path,
        };
        files
            .into_iter()
            .map(|file| (file.name, wanted(file.path)))
            .collect()
    }
}
