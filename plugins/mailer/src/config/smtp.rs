//! The keys of the `smtp` table.

use std::{env, fs, net::IpAddr, path::PathBuf, time::Duration};

use lettre::transport::smtp::{
    authentication::Credentials,
    client::{Certificate, TlsParameters},
    extension::ClientId,
};
use plugin_api::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

use super::{ConfigError, Secret, require_absolute};
use crate::transport::{Security, SmtpSettings};

const DEFAULT_TIMEOUT_S: u64 = 60;
const DEFAULT_POOL_SIZE: usize = 8;
const DEFAULT_IDLE_S: u64 = 60;

/// How to reach an SMTP server, as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmtpConfig {
    /// Name or address of the server, without port and scheme.
    #[schemars(length(min = 1), extend("examples" = ["mail.example.org"]))]
    host: String,
    /// 587 for `starttls` and `opportunistic`, 465 for `implicit`, 25 for `none` unless it is given.
    #[schemars(range(min = 1, max = 65535), extend("examples" = [587]))]
    port: Option<u64>,
    /// When the connection becomes encrypted.
    #[serde(default)]
    tls: Tls,
    /// PEM file of certificate authorities that are trusted beside the system's.
    #[schemars(extend("pattern" = "^/", "examples" = ["/etc/ssl/company.pem"]))]
    ca_file: Option<PathBuf>,
    /// Log in as this user; needs one of the passwords.
    #[schemars(extend("examples" = ["shop"]))]
    user: Option<String>,
    /// The user's password, as text.
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    password: Option<Secret>,
    /// The same in a file, whose line end does not count.
    #[schemars(extend("pattern" = "^/", "examples" = ["/etc/asynccall/smtp-password"]))]
    password_file: Option<PathBuf>,
    /// The same in an environment variable of the worker.
    #[schemars(extend("examples" = ["SHOP_SMTP_PASSWORD"]))]
    password_env: Option<String>,
    /// The name to greet the server with; this machine's unless it is given.
    #[schemars(length(min = 1), extend("examples" = ["shop.example.org"]))]
    hello_name: Option<String>,
    /// Seconds to wait for the connection and for each answer.
    #[schemars(range(min = 1), extend("default" = DEFAULT_TIMEOUT_S))]
    timeout_s: Option<u64>,
    /// Connections kept between mails; slots never wait for one, they open their own.
    #[schemars(extend("default" = DEFAULT_POOL_SIZE))]
    pool_size: Option<usize>,
    /// Seconds that a connection is kept without a mail.
    #[schemars(extend("default" = DEFAULT_IDLE_S))]
    idle_s: Option<u64>,
}

/// When the connection becomes encrypted. The default is the safe one that most providers offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tls {
    /// Never.
    None,
    /// With STARTTLS where the server offers it; a man in the middle can remove the offer.
    Opportunistic,
    /// With STARTTLS; a server without it is refused.
    #[default]
    Starttls,
    /// From the first byte (RFC 8314).
    Implicit,
}

impl Tls {
    /// The port that is customary for this kind of connection.
    fn default_port(self) -> u16 {
        match self {
            Tls::None => 25,
            Tls::Opportunistic | Tls::Starttls => 587,
            Tls::Implicit => 465,
        }
    }
}

impl SmtpConfig {
    /// Checks the keys, reads the password and the CA file.
    pub(super) fn resolve(self) -> Result<SmtpSettings, ConfigError> {
        if self.host.is_empty() || self.host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(ConfigError::Value {
                key: "smtp.host",
                value: self.host,
                reason: "it is not a host name".to_owned(),
                wanted: "a name or an address such as `mail.example.org`, without port and scheme",
            });
        }
        let port = port(self.port, self.tls)?;
        let timeout_s = at_least_one("smtp.timeout_s", self.timeout_s.unwrap_or(DEFAULT_TIMEOUT_S))?;
        let hello = hello(self.hello_name)?;
        let credentials = credentials(
            self.user,
            self.password,
            self.password_file,
            self.password_env,
            self.tls,
        )?;
        let security = security(self.tls, &self.host, self.ca_file)?;
        Ok(SmtpSettings {
            host: self.host,
            port,
            security,
            credentials,
            hello,
            timeout: Duration::from_secs(timeout_s),
            pool_size: self.pool_size.unwrap_or(DEFAULT_POOL_SIZE),
            idle: Duration::from_secs(self.idle_s.unwrap_or(DEFAULT_IDLE_S)),
        })
    }
}

fn port(given: Option<u64>, tls: Tls) -> Result<u16, ConfigError> {
    match given {
        None => Ok(tls.default_port()),
        Some(number) => u16::try_from(number)
            .ok()
            .filter(|port| *port != 0)
            .ok_or(ConfigError::Value {
                key: "smtp.port",
                value: number.to_string(),
                reason: "it is not a port".to_owned(),
                wanted: "a number from 1 to 65535",
            }),
    }
}

fn at_least_one(key: &'static str, seconds: u64) -> Result<u64, ConfigError> {
    if seconds > 0 {
        return Ok(seconds);
    }
    Err(ConfigError::Value {
        key,
        value: seconds.to_string(),
        reason: "nothing answers at once".to_owned(),
        wanted: "at least 1 second",
    })
}

/// What to say in `EHLO`: the given name, or this machine's.
fn hello(name: Option<String>) -> Result<ClientId, ConfigError> {
    let Some(name) = name else {
        return Ok(ClientId::default());
    };
    match name.parse() {
        Ok(IpAddr::V4(address)) => return Ok(ClientId::Ipv4(address)),
        Ok(IpAddr::V6(address)) => return Ok(ClientId::Ipv6(address)),
        Err(_) => {}
    }
    if name.is_empty() || name.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(ConfigError::Value {
            key: "smtp.hello_name",
            value: name.escape_debug().to_string(),
            reason: "it is not a host name".to_owned(),
            wanted: "an ASCII name such as `shop.example.org`",
        });
    }
    Ok(ClientId::Domain(name))
}

/// Finds the password in the one place that was given for it.
fn credentials(
    user: Option<String>,
    inline: Option<Secret>,
    file: Option<PathBuf>,
    variable: Option<String>,
    tls: Tls,
) -> Result<Option<Credentials>, ConfigError> {
    const INLINE: &str = "smtp.password";
    const FILE: &str = "smtp.password_file";
    const VARIABLE: &str = "smtp.password_env";
    let password = match (inline, file, variable) {
        (None, None, None) => None,
        (Some(secret), None, None) => Some((INLINE, secret)),
        (None, Some(path), None) => Some((FILE, read_password(FILE, path)?)),
        (None, None, Some(name)) => match env::var(&name) {
            Ok(text) => Some((VARIABLE, Secret::new(text))),
            Err(_) => return Err(ConfigError::Environment { key: VARIABLE, name }),
        },
        (Some(_), Some(_), _) => {
            return Err(ConfigError::Both {
                first: INLINE,
                second: FILE,
            });
        }
        (Some(_), _, Some(_)) => {
            return Err(ConfigError::Both {
                first: INLINE,
                second: VARIABLE,
            });
        }
        (None, Some(_), Some(_)) => {
            return Err(ConfigError::Both {
                first: FILE,
                second: VARIABLE,
            });
        }
    };
    match (user, password) {
        (None, None) => Ok(None),
        (None, Some((key, _))) => Err(ConfigError::Needs {
            key,
            needs: "`smtp.user` beside it",
        }),
        (Some(_), None) => Err(ConfigError::Needs {
            key: "smtp.user",
            needs: "one of `smtp.password`, `smtp.password_file` and `smtp.password_env` beside it",
        }),
        (Some(_), Some(_)) if tls == Tls::Opportunistic => Err(ConfigError::Needs {
            key: "smtp.user",
            needs: "`tls = \"starttls\"` or `tls = \"implicit\"`: with `opportunistic` a man in the middle gets the password",
        }),
        (Some(user), Some((_, secret))) => Ok(Some(Credentials::new(user, secret.expose().to_owned()))),
    }
}

/// Reads a password file; the line end that editors add does not belong to the password.
pub(super) fn read_password(key: &'static str, path: PathBuf) -> Result<Secret, ConfigError> {
    require_absolute(key, &path)?;
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(source) => {
            let hint = "the user that the workers run as must be able to read it, as UTF-8 text".to_owned();
            Err(ConfigError::Path {
                key,
                path,
                hint,
                source,
            })
        }
    }
}

fn security(tls: Tls, host: &str, ca_file: Option<PathBuf>) -> Result<Security, ConfigError> {
    const KEY: &str = "smtp.ca_file";
    if tls == Tls::None {
        return match ca_file {
            None => Ok(Security::None),
            Some(_) => Err(ConfigError::Needs {
                key: KEY,
                needs: "another `smtp.tls` than `none`",
            }),
        };
    }
    let mut parameters = TlsParameters::builder(host.to_owned());
    if let Some(path) = ca_file {
        parameters = parameters.add_root_certificate(read_authority(KEY, path)?);
    }
    let parameters = parameters.build().map_err(|error| ConfigError::Tls {
        reason: error.to_string(),
    })?;
    Ok(match tls {
        Tls::Implicit => Security::Implicit(parameters),
        Tls::Starttls => Security::Starttls(parameters),
        Tls::Opportunistic | Tls::None => Security::Opportunistic(parameters),
    })
}

/// Reads the certificates of a PEM file that are trusted beside the system's.
fn read_authority(key: &'static str, path: PathBuf) -> Result<Certificate, ConfigError> {
    require_absolute(key, &path)?;
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => {
            let hint = "the user that the workers run as must be able to read it".to_owned();
            return Err(ConfigError::Path {
                key,
                path,
                hint,
                source,
            });
        }
    };
    // lettre takes a file without any certificate for an empty list, and the first handshake would fail instead.
    if !pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        let reason = "no `BEGIN CERTIFICATE` in it".to_owned();
        return Err(ConfigError::Certificate { key, path, reason });
    }
    Certificate::from_pem(&pem).map_err(|error| ConfigError::Certificate {
        key,
        path,
        reason: error.to_string(),
    })
}

/// How a certificate begins in a PEM file (RFC 7468, section 5).
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
