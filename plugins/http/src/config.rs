//! The handler's configuration: what an operator wrote, and what it means once checked.
//!
//! Owns the keys, their defaults and their error texts. Reads the files and environment variables that the keys name
//! and, where TLS may be needed, the system's certificates; it looks up no name and opens no connection: a receiver
//! that is down must not keep the handler from starting.

mod headers;
mod secret;
mod tls;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use plugin_api::schemars::{self, JsonSchema};
use serde::Deserialize;

use crate::{
    answer::{Verdict, Verdicts},
    client::{ClientSettings, PrivateAddresses},
    request::{Composer, Form},
    target::{self, Hosts, Source, UrlError},
};

pub(crate) use secret::Secret;
use secret::Text;

/// A receiver that needs longer is better served by a queue of its own.
const DEFAULT_TIMEOUT_S: f64 = 30.0;
const DEFAULT_CONNECT_TIMEOUT_S: f64 = 10.0;
const DEFAULT_MAX_RETRY_AFTER_S: f64 = 3600.0;
/// Shorter than what servers keep an unused connection for, so that few are found closed.
const DEFAULT_IDLE_S: f64 = 15.0;
const DEFAULT_MAX_RESPONSE_BYTES: u64 = 64 * 1024;
const DEFAULT_POOL_SIZE: usize = 32;
/// A limit that is centuries away is a mistake, and adding it to a clock would overflow.
const LONGEST_S: u32 = u32::MAX;

/// Where jobs are posted is said by exactly one of `url` and `url_from`. All paths are absolute; times are in seconds
/// and may have fractions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["url"], "properties": {"url": {"type": "string"}}},
    {"required": ["url_from"], "properties": {"url_from": {"type": "string"}}},
]))]
pub(crate) struct Config {
    /// Where every job is posted.
    #[schemars(extend("examples" = ["https://hooks.example.org/jobs"]))]
    url: Option<String>,
    /// JSON pointer to the URL in the message; needs `allowed_hosts`.
    #[schemars(extend("pattern" = "^/", "examples" = ["/callback"]))]
    url_from: Option<String>,
    /// The hosts that `url_from`, or a redirect, may lead to: a name or address, or `*.example.org` for all below it;
    /// any port.
    #[serde(default)]
    allowed_hosts: Vec<String>,
    /// Whether addresses may be called that are not on the internet; `deny` with `url_from` unless it is given, else
    /// `allow`.
    private_addresses: Option<PrivateAddresses>,
    /// How many redirects are followed.
    #[serde(default)]
    redirects: u32,
    /// Which form of the job's body is sent.
    #[serde(default)]
    body: Form,
    /// Headers for every request.
    #[serde(default)]
    #[schemars(extend("examples" = [{"Authorization": {"file": "/etc/asynccall/hook-token"}}]))]
    headers: BTreeMap<String, Text>,
    /// JSON pointer to the message's own idempotency key, a text or number.
    #[schemars(extend("pattern" = "^/", "examples" = ["/id"]))]
    idempotency_key_from: Option<String>,
    /// The secret that requests are signed with, as text; at most one of the three.
    #[schemars(with = "Option<String>", length(min = 1), extend("writeOnly" = true))]
    secret: Option<Secret>,
    /// The same in a file, whose line end does not count.
    #[schemars(extend("pattern" = "^/", "examples" = ["/etc/asynccall/hook-secret"]))]
    secret_file: Option<PathBuf>,
    /// The same in an environment variable of the worker.
    #[schemars(extend("examples" = ["HOOK_SECRET"]))]
    secret_env: Option<String>,
    /// PEM file of certificate authorities that are trusted beside the system's.
    #[schemars(extend("pattern" = "^/", "examples" = ["/etc/ssl/company.pem"]))]
    ca_file: Option<PathBuf>,
    /// Seconds for the whole request, from the look-up of the name to the end of the answer, redirects included.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = LONGEST_S, "default" = DEFAULT_TIMEOUT_S))]
    timeout: Option<f64>,
    /// Seconds for the connection and TLS.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = LONGEST_S, "default" = DEFAULT_CONNECT_TIMEOUT_S))]
    connect_timeout: Option<f64>,
    /// The longest delay, in seconds, that a receiver may ask for; more is cut to it.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = LONGEST_S, "default" = DEFAULT_MAX_RETRY_AFTER_S))]
    max_retry_after: Option<f64>,
    /// How much of an answer's body is kept.
    #[schemars(extend("default" = DEFAULT_MAX_RESPONSE_BYTES))]
    max_response_bytes: Option<u64>,
    /// Unused connections that each worker keeps; slots never wait for one, they open their own.
    #[schemars(extend("default" = DEFAULT_POOL_SIZE))]
    pool_size: Option<usize>,
    /// Seconds that an unused connection is kept.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = LONGEST_S, "default" = DEFAULT_IDLE_S))]
    idle_timeout: Option<f64>,
    /// What a status from 200 to 599 means, where it is not 2xx: `done`; 408, 425, 429, 503: `retry`; any other 4xx:
    /// `bury`; everything else: `failed`.
    #[serde(default)]
    #[schemars(extend("examples" = [{"409": "done"}]))]
    status: BTreeMap<String, Verdict>,
}

/// The checked configuration.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) source: Source,
    pub(crate) composer: Composer,
    pub(crate) client: ClientSettings,
    pub(crate) verdicts: Verdicts,
}

/// Why a configuration cannot be used. The text names the key and says what to write instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(
        "found {found} of `url` and `url_from`, wanted exactly one\n  hint: `url = \"https://example.org/jobs\"` sends every job there"
    )]
    Sources { found: &'static str },
    #[error("`url` cannot be used: {0}")]
    Url(UrlError),
    #[error("`{key}` needs {needs}")]
    Needs { key: &'static str, needs: &'static str },
    #[error("`{first}` and `{second}` cannot both be given")]
    Both {
        first: &'static str,
        second: &'static str,
    },
    #[error("`{value}` of `{key}` is {reason}, wanted {wanted}")]
    Value {
        key: &'static str,
        value: String,
        reason: &'static str,
        wanted: &'static str,
    },
    #[error("the header `{name}` of `headers` cannot be set: {reason}")]
    Header { name: String, reason: &'static str },
    #[error("cannot use `{}` of `{key}`: {source}", path.display())]
    Path {
        key: String,
        path: PathBuf,
        source: io::Error,
    },
    #[error("`{}` of `{key}` is not an absolute path\n  hint: a daemon has no working directory to count on", path.display())]
    Relative { key: String, path: PathBuf },
    #[error("the environment variable `{name}` of `{key}` is not set, or not text")]
    Environment { key: String, name: String },
    #[error("`{key}` is empty")]
    Empty { key: String },
    #[error("`{}` of `ca_file` holds no usable certificate: {reason}\n  hint: it must be a PEM file", path.display())]
    Certificate { path: PathBuf, reason: String },
    #[error(
        "found no certificate authority on this system: {reason}\n  hint: install `ca-certificates`, or give a `ca_file`"
    )]
    NoAuthorities { reason: String },
}

impl Config {
    /// Checks everything that can be checked without a connection.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first key that cannot be used.
    pub(crate) fn resolve(self) -> Result<Settings, ConfigError> {
        let allowed = hosts(&self.allowed_hosts)?;
        let source = source(self.url, self.url_from, &self.allowed_hosts, self.redirects)?;
        let private_addresses = self.private_addresses.unwrap_or(match source {
            Source::Fixed(_) => PrivateAddresses::Allow,
            Source::Message { .. } => PrivateAddresses::Deny,
        });
        let needs_tls = match &source {
            // A redirect may lead from http to https.
            Source::Fixed(url) => url.scheme() == "https" || self.redirects > 0,
            Source::Message { .. } => true,
        };
        let composer = Composer {
            form: self.body,
            headers: headers::read(self.headers)?,
            key: self
                .idempotency_key_from
                .map(|text| pointer("idempotency_key_from", text))
                .transpose()?,
            secret: secret::find(self.secret, self.secret_file, self.secret_env)?,
        };
        let client = ClientSettings {
            connect_timeout: limit("connect_timeout", self.connect_timeout, DEFAULT_CONNECT_TIMEOUT_S)?,
            timeout: limit("timeout", self.timeout, DEFAULT_TIMEOUT_S)?,
            max_response_bytes: self.max_response_bytes.unwrap_or(DEFAULT_MAX_RESPONSE_BYTES),
            redirects: self.redirects,
            allowed,
            private_addresses,
            pool_size: self.pool_size.unwrap_or(DEFAULT_POOL_SIZE),
            idle: limit("idle_timeout", self.idle_timeout, DEFAULT_IDLE_S)?,
            tls: tls::read(self.ca_file, needs_tls)?,
        };
        let verdicts = Verdicts {
            named: self
                .status
                .into_iter()
                .map(|(code, verdict)| Ok((status(&code)?, verdict)))
                .collect::<Result<_, _>>()?,
            max_retry_after: limit("max_retry_after", self.max_retry_after, DEFAULT_MAX_RETRY_AFTER_S)?,
        };
        Ok(Settings {
            source,
            composer,
            client,
            verdicts,
        })
    }
}

/// Where URLs come from, and whether the list of hosts fits to that.
fn source(
    url: Option<String>,
    url_from: Option<String>,
    allowed_hosts: &[String],
    redirects: u32,
) -> Result<Source, ConfigError> {
    match (url, url_from) {
        (None, None) => Err(ConfigError::Sources { found: "none" }),
        (Some(_), Some(_)) => Err(ConfigError::Sources { found: "both" }),
        (Some(_), None) if redirects == 0 && !allowed_hosts.is_empty() => Err(ConfigError::Needs {
            key: "allowed_hosts",
            needs: "`url_from`, or `redirects` above 0: a fixed `url` leads to no other host",
        }),
        (Some(text), None) => target::parse(&text).map(Source::Fixed).map_err(ConfigError::Url),
        (None, Some(_)) if allowed_hosts.is_empty() => Err(ConfigError::Needs {
            key: "url_from",
            needs: "`allowed_hosts` such as `[\"hooks.example.org\", \"*.example.net\"]`: who can put a job could call any host",
        }),
        (None, Some(text)) => Ok(Source::Message {
            pointer: pointer("url_from", text)?,
            allowed: hosts(allowed_hosts)?,
        }),
    }
}

fn hosts(entries: &[String]) -> Result<Hosts, ConfigError> {
    Hosts::read(entries).map_err(|entry| ConfigError::Value {
        key: "allowed_hosts",
        value: entry.escape_debug().to_string(),
        reason: "no host",
        wanted: "a name or address such as `hooks.example.org`, or `*.example.org`, without scheme and port",
    })
}

/// Checks a JSON pointer (RFC 6901).
fn pointer(key: &'static str, text: String) -> Result<String, ConfigError> {
    if text.starts_with('/') {
        return Ok(text);
    }
    Err(ConfigError::Value {
        key,
        value: text.escape_debug().to_string(),
        reason: "no JSON pointer",
        wanted: "a path into the message such as `/callback` or `/methodParams/url`",
    })
}

/// Reads a time in seconds that is above 0; fractions are taken.
fn limit(key: &'static str, seconds: Option<f64>, default: f64) -> Result<Duration, ConfigError> {
    let seconds = seconds.unwrap_or(default);
    let time = Duration::try_from_secs_f64(seconds).ok();
    time.filter(|time| !time.is_zero() && *time <= Duration::from_secs(LONGEST_S.into()))
        .ok_or_else(|| ConfigError::Value {
            key,
            value: seconds.to_string(),
            reason: "no time to wait",
            wanted: "seconds above 0",
        })
}

/// Reads the key of a line in the `status` table.
fn status(code: &str) -> Result<u16, ConfigError> {
    code.parse()
        .ok()
        .filter(|code| (200..=599).contains(code))
        .ok_or_else(|| ConfigError::Value {
            key: "status",
            value: code.escape_debug().to_string(),
            reason: "no final status",
            wanted: "a number from 200 to 599",
        })
}

fn require_absolute(key: &str, path: &Path) -> Result<(), ConfigError> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(ConfigError::Relative {
        key: key.to_owned(),
        path: path.to_owned(),
    })
}
