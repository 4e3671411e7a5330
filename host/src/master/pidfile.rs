//! The pid file: who holds it is the daemon, and what it holds is a lock.
//!
//! The file carries the decimal pid, without a line feed. It counts only while
//! its holder has it under `flock`: a file that nobody has locked was left by a
//! master that died, and neither blocks a start nor is ever signalled.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{libc, unistd::Pid};

use crate::exit::Exit;

/// Why the pid file cannot be taken or used.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another master has it.
    #[error("pid file `{}` is held by the running daemon with pid {pid}\n  hint: stop it first, or give this one another --pid-file", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// What the file says.
        pid: String,
    },
    /// Nobody has it.
    #[error("no daemon runs with pid file `{}`: {why}", path.display())]
    NotRunning {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        why: &'static str,
    },
    /// It belongs to somebody who is not to be trusted.
    #[error("pid file `{}` belongs to uid {owner}, wanted uid {wanted} or root", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who asks.
        wanted: u32,
    },
    /// It is locked, but does not hold a pid.
    #[error("pid file `{}` is locked, but holds `{found}` instead of a pid", path.display())]
    NoPid {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The directory for it is not private.
    #[error("directory `{}` must be a directory of uid {wanted} with mode 0700, found {found}\n  hint: remove it, or name a file of your own with --pid-file", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Who must own it.
        wanted: u32,
        /// What was found.
        found: String,
    },
    /// The system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl PidFileError {
    /// The exit code that fits.
    pub fn exit(&self) -> Exit {
        match self {
            PidFileError::Held { .. } => Exit::AlreadyRunning,
            PidFileError::NotRunning { .. } => Exit::NotRunning,
            PidFileError::Foreign { .. } | PidFileError::Directory { .. } => Exit::NoPermission,
            PidFileError::NoPid { .. } => Exit::Failed,
            PidFileError::Io { .. } => Exit::CannotCreate,
        }
    }
}

/// A pid file that this process holds.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    path: PathBuf,
}

impl PidFile {
    /// Takes the file: creates it with mode 0600 where it is missing, locks it, writes this process's pid.
    ///
    /// `private_dir` is created first where it is missing, and must belong to this user alone.
    pub fn acquire(path: &Path, private_dir: Option<&Path>) -> Result<PidFile, PidFileError> {
        if let Some(directory) = private_dir {
            make_private(directory)?;
        }
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)
                .map_err(io_error("open pid file", path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(PidFileError::Held {
                        path: path.to_owned(),
                        pid: content(file, path)?,
                    });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(io_error("lock pid file", path)(source));
                }
            }
            // Whoever held it may have removed it between our open and our lock.
            if same_file(&file, path) {
                let mut pid_file = PidFile {
                    file,
                    path: path.to_owned(),
                };
                pid_file.write().map_err(io_error("write pid file", path))?;
                return Ok(pid_file);
            }
        }
    }

    /// Takes over a file that this process held before it executed itself anew.
    pub fn inherited(file: File, path: &Path) -> Result<PidFile, PidFileError> {
        file.try_lock()
            .map_err(|error| io_error("lock pid file", path)(error.into()))?;
        Ok(PidFile {
            file,
            path: path.to_owned(),
        })
    }

    /// The open, locked file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file and gives the lock up.
    pub fn release(self) {
        // A file that cannot be removed is harmless without its lock.
        let _ = std::fs::remove_file(&self.path);
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(std::process::id().to_string().as_bytes())
    }
}

/// The daemon that holds a pid file, as another process finds it.
#[derive(Debug)]
pub struct Holder {
    /// Its pid.
    pub pid: Pid,
    file: File,
}

impl Holder {
    /// Finds who holds the file. Refuses a file that is not locked or that somebody else could have planted.
    pub fn find(path: &Path) -> Result<Holder, PidFileError> {
        let not_running = |why| PidFileError::NotRunning {
            path: path.to_owned(),
            why,
        };
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_running("there is no such file"));
            }
            Err(error) => return Err(io_error("open pid file", path)(error)),
        };
        let owner = file.metadata().map_err(io_error("inspect pid file", path))?.uid();
        let wanted = nix::unistd::geteuid().as_raw();
        if owner != wanted && owner != 0 {
            return Err(PidFileError::Foreign {
                path: path.to_owned(),
                owner,
                wanted,
            });
        }
        let holder = Holder {
            pid: Pid::from_raw(0),
            file,
        };
        if !holder.holds() {
            return Err(not_running("it is not locked, so whoever wrote it is gone"));
        }
        let found = content(
            holder.file.try_clone().map_err(io_error("read pid file", path))?,
            path,
        )?;
        match found.parse::<i32>() {
            Ok(pid) if pid > 0 => Ok(Holder {
                pid: Pid::from_raw(pid),
                ..holder
            }),
            _ => Err(PidFileError::NoPid {
                path: path.to_owned(),
                found,
            }),
        }
    }

    /// Whether the lock is still held.
    pub fn holds(&self) -> bool {
        match self.file.try_lock_shared() {
            Ok(()) => {
                // Given up at once, so that a start at this moment finds the file free.
                let _ = self.file.unlock();
                false
            }
            Err(_) => true,
        }
    }
}

/// The control socket that belongs to a pid file.
pub fn socket_path(pid_file: &Path) -> PathBuf {
    with_suffix(pid_file, ".sock")
}

/// The directory that belongs to a pid file, for what the daemon keeps while it runs.
pub fn state_dir(pid_file: &Path) -> PathBuf {
    with_suffix(pid_file, ".state")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Creates a directory with mode 0700 where it is missing; refuses one that others could use.
pub fn make_private(directory: &Path) -> Result<(), PidFileError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("create directory", directory)(error)),
    }
    let found = std::fs::symlink_metadata(directory).map_err(io_error("inspect directory", directory))?;
    let wanted = nix::unistd::geteuid().as_raw();
    if found.is_dir() && found.uid() == wanted && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    let kind = if found.is_dir() {
        "a directory"
    } else {
        "no directory"
    };
    Err(PidFileError::Directory {
        path: directory.to_owned(),
        wanted,
        found: format!(
            "{kind} of uid {} with mode {:04o}",
            found.uid(),
            found.mode() & 0o7777
        ),
    })
}

fn content(mut file: File, path: &Path) -> Result<String, PidFileError> {
    let mut content = String::new();
    file.rewind()
        .and_then(|()| file.take(64).read_to_string(&mut content))
        .map_err(io_error("read pid file", path))?;
    Ok(content.trim().to_owned())
}

fn same_file(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => identity(open) == identity(there),
        _ => false,
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PidFileError {
    move |source| PidFileError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_on_a_pid_file_says_who_holds_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.pid");
        let held = PidFile::acquire(&path, None).expect("a free file");
        let error = PidFile::acquire(&path, None).expect_err("the file is held");
        assert!(
            error.to_string().contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        assert_eq!(
            std::fs::read_to_string(&path).expect("a file"),
            std::process::id().to_string()
        );
        assert_eq!(std::fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
        held.release();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_nobody_has_locked_is_no_running_daemon() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("stale.pid");
        std::fs::write(&path, "1").expect("a file");
        let error = Holder::find(&path).expect_err("nobody holds it");
        assert!(matches!(error, PidFileError::NotRunning { .. }), "{error}");
        PidFile::acquire(&path, None).expect("a stale file does not block a start");
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (target, link) = (
            directory.path().join("precious"),
            directory.path().join("link.pid"),
        );
        std::fs::write(&target, "precious").expect("a file");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        PidFile::acquire(&link, None).expect_err("links are refused");
        assert_eq!(std::fs::read_to_string(&target).expect("a file"), "precious");
    }

    #[test]
    fn a_directory_that_others_may_use_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = directory.path().join("open");
        DirBuilder::new().mode(0o755).create(&open).expect("a directory");
        let error = make_private(&open).expect_err("it is not private");
        assert!(error.to_string().contains("with mode 0755"), "{error}");
        make_private(&directory.path().join("new")).expect("a new one is made private");
    }
}
