//! Every way in which a plugin is refused, as an error text and a hint.
//!
//! It knows no checks, only their words: what was found, what was wanted, what to
//! do about it, and how a command ends.

mod words;

use std::{fmt, io, path::PathBuf};

use thiserror::Error;

use crate::{
    exit::Exit,
    plugin::{
        description::DescriptionError, lock::LockError, manifest::ManifestError, schema::Faults, vet::Finding,
    },
};
pub(super) use words::{file_name, reason, shell_word};
use words::{in_directories, listed, load_hint, not_in, open_hint};

/// Why plugins cannot be used. `Display` is the first line; [`PluginError::hint`] the second.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PluginError {
    /// Nothing was asked for, or the drop-in directories hold no library.
    #[error("no plugin to load{}", in_directories(drop_in))]
    Nothing {
        /// The drop-in directories that were looked at.
        drop_in: Vec<PathBuf>,
    },
    /// No directory of the search path has a file for a name.
    #[error("cannot find plugin `{name}`: {}", not_in(name, dirs))]
    NotFound {
        /// The name that was asked for.
        name: String,
        /// The directories that were tried, in order.
        dirs: Vec<PathBuf>,
        /// What the working directory has of that name, or of the file's.
        here: Option<PathBuf>,
        /// The most similar name that the directories do have.
        nearest: Option<String>,
    },
    /// A directory of plugins cannot be read.
    #[error("cannot read plugin directory `{}`: {}", dir.display(), reason(source).replace("file", "directory"))]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file, or a directory above it, cannot be opened or looked at.
    #[error("cannot open plugin `{}`: {}", path.display(), reason(source))]
    Open {
        /// The path as it was asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
        /// The name of the most similar library beside it.
        nearest: Option<String>,
    },
    /// Something that is not a regular file.
    #[error("cannot open plugin `{}`: it is a {found}, not a regular file", path.display())]
    NotAFile {
        /// The path as it was asked for.
        path: PathBuf,
        /// What it is, such as `directory`.
        found: &'static str,
    },
    /// The path cannot be written into a message, a log line or a status document.
    #[error("cannot use plugin `{}`: its path is not valid UTF-8", path.display())]
    Encoding {
        /// The canonical path.
        path: PathBuf,
    },
    /// Somebody other than root and this user could have changed the file.
    #[error("refusing plugin {}: {finding}", file_name(path))]
    Unsafe {
        /// The plugin's canonical path.
        path: PathBuf,
        /// What was found, on the file or on a directory above it.
        finding: Box<Finding>,
    },
    /// The lock file cannot be used, or does not have the plugin.
    #[error("{source}")]
    Lock {
        /// What is wrong with it.
        source: LockError,
    },
    /// More than any plugin has.
    #[error(
        "cannot stage plugin {}: it has {size} bytes, more than {limit}",
        file_name(path)
    )]
    Oversized {
        /// The plugin's canonical path.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file was written to while it was copied.
    #[error("cannot stage plugin {}: `{}` changed while it was read", file_name(path), path.display())]
    Changed {
        /// The plugin's canonical path.
        path: PathBuf,
    },
    /// The private copy could not be made.
    #[error("cannot stage plugin {}: {step}: {}", file_name(path), reason(source))]
    Stage {
        /// The plugin's canonical path.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no plugin for this host.
    #[error("{} {source}", file_name(path))]
    Manifest {
        /// The plugin's canonical path.
        path: PathBuf,
        /// What its bytes say.
        source: ManifestError,
    },
    /// The dynamic linker refused the library.
    #[error("cannot load {}: {detail}", file_name(path))]
    Load {
        /// The plugin's canonical path.
        path: PathBuf,
        /// The linker's words.
        detail: String,
    },
    /// The library loaded, but the handshake failed.
    #[error("cannot load {}: {detail}", file_name(path))]
    Handshake {
        /// The plugin's canonical path.
        path: PathBuf,
        /// What differs.
        detail: String,
    },
    /// Two plugins have a handler of the same name.
    #[error("handler `{handler}` is in two plugins: `{}` and `{}`", first.display(), second.display())]
    Duplicate {
        /// The handler's name.
        handler: String,
        /// The plugin that was asked for first.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
    /// No loaded plugin has a handler of that name.
    #[error("no plugin has a handler `{wanted}`; there {}", listed(known))]
    NoSuchHandler {
        /// The name that was asked for.
        wanted: String,
        /// The names that exist, sorted.
        known: Vec<String>,
        /// The most similar of them.
        nearest: Option<String>,
    },
    /// Several handlers are loaded and none was chosen.
    #[error("no handler is chosen; there {}", listed(known))]
    NoneChosen {
        /// The names that exist, sorted.
        known: Vec<String>,
    },
    /// What a plugin says of a handler cannot be used.
    #[error("cannot use handler `{handler}` of {}: {source}", file_name(path))]
    Description {
        /// The handler's name.
        handler: String,
        /// The canonical path of its plugin.
        path: PathBuf,
        /// What is wrong.
        source: DescriptionError,
    },
    /// A configuration does not fit the schema that the plugin gives.
    #[error("cannot configure handler `{handler}`: {faults}")]
    Unfit {
        /// The handler's name.
        handler: String,
        /// The canonical path of its plugin.
        path: PathBuf,
        /// All that is wrong.
        faults: Faults,
    },
    /// A handler refused its configuration.
    #[error("cannot configure handler `{handler}`: {message}")]
    Configure {
        /// The handler's name.
        handler: String,
        /// The handler's words.
        message: String,
    },
    /// A handler could not be made, although its configuration fits.
    #[error("cannot create handler `{handler}`: {message}")]
    Create {
        /// The handler's name.
        handler: String,
        /// The handler's words.
        message: String,
    },
    /// A handler was made, and has found that it cannot work.
    #[error("handler `{handler}` failed its self-check: {message}")]
    SelfCheck {
        /// The handler's name.
        handler: String,
        /// The handler's words.
        message: String,
    },
    /// A handler panicked before its first job.
    #[error("handler `{handler}` of {} panicked {at}: {message}", file_name(path))]
    Panicked {
        /// The handler's name.
        handler: String,
        /// The canonical path of its plugin.
        path: PathBuf,
        /// What it was at, such as `when it was created`.
        at: &'static str,
        /// The panic's message, with file and line.
        message: String,
    },
}

impl PluginError {
    /// What to do about it, in one line, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            PluginError::Nothing { .. } => Some("name one with `--plugin ./libmailer.so`".to_owned()),
            PluginError::NotFound { here: Some(file), .. } => Some(format!(
                "that is a name to look up; the file in the working directory is `{}`",
                file.display()
            )),
            PluginError::NotFound {
                nearest: Some(name), ..
            } => Some(format!("did you mean `{name}`?")),
            PluginError::NotFound { .. } => {
                Some("give the path of the file, or add its directory to `[plugins] dirs`".to_owned())
            }
            PluginError::Open {
                nearest: Some(name), ..
            } => Some(format!("did you mean `{name}`?")),
            PluginError::Open { source, .. } => open_hint(source),
            PluginError::NotAFile {
                path,
                found: "directory",
            } => Some(format!(
                "`--plugin-dir {}` loads every library in it",
                shell_word(path)
            )),
            PluginError::Unsafe { finding, .. } => Some(format!(
                "run `{}`, or accept the risk with `--allow-unsafe-plugins`",
                finding.remedy()
            )),
            PluginError::Changed { .. } => {
                Some("write the new file beside it and rename it into place (`install`, `mv`)".to_owned())
            }
            PluginError::Lock { source } => source.hint(),
            PluginError::Manifest { source, .. } => source.hint(),
            PluginError::Load { path, detail } => load_hint(path, detail),
            PluginError::Handshake { .. } => Some(REBUILD.to_owned()),
            PluginError::Duplicate { .. } => Some("load only one of the two".to_owned()),
            PluginError::NoSuchHandler {
                nearest: Some(name), ..
            } => Some(format!("did you mean `{name}`?")),
            PluginError::NoneChosen { .. } => Some(
                "choose one with `--handler NAME`, or with `handler` in the file's `[[pool]]`".to_owned(),
            ),
            PluginError::Unfit { path, handler, .. } => Some(format!(
                "`asynccall-host plugin docs {} {handler}` explains every key",
                shell_word(path)
            )),
            PluginError::Description { .. } => Some("its author has to mend the plugin".to_owned()),
            PluginError::NotAFile { .. }
            | PluginError::Directory { .. }
            | PluginError::Encoding { .. }
            | PluginError::Oversized { .. }
            | PluginError::Stage { .. }
            | PluginError::NoSuchHandler { .. }
            | PluginError::Configure { .. }
            | PluginError::Create { .. }
            | PluginError::SelfCheck { .. }
            | PluginError::Panicked { .. } => None,
        }
    }

    /// How a command ends that met it: by whether the files, what was chosen of them, or a handler is at fault. A handler
    /// that was understood and cannot work has failed; it is not the configuration that is wrong.
    pub fn exit(&self) -> Exit {
        match self {
            PluginError::Nothing { .. }
            | PluginError::NotFound { .. }
            | PluginError::Directory { .. }
            | PluginError::Open { .. }
            | PluginError::NotAFile { .. }
            | PluginError::Encoding { .. }
            | PluginError::Unsafe { .. }
            | PluginError::Lock { .. }
            | PluginError::Oversized { .. }
            | PluginError::Changed { .. }
            | PluginError::Stage { .. }
            | PluginError::Manifest { .. }
            | PluginError::Load { .. }
            | PluginError::Handshake { .. } => Exit::NoInput,
            PluginError::Duplicate { .. }
            | PluginError::NoSuchHandler { .. }
            | PluginError::NoneChosen { .. }
            | PluginError::Unfit { .. }
            | PluginError::Configure { .. } => Exit::Config,
            PluginError::Description { .. } => Exit::BadData,
            PluginError::Create { .. } | PluginError::SelfCheck { .. } | PluginError::Panicked { .. } => {
                Exit::Failed
            }
        }
    }

    /// Where the permissions of a file or directory are what it is about.
    pub(super) fn finding(&self) -> Option<&Finding> {
        match self {
            PluginError::Unsafe { finding, .. } => Some(finding),
            PluginError::Lock {
                source: LockError::Unsafe { finding, .. },
            } => Some(finding),
            _ => None,
        }
    }

    /// Both lines: the error, and the hint where there is one.
    pub fn full(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{self}\n  hint: {hint}"),
            None => self.to_string(),
        }
    }
}

/// What every plugin of a request is refused for. Never empty.
#[derive(Debug)]
pub struct PluginErrors(Vec<PluginError>);

impl PluginErrors {
    /// `value` where there are no errors.
    pub(crate) fn or<T>(errors: Vec<PluginError>, value: T) -> Result<T, PluginErrors> {
        if errors.is_empty() {
            Ok(value)
        } else {
            Err(PluginErrors(errors))
        }
    }

    /// The errors, at least one, in the order of the request.
    pub fn errors(&self) -> &[PluginError] {
        &self.0
    }

    /// How a command ends that met them: as the first one says, which is of a file where any is.
    pub fn exit(&self) -> Exit {
        self.0.first().map_or(Exit::NoInput, PluginError::exit)
    }

    /// Whether all of it looks like files that are still being written.
    pub fn are_of_unfinished_files(&self) -> bool {
        let is_unfinished = |error: &PluginError| match error {
            PluginError::Manifest { source, .. } => {
                matches!(source, ManifestError::Empty | ManifestError::Truncated { .. })
            }
            error => matches!(error, PluginError::Changed { .. }),
        };
        self.0.iter().all(is_unfinished)
    }
}

impl From<PluginError> for PluginErrors {
    fn from(error: PluginError) -> Self {
        PluginErrors(vec![error])
    }
}

impl IntoIterator for PluginErrors {
    type Item = PluginError;
    type IntoIter = std::vec::IntoIter<PluginError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for PluginErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            f.write_str(&error.full())?;
        }
        Ok(())
    }
}

impl std::error::Error for PluginErrors {}

/// What to do about a plugin that speaks another abi or was not built as one expects.
pub(super) const REBUILD: &str = "rebuild the plugin with `asynccall-plugin-api = \"1\"`, one in C with what `asynccall-host plugin header` prints";
