//! What the operator has written, checked.

use std::{env, fs, path::PathBuf, time::Duration};

use plugin_api::{
    schemars::{self, JsonSchema},
    serde::Deserialize,
};
use sea_orm::ConnectOptions;
use thiserror::Error;

/// The database is named by exactly one of `url`, `url_file` and `url_env`.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["url_env"], "properties": {"url_env": {"type": "string"}}},
    {"required": ["url_file"], "properties": {"url_file": {"type": "string"}}},
    {"required": ["url"], "properties": {"url": {"type": "string"}}},
]))]
pub struct Config {
    /// The database, as text.
    #[schemars(extend("writeOnly" = true, "examples" = ["sqlite:///var/lib/shop.db"]))]
    url: Option<String>,
    /// The same in a file, whose line end does not count.
    #[schemars(extend("examples" = ["/etc/asynccall/shop-database"]))]
    url_file: Option<PathBuf>,
    /// The same in an environment variable of the worker.
    #[schemars(extend("examples" = ["SHOP_DATABASE_URL"]))]
    url_env: Option<String>,
    /// Connections of one worker; more slots than that wait for each other.
    #[serde(default = "defaults::max_connections")]
    #[schemars(range(min = 1))]
    max_connections: u32,
    /// Connections that are kept without work, at most `max_connections`.
    #[serde(default)]
    min_connections: u32,
    /// Seconds to wait for a connection.
    #[serde(default = "defaults::connect_timeout_s")]
    #[schemars(range(min = 1))]
    connect_timeout_s: u32,
    /// Seconds that a connection is kept without work.
    #[serde(default = "defaults::idle_s")]
    #[schemars(range(min = 1))]
    idle_s: u32,
    /// Seconds after which a connection is replaced.
    #[serde(default = "defaults::max_lifetime_s")]
    #[schemars(range(min = 1))]
    max_lifetime_s: u32,
    /// Each job in a transaction: committed when it is done, rolled back otherwise. On SQLite it takes the lock for
    /// writing at once.
    #[serde(default = "defaults::yes")]
    transaction: bool,
    /// Ask the database before the first job: a start or reload without it is refused.
    #[serde(default = "defaults::yes")]
    self_check: bool,
    /// Seconds until a job comes again that the database was not ready for.
    #[serde(default = "defaults::retry_s")]
    retry_s: u32,
    /// The PHP namespaces in which a model may be named; all unless it is given.
    #[schemars(extend("examples" = [["App\\Models"]]))]
    namespaces: Option<Vec<String>>,
}

mod defaults {
    pub(super) fn max_connections() -> u32 {
        4
    }

    pub(super) fn connect_timeout_s() -> u32 {
        8
    }

    pub(super) fn idle_s() -> u32 {
        600
    }

    pub(super) fn max_lifetime_s() -> u32 {
        1800
    }

    pub(super) fn retry_s() -> u32 {
        10
    }

    pub(super) fn yes() -> bool {
        true
    }
}

/// What the configuration means.
pub(crate) struct Resolved {
    pub(crate) options: ConnectOptions,
    /// Whether each job runs in a transaction.
    pub(crate) transaction: bool,
    /// Whether the handler asks the database before the first job.
    pub(crate) self_check: bool,
    /// When a job comes again that the database was not ready for.
    pub(crate) retry: Duration,
    /// The namespaces of PHP that are accepted; `None` for all.
    pub(crate) namespaces: Option<Vec<String>>,
}

/// Why the configuration cannot be used. No text has the URL in it, which may hold a password.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("found {found} of `url`, `url_file` and `url_env`, wanted exactly one")]
    Url { found: usize },
    #[error("cannot read `url_file` `{}`: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("`url_env` names the environment variable `{name}`, which is not set to a text")]
    Environment { name: String },
    #[error("the URL begins with `{scheme}`, wanted {wanted}")]
    Scheme { scheme: String, wanted: String },
    #[error("`{key}` is 0, wanted at least 1")]
    Zero { key: &'static str },
    #[error("`min_connections` is {min}, wanted at most `max_connections`, {max}")]
    Connections { min: u32, max: u32 },
}

/// The databases that this build speaks to, by the scheme of their URLs.
const SCHEMES: &[&str] = &[
    #[cfg(feature = "sqlite")]
    "sqlite",
    #[cfg(feature = "postgres")]
    "postgres",
    #[cfg(feature = "postgres")]
    "postgresql",
    #[cfg(feature = "mysql")]
    "mysql",
    #[cfg(feature = "mysql")]
    "mariadb",
];

impl Config {
    /// Checks everything that can be checked without a database.
    pub(crate) fn resolve(self) -> Result<Resolved, ConfigError> {
        for (key, value) in [
            ("max_connections", self.max_connections),
            ("connect_timeout_s", self.connect_timeout_s),
            ("idle_s", self.idle_s),
            ("max_lifetime_s", self.max_lifetime_s),
        ] {
            if value == 0 {
                return Err(ConfigError::Zero { key });
            }
        }
        if self.min_connections > self.max_connections {
            return Err(ConfigError::Connections {
                min: self.min_connections,
                max: self.max_connections,
            });
        }
        let url = url(self.url, self.url_file, self.url_env)?;
        check_scheme(&url)?;
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let mut options = ConnectOptions::new(url);
        // Connections are opened when a job needs them: a database that is away keeps no worker from starting.
        options
            .connect_lazy(true)
            .max_connections(self.max_connections)
            .min_connections(self.min_connections)
            .connect_timeout(seconds(self.connect_timeout_s))
            .acquire_timeout(seconds(self.connect_timeout_s))
            .idle_timeout(seconds(self.idle_s))
            .max_lifetime(seconds(self.max_lifetime_s))
            // Statements have the data of messages in them.
            .sqlx_logging(false);
        Ok(Resolved {
            options,
            transaction: self.transaction,
            self_check: self.self_check,
            retry: seconds(self.retry_s),
            namespaces: self.namespaces,
        })
    }
}

fn url(
    given: Option<String>,
    file: Option<PathBuf>,
    variable: Option<String>,
) -> Result<String, ConfigError> {
    match (given, file, variable) {
        (Some(url), None, None) => Ok(url),
        (None, Some(path), None) => match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(source) => Err(ConfigError::File { path, source }),
        },
        (None, None, Some(name)) => env::var(&name).map_err(|_| ConfigError::Environment { name }),
        (given, file, variable) => {
            let found = [given.is_some(), file.is_some(), variable.is_some()];
            Err(ConfigError::Url {
                found: found.into_iter().filter(|given| *given).count(),
            })
        }
    }
}

fn check_scheme(url: &str) -> Result<(), ConfigError> {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    if SCHEMES.contains(&scheme) {
        return Ok(());
    }
    // What has no colon where a scheme ends could be anything, a password too.
    let plain = scheme
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    let scheme = if plain && scheme.len() <= 16 {
        scheme
    } else {
        "…"
    };
    let wanted = SCHEMES.iter().map(|scheme| format!("`{scheme}:`"));
    Err(ConfigError::Scheme {
        scheme: format!("{scheme}:"),
        wanted: wanted.collect::<Vec<_>>().join(" or "),
    })
}
