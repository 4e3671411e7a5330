//! Where a new crate finds plugin-api: in the registry, or in a directory of this machine.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;
use thiserror::Error;

/// The package that plugins depend on.
const PACKAGE: &str = "asynccall-plugin-api";

/// How the new crate asks for plugin-api.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dependency {
    /// By version.
    Registry,
    /// By the path of its directory.
    Path(LocalPath),
}

/// A path as the new crate writes it, absolute or relative to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPath(String);

/// Why a directory is not plugin-api's.
#[derive(Debug, Error)]
pub enum NoPluginApi {
    /// There is no manifest, or it cannot be read.
    #[error(
        "cannot read `{}`: {error}{}",
        .manifest.display(),
        hint(.near.as_deref())
    )]
    Unreadable {
        /// The file that was looked for.
        manifest: PathBuf,
        /// The system's error.
        error: io::Error,
        /// A directory below that is the right one.
        near: Option<PathBuf>,
    },
    /// The manifest is another package's, or a workspace's.
    #[error(
        "`{}` is the manifest of {}, wanted that of `{PACKAGE}`{}",
        .manifest.display(),
        .found.as_ref().map_or_else(|| "no package".to_owned(), |name| format!("`{name}`")),
        hint(.near.as_deref())
    )]
    Another {
        /// The file that was read.
        manifest: PathBuf,
        /// Whose it is; `None` where it names no package.
        found: Option<String>,
        /// A directory below that is the right one.
        near: Option<PathBuf>,
    },
    /// The manifest is no TOML.
    #[error("cannot read `{}`: {error}", .manifest.display())]
    NoToml {
        /// The file that was read.
        manifest: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// A `Cargo.toml` cannot name the directory.
    #[error("no Cargo.toml can name `{}`: wanted a path in UTF-8 without control characters", .path.display().to_string().escape_debug())]
    Unspeakable {
        /// The directory.
        path: PathBuf,
    },
}

/// What is read of a manifest.
#[derive(Deserialize)]
struct Manifest {
    package: Option<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

impl Dependency {
    /// The one on plugin-api in `typed`, which is relative to the directory that the new crate's own will be made in.
    ///
    /// # Errors
    /// Why plugin-api is not there.
    pub fn local(typed: &Path) -> Result<Self, NoPluginApi> {
        let manifest = typed.join("Cargo.toml");
        let near = || Some(typed.join("plugin-api")).filter(|below| is_plugin_api(below));
        let text = match fs::read_to_string(&manifest) {
            Ok(text) => text,
            Err(error) => {
                let near = near();
                return Err(NoPluginApi::Unreadable {
                    manifest,
                    error,
                    near,
                });
            }
        };
        match package(&text) {
            Ok(Some(name)) if name == PACKAGE => Ok(Self::Path(LocalPath::new(&from_within(typed))?)),
            Ok(found) => Err(NoPluginApi::Another {
                manifest,
                found,
                near: near(),
            }),
            Err(error) => Err(NoPluginApi::NoToml { manifest, error }),
        }
    }
}

impl LocalPath {
    /// A path that TOML can express.
    ///
    /// # Errors
    /// That it cannot.
    pub(super) fn new(path: &Path) -> Result<Self, NoPluginApi> {
        let text = path
            .to_str()
            .filter(|text| !text.chars().any(|letter| letter.is_control()));
        match text {
            Some(text) => Ok(Self(text.to_owned())),
            None => Err(NoPluginApi::Unspeakable {
                path: path.to_owned(),
            }),
        }
    }

    /// As a basic string, in which a quotation mark and a backslash have a backslash before them.
    pub(super) fn in_toml(&self) -> String {
        let escaped = self.0.replace('\\', r"\\").replace('"', r#"\""#);
        format!("\"{escaped}\"")
    }
}

/// The same place, seen from a directory in the current one.
fn from_within(typed: &Path) -> PathBuf {
    if typed.is_absolute() {
        return typed.to_owned();
    }
    let steps = typed.components().filter(|step| *step != Component::CurDir);
    [Component::ParentDir].into_iter().chain(steps).collect()
}

fn is_plugin_api(directory: &Path) -> bool {
    let text = fs::read_to_string(directory.join("Cargo.toml"));
    text.is_ok_and(|text| package(&text).is_ok_and(|name| name.as_deref() == Some(PACKAGE)))
}

/// The name of the package of a manifest, in one line what is wrong with it.
fn package(manifest: &str) -> Result<Option<String>, String> {
    let manifest: Manifest = toml::from_str(manifest).map_err(|error| error.message().to_owned())?;
    Ok(manifest.package.map(|package| package.name))
}

fn hint(near: Option<&Path>) -> String {
    near.map(|near| format!("\n  hint: did you mean `{}`?", near.display()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_gets_a_step_up_and_an_absolute_one_stays() {
        for (typed, written) in [
            ("plugin-api", "../plugin-api"),
            ("./a/./b/", "../a/b"),
            ("../host/plugin-api", "../../host/plugin-api"),
            (".", ".."),
            ("/src/plugin-api", "/src/plugin-api"),
        ] {
            assert_eq!(from_within(Path::new(typed)), Path::new(written), "{typed}");
        }
    }

    #[test]
    fn a_path_that_toml_cannot_express_is_refused() {
        let refused = LocalPath::new(Path::new("a\nb")).expect_err("a control character");
        assert_eq!(
            refused.to_string(),
            r"no Cargo.toml can name `a\nb`: wanted a path in UTF-8 without control characters"
        );
    }
}
