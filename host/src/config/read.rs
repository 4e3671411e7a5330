//! The I/O of a configuration: takes down the process's surroundings and reads the files; the meaning is
//! [`super::resolve`]'s.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Purpose;
use super::problem::{ConfigErrors, Fault, Problem, Report};
use super::resolve::{Resolved, pid_file, resolve_for};
use super::sources::{Environment, FileText, Sources, Texts, Typed, WantedFile};
use crate::cli::Flags;

/// Largest file that is read, in bytes: a device or a log named by mistake must not fill the memory.
const LARGEST: u64 = 16 * 1024 * 1024;

impl Sources {
    /// `flags` with the environment, directory and user of this process.
    ///
    /// # Errors
    /// The working directory is gone, may not be looked up, or is not UTF-8, as paths of settings are.
    pub fn of_process(flags: Flags) -> io::Result<Self> {
        // What is not UTF-8 becomes U+FFFD, which no setting takes.
        let variables = std::env::vars_os().map(|(name, text)| {
            (
                name.to_string_lossy().into_owned(),
                text.to_string_lossy().into_owned(),
            )
        });
        let cwd = std::env::current_dir()?;
        if cwd.to_str().is_none() {
            let text = format!("the working directory `{}` is not UTF-8", cwd.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let euid = nix::unistd::geteuid().as_raw();
        Ok(Self {
            flags,
            environment: Environment::new(variables),
            cwd,
            euid,
        })
    }
}

/// Reads the files that `sources` name and resolves the whole. Opens nothing else.
///
/// # Errors
/// Every problem found, in the files and in what they mean together.
pub fn load(sources: &Sources) -> Result<Resolved, ConfigErrors> {
    load_for(Purpose::Daemon, sources)
}

/// The same, for somebody who may need less than a daemon.
///
/// # Errors
/// Every problem found, in the files and in what they mean together.
pub fn load_for(purpose: Purpose, sources: &Sources) -> Result<Resolved, ConfigErrors> {
    let mut unread = Vec::new();
    let texts = read(sources, &mut unread);
    match resolve_for(purpose, sources, &texts) {
        Ok(resolved) => ConfigErrors::unless_empty(unread, resolved),
        Err(errors) => Err(errors.after(unread)),
    }
}

/// The pid file alone, for a command to a running daemon: whatever else is wrong in the file must not
/// keep anyone from stopping it. The file is read only where neither flag nor variable names the pid file.
///
/// # Errors
/// The file cannot be read, is no TOML, or its pid file is wrong.
pub fn load_pid_file(sources: &Sources) -> Result<PathBuf, ConfigErrors> {
    pid_file(sources, |wanted, report| read_file(wanted, &mut report.problems))
}

fn read(sources: &Sources, unread: &mut Vec<Problem>) -> Texts {
    // What is wrong with the flags themselves is reported by `resolve`, which reads them again.
    let typed = Typed::of(sources, &mut Report::default());
    let config = typed.config_file().and_then(|wanted| read_file(&wanted, unread));
    let handlers = typed.handler_files().into_iter();
    let handlers = handlers
        .filter_map(|(name, wanted)| Some((name, read_file(&wanted, unread)?)))
        .collect();
    Texts { config, handlers }
}

fn read_file(wanted: &WantedFile, unread: &mut Vec<Problem>) -> Option<FileText> {
    match read_text(&wanted.path) {
        Ok(text) => Some(FileText {
            path: wanted.path.clone(),
            text,
        }),
        Err(error) => {
            let message = format!("`{}`: {error}", wanted.path.display());
            unread.push(Problem::new(wanted.place.clone(), Fault::Unreadable { message }));
            None
        }
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is larger than 16 MiB",
        ));
    }
    Ok(text)
}
