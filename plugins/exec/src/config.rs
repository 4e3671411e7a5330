//! The handler's configuration: what an operator wrote, and what it means once checked.
//!
//! Owns the keys, their defaults and their error texts. Looks up the program and the directory, but starts nothing.

mod program;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    time::Duration,
};

use plugin_api::{
    schemars::{self, JsonSchema},
    serde_json,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::launch::Launch;

/// A child that has been told to end gets this long before it is killed.
const DEFAULT_KILL_GRACE: Duration = Duration::from_secs(5);
/// A child that has been asked to give up, or whose link was closed, gets this long before it is told to end.
const DEFAULT_STOP_GRACE: Duration = Duration::from_secs(2);
/// Long enough for an autoloader on a cold disk.
const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_MAX_OUTPUT_BYTES: usize = 64 * 1024;
const DEFAULT_MAX_RESULT_BYTES: usize = 1024 * 1024;
/// `EX_DATAERR` of sysexits(3): the input was at fault, and will be at the next try.
const DEFAULT_BURY: i32 = 65;
/// `EX_TEMPFAIL` of sysexits(3): the sender is invited to try again later.
const DEFAULT_RETRY: i32 = 75;
const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(60);

/// Times are in seconds and may have fractions. Keys of the other mode are errors.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Program and arguments. No shell reads them. The program is an absolute path, or a name that is looked up in
    /// `PATH` when the handler is created.
    #[schemars(length(min = 1), extend("examples" = [["php", "/srv/worker.php"]]))]
    command: Vec<String>,
    /// How the command is used.
    mode: Mode,
    /// Environment variables for the child, added to the worker's.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Do not pass on the worker's environment, only `env`.
    #[serde(default)]
    clear_env: bool,
    /// Working directory; the worker's unless it is given.
    #[schemars(extend("pattern" = "^/", "examples" = ["/srv"]))]
    directory: Option<PathBuf>,
    /// Text for the child, such as the PHP class string: `class` of its hello, `ASYNCCALL_CLASS` in mode oneshot.
    #[schemars(extend("examples" = ["\\Core\\Mailler"]))]
    class: Option<String>,
    /// A table for the child: `options` of its hello, `ASYNCCALL_OPTIONS` as JSON in mode oneshot.
    #[serde(default)]
    options: Map<String, Value>,
    /// Seconds that one job may take; without it the host's `max_runtime` alone counts.
    #[schemars(extend("exclusiveMinimum" = 0, "examples" = [30]))]
    timeout: Option<Seconds>,
    /// Seconds between TERM and KILL.
    #[schemars(extend("default" = DEFAULT_KILL_GRACE.as_secs()))]
    kill_grace: Option<Seconds>,
    /// How much of what a child prints during one job is logged.
    #[schemars(extend("default" = DEFAULT_MAX_OUTPUT_BYTES))]
    max_output_bytes: Option<usize>,
    /// Oneshot: a larger result is left out, with a warning. Persistent: a larger message breaks the protocol.
    #[schemars(extend("default" = DEFAULT_MAX_RESULT_BYTES))]
    max_result_bytes: Option<usize>,
    /// Oneshot only: which exit codes mean what; every other one is a failure.
    exit_codes: Option<ExitCodes>,
    /// Persistent only: seconds that a child may take to say hello.
    #[schemars(extend("default" = DEFAULT_START_TIMEOUT.as_secs()))]
    start_timeout: Option<Seconds>,
    /// Persistent only: seconds between asking a child to give up, or to leave, and TERM.
    #[schemars(extend("default" = DEFAULT_STOP_GRACE.as_secs()))]
    stop_grace: Option<Seconds>,
    /// Persistent only: replace a child after so many jobs; 0: never.
    #[schemars(extend("default" = 0))]
    max_jobs: Option<u64>,
}

/// How the command is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Run once per job.
    Oneshot,
    /// Run once for many jobs, which come as messages.
    Persistent,
}

/// Which exit codes mean what, as it is written. A code that one list names leaves the default of another.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ExitCodes {
    /// The job is done.
    #[schemars(with = "Option<Vec<u8>>", extend("default" = [0]))]
    done: Option<BTreeSet<i32>>,
    /// The job is buried.
    #[schemars(with = "Option<Vec<u8>>", extend("default" = [DEFAULT_BURY]))]
    bury: Option<BTreeSet<i32>>,
    /// The job is tried again after `retry_delay`.
    #[schemars(with = "Option<Vec<u8>>", extend("default" = [DEFAULT_RETRY]))]
    retry: Option<BTreeSet<i32>>,
    /// Seconds until a job comes again after a code of `retry`.
    #[schemars(extend("default" = DEFAULT_RETRY_DELAY.as_secs()))]
    retry_delay: Option<Seconds>,
}

/// A time in seconds; fractions are taken.
#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(inline)]
struct Seconds(#[schemars(with = "f64", range(min = 0, max = LONGEST_S))] Duration);

/// A limit that is centuries away is a mistake, and adding it to a clock would overflow.
const LONGEST_S: u32 = u32::MAX;

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        let time = Duration::try_from_secs_f64(number).ok();
        let time = time.filter(|time| *time <= Duration::from_secs(LONGEST_S.into()));
        time.map(Seconds)
            .ok_or_else(|| de::Error::custom(format_args!("`{number}` is no time, wanted seconds from 0")))
    }
}

/// Why a configuration cannot be used. The text names the key and says what to write instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(
        "`command` is empty, wanted a program and its arguments such as `[\"php\", \"/srv/worker.php\"]`"
    )]
    NoCommand,
    #[error("`{}` of `command` is not an absolute path\n  hint: a daemon has no working directory to count on; a name without `/` is looked up in `PATH`", path.display())]
    Relative { path: PathBuf },
    #[error("`{name}` of `command` is not in `PATH`, which is `{path}`")]
    NotFound { name: String, path: String },
    #[error("cannot use `{}` of `{key}`: {source}", path.display())]
    Path {
        key: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("`{key}` of `env` is not a name of a variable, wanted one without `=` that is not empty")]
    Variable { key: String },
    #[error("`{key}` contains a zero byte, which no program can be given")]
    Nul { key: &'static str },
    #[error("`{key}` needs `mode = \"{mode}\"`")]
    Mode { key: &'static str, mode: &'static str },
    #[error("exit code {code} is both in `exit_codes.{first}` and in `exit_codes.{second}`")]
    Twice {
        code: i32,
        first: &'static str,
        second: &'static str,
    },
    #[error("`{code}` of `exit_codes.{key}` is no exit code, wanted 0 to 255")]
    Code { code: i32, key: &'static str },
    #[error("`{key}` is 0, wanted at least {wanted}")]
    Zero { key: &'static str, wanted: &'static str },
}

/// The checked configuration.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) launch: Launch,
    pub(crate) limits: Limits,
    pub(crate) kind: Kind,
}

/// What holds in both modes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long one job may take; `None` leaves it to the host.
    pub(crate) timeout: Option<Duration>,
    /// Time between TERM and KILL.
    pub(crate) kill_grace: Duration,
    /// How many bytes of output are logged for one job.
    pub(crate) max_output: usize,
    /// How many bytes a result may have.
    pub(crate) max_result: usize,
}

/// What holds in one mode.
#[derive(Debug)]
pub(crate) enum Kind {
    Oneshot(Verdicts),
    Persistent(Persistence),
}

/// Which exit codes mean what; every other one is a failure.
#[derive(Debug)]
pub(crate) struct Verdicts {
    pub(crate) done: BTreeSet<i32>,
    pub(crate) bury: BTreeSet<i32>,
    pub(crate) retry: BTreeSet<i32>,
    pub(crate) retry_delay: Duration,
}

/// How children live.
#[derive(Debug)]
pub(crate) struct Persistence {
    /// How long a child may take to say hello.
    pub(crate) start_timeout: Duration,
    /// How long a child may take to give up, or to leave, when it is asked to.
    pub(crate) stop_grace: Duration,
    /// After how many jobs a child is replaced; `None` for never.
    pub(crate) max_jobs: Option<u64>,
    pub(crate) class: Option<String>,
    pub(crate) options: Map<String, Value>,
}

impl Config {
    /// Checks everything that can be checked without starting anything.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first key that cannot be used.
    pub(crate) fn resolve(self) -> Result<Settings, ConfigError> {
        self.refuse_keys_of_the_other_mode()?;
        let timeout = self.timeout.map(|time| time.0);
        if timeout.is_some_and(|time| time.is_zero()) {
            let wanted = "a fraction of a second; without the key there is no limit but the host's";
            return Err(ConfigError::Zero {
                key: "timeout",
                wanted,
            });
        }
        let limits = Limits {
            timeout,
            kill_grace: self.kill_grace.map_or(DEFAULT_KILL_GRACE, |time| time.0),
            max_output: self.max_output_bytes.unwrap_or(DEFAULT_MAX_OUTPUT_BYTES),
            max_result: self.max_result_bytes.unwrap_or(DEFAULT_MAX_RESULT_BYTES),
        };
        let mut launch = Launch {
            program: program::find(&self.command)?,
            command: self.command,
            environment: self.env,
            clear_environment: self.clear_env,
            directory: self.directory,
        };
        program::check(&launch)?;
        let kind = match self.mode {
            Mode::Oneshot => {
                tell_by_environment(&mut launch.environment, self.class, self.options);
                Kind::Oneshot(
                    self.exit_codes
                        .map_or_else(|| Ok(Verdicts::default()), ExitCodes::resolve)?,
                )
            }
            Mode::Persistent => Kind::Persistent(Persistence {
                start_timeout: self.start_timeout.map_or(DEFAULT_START_TIMEOUT, |time| time.0),
                stop_grace: self.stop_grace.map_or(DEFAULT_STOP_GRACE, |time| time.0),
                max_jobs: self.max_jobs.filter(|jobs| *jobs > 0),
                class: self.class,
                options: self.options,
            }),
        };
        Ok(Settings { launch, limits, kind })
    }

    fn refuse_keys_of_the_other_mode(&self) -> Result<(), ConfigError> {
        let (mode, keys): (_, &[(&'static str, bool)]) = match self.mode {
            Mode::Oneshot => (
                "persistent",
                &[
                    ("start_timeout", self.start_timeout.is_some()),
                    ("stop_grace", self.stop_grace.is_some()),
                    ("max_jobs", self.max_jobs.is_some()),
                ],
            ),
            Mode::Persistent => ("oneshot", &[("exit_codes", self.exit_codes.is_some())]),
        };
        match keys.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(ConfigError::Mode { key, mode }),
            None => Ok(()),
        }
    }
}

/// A command that is run once per job finds in its environment what a persistent child is told by message.
fn tell_by_environment(
    environment: &mut BTreeMap<String, String>,
    class: Option<String>,
    options: Map<String, Value>,
) {
    if let Some(class) = class {
        environment.insert("ASYNCCALL_CLASS".to_owned(), class);
    }
    if !options.is_empty() {
        environment.insert("ASYNCCALL_OPTIONS".to_owned(), Value::Object(options).to_string());
    }
}

impl Default for Verdicts {
    fn default() -> Self {
        Verdicts {
            done: [0].into(),
            bury: [DEFAULT_BURY].into(),
            retry: [DEFAULT_RETRY].into(),
            retry_delay: DEFAULT_RETRY_DELAY,
        }
    }
}

impl ExitCodes {
    fn resolve(self) -> Result<Verdicts, ConfigError> {
        // A code that is named in one list leaves the default of another one.
        let named = [&self.done, &self.bury, &self.retry].map(|codes| codes.iter().flatten().copied());
        let named: BTreeSet<i32> = named.into_iter().flatten().collect();
        let unless_named = |code: i32| BTreeSet::from([code]).difference(&named).copied().collect();
        let verdicts = Verdicts {
            done: self.done.unwrap_or_else(|| unless_named(0)),
            bury: self.bury.unwrap_or_else(|| unless_named(DEFAULT_BURY)),
            retry: self.retry.unwrap_or_else(|| unless_named(DEFAULT_RETRY)),
            retry_delay: self.retry_delay.map_or(DEFAULT_RETRY_DELAY, |time| time.0),
        };
        let lists = [
            ("done", &verdicts.done),
            ("bury", &verdicts.bury),
            ("retry", &verdicts.retry),
        ];
        for (position, (key, codes)) in lists.iter().enumerate() {
            if let Some(code) = codes.iter().find(|code| !(0..=255).contains(*code)) {
                return Err(ConfigError::Code { code: *code, key });
            }
            for (second, others) in lists.iter().skip(position + 1) {
                if let Some(code) = codes.intersection(others).next() {
                    return Err(ConfigError::Twice {
                        code: *code,
                        first: key,
                        second,
                    });
                }
            }
        }
        Ok(verdicts)
    }
}
