//! Texts that must not be shown, and the places where they are found.

use std::{env, fmt, fs, path::PathBuf};

use plugin_api::schemars::{self, JsonSchema};
use serde::{Deserialize, Deserializer};

use super::{ConfigError, require_absolute};

/// A text that neither `Debug` nor an error shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself, for the one place that uses it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// Goes by [`Text`], whose error about a value of the wrong type does not quote it, as serde's own would.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a secret must be text, in quotes")]
        enum Inline {
            Text(String),
        }
        let Inline::Text(text) = Inline::deserialize(deserializer)?;
        Ok(Secret(text))
    }
}

/// A text as it is written, or the place where it is found.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a header must be text in quotes, `{ file = \"/PATH\" }` or `{ env = \"NAME\" }`"
)]
pub(super) enum Text {
    Inline(#[schemars(with = "String")] Secret),
    File(File),
    Environment(Environment),
}

/// A file whose content is the text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The file; its line end does not count.
    #[schemars(extend("pattern" = "^/"))]
    file: PathBuf,
}

/// An environment variable whose value is the text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Environment {
    /// The variable, of the worker.
    env: String,
}

impl Text {
    /// The text; `key` is what an error names.
    pub(super) fn read(self, key: &str) -> Result<Secret, ConfigError> {
        match self {
            Text::Inline(secret) => Ok(secret),
            Text::File(File { file }) => read_file(key, file),
            Text::Environment(Environment { env }) => read_variable(key, env),
        }
    }
}

/// Finds the signing secret in the one place that was given for it.
pub(super) fn find(
    inline: Option<Secret>,
    file: Option<PathBuf>,
    variable: Option<String>,
) -> Result<Option<Secret>, ConfigError> {
    let given = [
        ("secret", inline.is_some()),
        ("secret_file", file.is_some()),
        ("secret_env", variable.is_some()),
    ];
    let mut given = given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key);
    let Some(key) = given.next() else {
        return Ok(None);
    };
    if let Some(second) = given.next() {
        return Err(ConfigError::Both { first: key, second });
    }
    let secret = match (file, variable) {
        (Some(path), _) => Some(read_file(key, path)?),
        (_, Some(name)) => Some(read_variable(key, name)?),
        (None, None) => inline,
    };
    match secret {
        Some(secret) if secret.expose().is_empty() => Err(ConfigError::Empty { key: key.to_owned() }),
        secret => Ok(secret),
    }
}

/// The line end that editors add does not belong to the text.
fn read_file(key: &str, path: PathBuf) -> Result<Secret, ConfigError> {
    require_absolute(key, &path)?;
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Secret(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(source) => Err(ConfigError::Path {
            key: key.to_owned(),
            path,
            source,
        }),
    }
}

fn read_variable(key: &str, name: String) -> Result<Secret, ConfigError> {
    match env::var(&name) {
        Ok(text) => Ok(Secret(text)),
        Err(_) => Err(ConfigError::Environment {
            key: key.to_owned(),
            name,
        }),
    }
}
