//! What is wrong with a configuration: all of it at once, one line per problem.
//!
//! A problem is a place (flag, variable, or file with line and key) and a fault. Values of known settings are
//! shown, shortened; nothing of a handler's configuration is, because it may hold secrets.

use std::fmt;
use std::path::PathBuf;

use asynccall_client::tube::TubeNameError;

use crate::exit::Exit;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A flag, without its dashes.
    Flag(&'static str),
    /// An environment variable.
    Variable(String),
    /// A file, with the line (from 1) and the key path where they are known.
    File {
        /// The file's path, absolute.
        path: PathBuf,
        /// The line, counted from 1.
        line: Option<usize>,
        /// The key with its tables, as `pool.backoff.first`.
        key: Option<String>,
    },
    /// Given nowhere: a setting, by its key path, that was left to its default.
    Unset(String),
}

impl Place {
    /// The same place with the file's line alone.
    pub(crate) fn without_key(&self) -> Self {
        match self {
            Self::File { path, line, .. } => Self::File {
                path: path.clone(),
                line: *line,
                key: None,
            },
            other => other.clone(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(out, "`--{name}`"),
            Self::Variable(name) => write!(out, "`{}`", name.escape_debug()),
            Self::Unset(key) => write!(out, "`{key}`"),
            Self::File { path, line, key } => {
                write!(out, "{}", path.display())?;
                if let Some(line) = line {
                    write!(out, ":{line}")?;
                }
                match key {
                    // A quoted key may have any character, and a problem is one line.
                    Some(key) => write!(out, ": `{}`", key.escape_debug()),
                    None => Ok(()),
                }
            }
        }
    }
}

/// What to do about a fault, where there is something to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hint(pub Option<String>);

impl Hint {
    /// A hint with this text.
    pub fn some(text: impl Into<String>) -> Self {
        Self(Some(text.into()))
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(text) => write!(out, "; hint: {text}"),
            None => Ok(()),
        }
    }
}

/// What is wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The value has the wrong type or is out of bounds.
    #[error("found {found}, wanted {wanted}{hint}")]
    Value {
        /// The value, shortened and quoted.
        found: String,
        /// What would have been right.
        wanted: String,
        /// How to write it.
        hint: Hint,
    },
    /// No setting has this name.
    #[error("unknown {what}{hint}")]
    Unknown {
        /// `key` or `variable`.
        what: &'static str,
        /// The nearest known name.
        hint: Hint,
    },
    /// One setting is given twice, under two names or in two tables.
    #[error("the same setting as {other}; hint: keep one of them")]
    Twice {
        /// The other place.
        other: Place,
    },
    /// A pool's setting at the top level of a file with `[[pool]]` tables.
    #[error("cannot stand beside the `[[pool]]` of {pool}; hint: move it into the pool it is meant for")]
    BesidePools {
        /// The first of the tables.
        pool: Place,
    },
    /// A pool's setting by flag or variable, beside a file with several pools.
    #[error("means the only pool, but {pool} has a second one; hint: set it in the file, in its `[[pool]]`")]
    BesideSeveralPools {
        /// The second of the tables.
        pool: Place,
    },
    /// A setting that must be given is not.
    #[error("found nothing, wanted {wanted}{hint}")]
    Missing {
        /// What must be given.
        wanted: String,
        /// How to give it.
        hint: Hint,
    },
    /// The file is not TOML, or not JSON.
    #[error("{message}")]
    Syntax {
        /// The parser's words.
        message: String,
    },
    /// The file cannot be read.
    #[error("cannot be read: {message}")]
    Unreadable {
        /// The system's words.
        message: String,
    },
    /// A tube that cannot be watched under the pool's naming.
    #[error("{source}; hint: `tube_naming` `both` or `crc32` takes any name")]
    Tube {
        /// The rule of beanstalkd that the name breaks.
        source: TubeNameError,
    },
    /// A value that is left aside.
    #[error("ignored: {reason}{hint}")]
    Ignored {
        /// Why.
        reason: String,
        /// What may have been meant.
        hint: Hint,
    },
    /// A value is taken, and has a consequence that may not be wanted.
    #[error("{message}")]
    Remark {
        /// The consequence.
        message: String,
    },
    /// The table of settings and the structs disagree: an error of the daemon.
    #[error("the table of settings does not fit its struct: {message}")]
    Internal {
        /// serde's words.
        message: String,
    },
}

/// One problem or warning. Its `Display` is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

impl Problem {
    pub(crate) fn new(place: Place, fault: Fault) -> Self {
        Self { place, fault }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.fault)
    }
}

/// Every problem of a configuration. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// `problems` as an error, or `value` where there are none.
    pub(crate) fn unless_empty<T>(problems: Vec<Problem>, value: T) -> Result<T, Self> {
        if problems.is_empty() {
            Ok(value)
        } else {
            Err(Self(problems))
        }
    }

    /// One problem.
    pub(crate) fn one(place: Place, fault: Fault) -> Self {
        Self(vec![Problem::new(place, fault)])
    }

    /// With `earlier` problems before these.
    pub(crate) fn after(self, mut earlier: Vec<Problem>) -> Self {
        earlier.extend(self.0);
        Self(earlier)
    }

    /// The problems: files that cannot be read, then those of the file by line, then variables, flags, and what is
    /// wrong between them.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }

    /// [`Exit::Usage`] if only flags are wrong, [`Exit::NoInput`] if only files cannot be read, else
    /// [`Exit::Config`].
    pub fn exit(&self) -> Exit {
        let all = |test: fn(&Problem) -> bool| self.0.iter().all(test);
        if all(|problem| matches!(problem.fault, Fault::Unreadable { .. })) {
            Exit::NoInput
        } else if all(|problem| matches!(problem.place, Place::Flag(_))) {
            Exit::Usage
        } else {
            Exit::Config
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            write!(out, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Everything found while a configuration is put together.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Report {
    pub(crate) fn problem(&mut self, place: Place, fault: Fault) {
        self.problems.push(Problem::new(place, fault));
    }

    pub(crate) fn warning(&mut self, place: Place, fault: Fault) {
        self.warnings.push(Problem::new(place, fault));
    }
}
