//! How this process was started: the binary, its arguments, its environment. A restart does it once more.
//!
//! All of it is kept from the start on, as the memory that it lies in may be
//! overwritten later.

use std::{
    convert::Infallible,
    env,
    ffi::{CString, OsStr, OsString},
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::RawFd,
        unix::{ffi::OsStrExt, fs::MetadataExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
};

use nix::unistd::{AccessFlags, access, execve};

use super::handover;

/// What a restart executes.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The path by which the binary was first started. Symbolic links in it lead to what is installed now.
    pub binary: PathBuf,
    /// The name of the program first.
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Invocation {
    /// That of this process, which executes `binary`.
    pub fn of_process(binary: PathBuf) -> Invocation {
        let own = |name: &OsString| name == handover::VARIABLE || name == handover::PREFLIGHT;
        Invocation {
            binary,
            arguments: env::args_os().collect(),
            environment: env::vars_os().filter(|(name, _)| !own(name)).collect(),
        }
    }

    /// Whether the binary is there, may be executed, and looks like something that can be.
    pub fn executable(&self) -> io::Result<()> {
        if !fs::metadata(&self.binary)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        access(&self.binary, AccessFlags::X_OK)?;
        let Ok(file) = File::open(&self.binary) else {
            // What may be executed need not be readable.
            return Ok(());
        };
        let mut beginning = Vec::new();
        file.take(4).read_to_end(&mut beginning)?;
        // Anything else would be run as a shell script by the C library (execvp(3)) where a child is started.
        match beginning.starts_with(b"\x7fELF") || beginning.starts_with(b"#!") {
            true => Ok(()),
            false => Err(io::Error::other("it is neither a program nor a script")),
        }
    }

    /// The same once more as a child, with one variable more.
    pub fn command(&self, variable: &str, number: RawFd) -> Command {
        let mut command = Command::new(&self.binary);
        if let Some(name) = self.arguments.first() {
            command.arg0(name);
        }
        command.args(self.arguments.iter().skip(1)).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env(variable, number.to_string());
        command
    }

    /// The same once more in place of this process, with one variable more. Returns only if that fails.
    pub fn execute(&self, variable: &str, number: RawFd) -> io::Result<Infallible> {
        let arguments: Vec<CString> = self
            .arguments
            .iter()
            .map(|argument| text(argument.as_bytes()))
            .collect::<Result<_, _>>()?;
        let mut environment = vec![text(format!("{variable}={number}").as_bytes())?];
        for (name, value) in &self.environment {
            environment.push(text(&[name.as_bytes(), b"=", value.as_bytes()].concat())?);
        }
        let binary = text(self.binary.as_os_str().as_bytes())?;
        Ok(execve(&binary, &arguments, &environment)?)
    }
}

/// The path by which this process was started: its symbolic links are not resolved, so that an upgrade that
/// turns one of them takes effect. Where it cannot be told, the path of the file that is executed.
///
/// Must be called before the working directory is changed.
pub fn started_as() -> io::Result<PathBuf> {
    let executed = env::current_exe()?;
    let typed = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let found = candidates(&typed, &env::current_dir()?, env::var_os("PATH").as_deref());
    // What a process is called is up to whoever starts it.
    let is_executed = |path: &PathBuf| same_file(path, &executed);
    Ok(found.into_iter().find(is_executed).unwrap_or(executed))
}

/// Where a shell looks for a program that was typed like this.
fn candidates(typed: &Path, directory: &Path, search: Option<&OsStr>) -> Vec<PathBuf> {
    if typed.as_os_str().is_empty() {
        return Vec::new();
    }
    if typed.as_os_str().as_bytes().contains(&b'/') {
        return vec![directory.join(typed)];
    }
    let entries = search.map(env::split_paths).into_iter().flatten();
    entries.map(|entry| directory.join(entry).join(typed)).collect()
}

fn same_file(path: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((identity(path), identity(other)), (Ok(one), Ok(two)) if one == two)
}

fn text(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_is_looked_for_where_a_shell_looks_and_links_stay_links() {
        let here = Path::new("/srv/app");
        let search = OsStr::new("/usr/bin:bin");
        let looked = |typed: &str| candidates(Path::new(typed), here, Some(search));
        assert_eq!(looked("/opt/current/host"), [Path::new("/opt/current/host")]);
        assert_eq!(looked("current/host"), [Path::new("/srv/app/current/host")]);
        assert_eq!(
            looked("host"),
            [Path::new("/usr/bin/host"), Path::new("/srv/app/bin/host")]
        );
        assert_eq!(looked(""), [] as [&Path; 0]);
    }

    #[test]
    fn what_cannot_be_executed_is_told_before_anything_begins() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("host");
        let executable = |path: &Path| Invocation::of_process(path.to_owned()).executable();
        executable(&file).expect_err("it is not there");
        executable(directory.path()).expect_err("it is a directory");
        fs::write(&file, "text").expect("a file");
        executable(&file).expect_err("nobody may execute it");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).expect("ours");
        executable(&file).expect_err("it is a text");
        fs::write(&file, "#!/bin/sh").expect("a file");
        executable(&file).expect("now it can be");
    }
}
