//! Finding the program, and whether everything that it is given can be given to a program.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::ConfigError;
use crate::launch::Launch;

/// The absolute path of the program that `command` names, as execvp(3) would find it.
pub(super) fn find(command: &[String]) -> Result<PathBuf, ConfigError> {
    let name = match command.first() {
        Some(name) if !name.is_empty() => name,
        _ => return Err(ConfigError::NoCommand),
    };
    let path = PathBuf::from(name);
    if path.is_absolute() {
        return match executable(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(ConfigError::Path {
                key: "command",
                path,
                source,
            }),
        };
    }
    if name.contains('/') {
        return Err(ConfigError::Relative { path });
    }
    let directories = env::var_os("PATH").unwrap_or_default();
    let mut candidates = env::split_paths(&directories).map(|directory| directory.join(name));
    candidates
        .find(|candidate| candidate.is_absolute() && executable(candidate).is_ok())
        .ok_or_else(|| ConfigError::NotFound {
            name: name.clone(),
            path: directories.to_string_lossy().into_owned(),
        })
}

fn executable(path: &Path) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        return Ok(());
    }
    let text = "it is not an executable file";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

/// Whether arguments, variables and directory can be used.
pub(super) fn check(launch: &Launch) -> Result<(), ConfigError> {
    if launch.command.iter().any(|argument| argument.contains('\0')) {
        return Err(ConfigError::Nul { key: "command" });
    }
    for (name, value) in &launch.environment {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(ConfigError::Variable { key: name.clone() });
        }
        if value.contains('\0') {
            return Err(ConfigError::Nul { key: "env" });
        }
    }
    let Some(directory) = &launch.directory else {
        return Ok(());
    };
    let refused = |source| ConfigError::Path {
        key: "directory",
        path: directory.clone(),
        source,
    };
    if !directory.is_absolute() {
        let text = "it is not an absolute path";
        return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    match fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(refused(io::ErrorKind::NotADirectory.into())),
        Err(source) => Err(refused(source)),
    }
}
