//! The handler's configuration: what an operator wrote, and what it means once checked.
//!
//! Owns the keys, their defaults and their error texts. Reads the files that the keys name (password, CA) and looks
//! at the directories, but opens no connection: a server that is down must not keep the handler from starting.

mod privilege;
mod secret;
mod smtp;

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use lettre::message::Mailbox;
use plugin_api::schemars::{self, JsonSchema};
use serde::Deserialize;

use crate::message::{Composer, parse_mailbox};
use crate::transport::{FileTransport, Sendmail, Smtp, Transport};

pub(crate) use secret::Secret;
pub(crate) use smtp::SmtpConfig;

/// The largest mail that is built unless `max_message_bytes` says otherwise: what most servers take.
const DEFAULT_MAX_MESSAGE_BYTES: u64 = 25 * 1024 * 1024;

/// How mails leave is said by exactly one of the tables `smtp`, `sendmail` and `file`. All paths are absolute.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["smtp"], "properties": {"smtp": {"type": "object"}}},
    {"required": ["sendmail"], "properties": {"sendmail": {"type": "object"}}},
    {"required": ["file"], "properties": {"file": {"type": "object"}}},
]))]
pub(crate) struct Config {
    /// The server that mails are sent by.
    smtp: Option<SmtpConfig>,
    /// The command that mails are handed to, on the worker's machine.
    sendmail: Option<SendmailConfig>,
    /// Where mails are written to instead of being sent.
    file: Option<FileConfig>,
    /// The sender of messages that name none.
    #[schemars(extend("examples" = ["Shop <shop@example.org>"]))]
    from: Option<String>,
    /// Directory that attachments with a `path` are read from; without it they are refused.
    #[schemars(extend("pattern" = "^/", "examples" = ["/srv/attachments"]))]
    attachments_root: Option<PathBuf>,
    /// Largest mail that is sent, attachments included and encoded; largest file that is read.
    #[schemars(extend("default" = DEFAULT_MAX_MESSAGE_BYTES))]
    max_message_bytes: Option<u64>,
}

/// Hands mails to a local `sendmail` command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SendmailConfig {
    /// Run as `COMMAND -i -f SENDER -- RECIPIENT…` with the mail as its input.
    #[serde(default = "default_command")]
    #[schemars(extend("pattern" = "^/"))]
    command: PathBuf,
}

fn default_command() -> PathBuf {
    PathBuf::from("/usr/sbin/sendmail")
}

/// Writes mails as `.eml` files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileConfig {
    /// An existing directory; mails appear whole as `*.eml`, in names that sort by time.
    #[schemars(extend("pattern" = "^/", "examples" = ["/var/spool/mails"]))]
    dir: PathBuf,
}

/// Why a configuration cannot be used. The text names the key and says what to write instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error(
        "found {found} of the tables `smtp`, `sendmail` and `file`, wanted exactly one\n  \
         hint: for a server on this machine write `smtp = {{ host = \"localhost\", tls = \"none\" }}`"
    )]
    Transports { found: usize },
    #[error("`{key}` is `{value}`: {reason}, wanted {wanted}")]
    Value {
        key: &'static str,
        value: String,
        reason: String,
        wanted: &'static str,
    },
    #[error("`{key}` needs {needs}")]
    Needs { key: &'static str, needs: &'static str },
    #[error("`{first}` and `{second}` cannot both be given")]
    Both {
        first: &'static str,
        second: &'static str,
    },
    #[error("cannot use `{}` of `{key}`: {source}\n  hint: {hint}", path.display())]
    Path {
        key: &'static str,
        path: PathBuf,
        hint: String,
        source: io::Error,
    },
    #[error("`{}` of `{key}` is not an absolute path\n  hint: a daemon has no working directory to count on", path.display())]
    Relative { key: &'static str, path: PathBuf },
    #[error("`{}` of `{key}` holds no usable certificate: {reason}\n  hint: it must be a PEM file", path.display())]
    Certificate {
        key: &'static str,
        path: PathBuf,
        reason: String,
    },
    #[error("the environment variable `{name}` of `{key}` is not set")]
    Environment { key: &'static str, name: String },
    #[error(
        "`sendmail.command` needs the rights of the set-id program `{}`, which this pool's workers cannot give it\n  \
         hint: set `no_new_privs = false` in the pool, or send by `smtp`",
        program.display()
    )]
    Privilege { program: PathBuf },
    #[error("cannot set up TLS: {reason}")]
    Tls { reason: String },
}

impl Config {
    /// Checks everything that can be checked without a connection, and makes the two halves of the handler.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first key that cannot be used.
    pub(crate) fn resolve(self) -> Result<(Composer, Transport), ConfigError> {
        let transport = match (self.smtp, self.sendmail, self.file) {
            (Some(smtp), None, None) => Transport::Smtp(Box::new(Smtp::new(smtp.resolve()?))),
            (None, Some(sendmail), None) => Transport::Sendmail(sendmail.resolve()?),
            (None, None, Some(file)) => Transport::File(file.resolve()?),
            (smtp, sendmail, file) => {
                let found = [smtp.is_some(), sendmail.is_some(), file.is_some()];
                return Err(ConfigError::Transports {
                    found: found.iter().filter(|given| **given).count(),
                });
            }
        };
        let from = self.from.map(|text| sender(&text)).transpose()?;
        let attachments_root = self.attachments_root;
        if let Some(root) = &attachments_root {
            require_directory("attachments_root", root)?;
        }
        let max_bytes = self.max_message_bytes.unwrap_or(DEFAULT_MAX_MESSAGE_BYTES);
        Ok((
            Composer {
                from,
                attachments_root,
                max_bytes,
            },
            transport,
        ))
    }
}

impl SendmailConfig {
    fn resolve(self) -> Result<Sendmail, ConfigError> {
        const KEY: &str = "sendmail.command";
        let path = self.command;
        require_absolute(KEY, &path)?;
        let hint = || "give the path of a sendmail-compatible command".to_owned();
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(source) => {
                return Err(ConfigError::Path {
                    key: KEY,
                    path,
                    hint: hint(),
                    source,
                });
            }
        };
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            let source = io::Error::new(io::ErrorKind::PermissionDenied, "it is not an executable file");
            return Err(ConfigError::Path {
                key: KEY,
                path,
                hint: hint(),
                source,
            });
        }
        match privilege::denied(&path) {
            Some(program) => Err(ConfigError::Privilege { program }),
            None => Ok(Sendmail::new(path)),
        }
    }
}

impl FileConfig {
    fn resolve(self) -> Result<FileTransport, ConfigError> {
        require_directory("file.dir", &self.dir)?;
        Ok(FileTransport::new(self.dir))
    }
}

/// Reads the default `from`.
fn sender(text: &str) -> Result<Mailbox, ConfigError> {
    parse_mailbox(text).map_err(|reason| ConfigError::Value {
        key: "from",
        value: text.to_owned(),
        reason: reason.to_string(),
        wanted: "one address such as `Shop <shop@example.org>`",
    })
}

fn require_absolute(key: &'static str, path: &Path) -> Result<(), ConfigError> {
    if path.is_absolute() {
        Ok(())
    } else {
        Err(ConfigError::Relative {
            key,
            path: path.to_owned(),
        })
    }
}

fn require_directory(key: &'static str, path: &Path) -> Result<(), ConfigError> {
    require_absolute(key, path)?;
    let found = fs::metadata(path).and_then(|metadata| {
        if metadata.is_dir() {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::NotADirectory))
        }
    });
    found.map_err(|source| ConfigError::Path {
        key,
        path: path.to_owned(),
        hint: format!(
            "create it with `mkdir -p {}`, for the user that the workers run as",
            path.display()
        ),
        source,
    })
}
