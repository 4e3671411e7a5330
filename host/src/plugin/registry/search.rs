//! Which files a request means: paths, names along directories, and whole directories.
//!
//! It looks at directories and opens no file.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::plugin::{
    PluginError, PluginErrors,
    nearby::{libraries_in, nearest},
    vet,
};

/// What is to be loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Single plugins, in order.
    pub load: Vec<Asked>,
    /// Where [`Asked::Name`] is looked up, in order.
    pub dirs: Vec<PathBuf>,
    /// Directories of which every `*.so` is loaded, sorted by file name. Hidden files are none of them.
    pub drop_in: Vec<PathBuf>,
    /// Which plugins are used.
    pub policy: vet::Policy,
    /// The lock file in which each of them has to be; `None`: whatever they contain.
    pub lock: Option<PathBuf>,
}

/// One plugin, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Exactly this file.
    Path(PathBuf),
    /// `lib{name}.so` in the first directory that has it, even where that one is broken.
    Name(String),
}

impl Asked {
    /// What has a `/` or ends in `.so` is a path, everything else a name.
    pub fn parse(text: &str) -> Self {
        if text.contains('/') || text.ends_with(".so") {
            Asked::Path(text.into())
        } else {
            Asked::Name(text.to_owned())
        }
    }
}

/// The files that a request means, not yet opened, and possibly the same one several times.
pub fn resolve(request: &Request) -> Result<Vec<PathBuf>, PluginErrors> {
    let (mut paths, mut errors) = (Vec::new(), Vec::new());
    for found in each(request) {
        match found {
            Ok(path) => paths.push(path),
            Err(error) => errors.push(error),
        }
    }
    PluginErrors::or(errors, paths)
}

/// Every file of a request or why it has none. Never empty.
pub(super) fn each(request: &Request) -> Vec<Result<PathBuf, PluginError>> {
    let mut found = asked(request);
    if found.is_empty() {
        found.push(Err(PluginError::Nothing {
            drop_in: request.drop_in.clone(),
        }));
    }
    found
}

/// The same, where nothing is nothing.
pub(super) fn asked(request: &Request) -> Vec<Result<PathBuf, PluginError>> {
    let mut found: Vec<_> = request
        .load
        .iter()
        .map(|asked| match asked {
            Asked::Path(path) => Ok(path.clone()),
            Asked::Name(name) => by_name(name, &request.dirs),
        })
        .collect();
    found.extend(request.drop_in.iter().flat_map(|dir| in_directory(dir)));
    found
}

/// Every `*.so` of a directory, sorted by file name.
pub(super) fn in_directory(dir: &Path) -> Vec<Result<PathBuf, PluginError>> {
    match libraries_in(dir) {
        Ok(names) => names.iter().map(|name| Ok(dir.join(name))).collect(),
        Err(source) => vec![Err(PluginError::Directory {
            dir: dir.to_owned(),
            source,
        })],
    }
}

/// What is there is the hit, even a dangling link: falling through to the next directory would load
/// another plugin than the operator sees first.
fn by_name(name: &str, dirs: &[PathBuf]) -> Result<PathBuf, PluginError> {
    let file = format!("lib{name}.so");
    for dir in dirs {
        let path = dir.join(&file);
        match path.symlink_metadata() {
            Err(error) if is_absence(&error) => {}
            _ => return Ok(path),
        }
    }
    Err(PluginError::NotFound {
        name: name.to_owned(),
        dirs: dirs.to_vec(),
        here: [name, &file, &format!("{name}.so")]
            .into_iter()
            .map(|file| Path::new(".").join(file))
            .find(|path| path.is_file()),
        nearest: nearest_name(name, dirs),
    })
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn nearest_name(name: &str, dirs: &[PathBuf]) -> Option<String> {
    let files: Vec<_> = dirs
        .iter()
        .filter_map(|dir| libraries_in(dir).ok())
        .flatten()
        .collect();
    let names = files.iter().filter_map(|file| {
        let file = file.to_str()?;
        file.strip_prefix("lib")?.strip_suffix(".so")
    });
    nearest(name, names)
}
