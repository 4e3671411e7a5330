//! The pid file: who holds it is the daemon, and what it holds is a lock.
//!
//! The file carries the decimal pid, without a line feed. It counts only while
//! its holder has it under `flock`: a file that nobody has locked was left by a
//! master that died, and neither blocks a start nor is ever signalled.

use std::{
    fs::{File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{libc, unistd::Pid};

use crate::exit::Exit;

mod private;

pub use private::{make_private, make_private_for};

/// Neither follow a symbolic link nor wait for whoever is at the other end of a pipe.
const FLAGS: libc::c_int = libc::O_NOFOLLOW | libc::O_NONBLOCK;
/// How long a start waits for those who only look at the pid file.
const LOOK_TIME: Duration = Duration::from_millis(200);
/// How often it tries to lock the file in that time.
const LOOKS: u32 = 20;

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
    #[error("pid file `{}` belongs to uid {owner}, wanted {wanted}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who may own it.
        wanted: String,
    },
    /// This user may not look at it.
    #[error("cannot open pid file `{}`: permission denied\n  hint: ask as the user that the daemon runs as, or as root", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// It has a second name, which may be one of somebody else's making.
    #[error("pid file `{}` has another name as well, as a hard link\n  hint: remove it", path.display())]
    Linked {
        /// The file.
        path: PathBuf,
    },
    /// Something else has its name.
    #[error("pid file `{}` is no regular file", path.display())]
    NoFile {
        /// The file.
        path: PathBuf,
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
            PidFileError::Foreign { .. }
            | PidFileError::Linked { .. }
            | PidFileError::Directory { .. }
            | PidFileError::Denied { .. } => Exit::NoPermission,
            PidFileError::NoPid { .. } => Exit::Failed,
            PidFileError::NoFile { .. } | PidFileError::Io { .. } => Exit::CannotCreate,
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
    /// A file that is there must be this user's own. `private_dir` is created first where it is missing, and must
    /// belong to this user alone.
    pub fn acquire(path: &Path, private_dir: Option<&Path>) -> Result<PidFile, PidFileError> {
        if let Some(directory) = private_dir {
            make_private(directory)?;
        }
        PidFile::acquire_patiently(path, || thread::sleep(LOOK_TIME / LOOKS))
    }

    /// Calls `pause` between its attempts to lock the file.
    fn acquire_patiently(path: &Path, mut pause: impl FnMut()) -> Result<PidFile, PidFileError> {
        let mut looks = 0;
        loop {
            let file = open_own(path)?;
            match file.try_lock() {
                Ok(()) => {}
                // A command that looks whether the file is held has it locked itself for a moment.
                Err(TryLockError::WouldBlock) if looks < LOOKS => {
                    looks += 1;
                    pause();
                    continue;
                }
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

    /// Lets a group read the file, as commands do.
    pub fn show_to(&self, gid: u32) -> Result<(), PidFileError> {
        fchown(&self.file, None, Some(gid))
            .and_then(|()| self.file.set_permissions(Permissions::from_mode(0o640)))
            .map_err(io_error("share pid file", &self.path))
    }

    /// Removes the file and gives the lock up.
    pub fn release(self) {
        // A file that cannot be removed, as in a directory of root's, is harmless without its lock.
        if std::fs::remove_file(&self.path).is_err() {
            let _ = self.file.set_len(0);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        // The mode that it was created with may have been changed, or be another creator's.
        self.file.set_permissions(Permissions::from_mode(0o600))?;
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
        let file = match OpenOptions::new().read(true).custom_flags(FLAGS).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_running("there is no such file"));
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(PidFileError::Denied {
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(io_error("open pid file", path)(error)),
        };
        let ours = nix::unistd::geteuid().as_raw();
        let owners = if ours == 0 { &[0][..] } else { &[ours, 0] };
        check_owner(&file, path, owners)?;
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

/// Opens a pid file that is this user's own, and creates it where it is missing.
fn open_own(path: &Path) -> Result<File, PidFileError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(FLAGS)
        .open(path)
        .map_err(io_error("open pid file", path))?;
    check_owner(&file, path, &[nix::unistd::geteuid().as_raw()])?;
    Ok(file)
}

/// Refuses what is no regular file of one of these users, or one that somebody may have linked here.
fn check_owner(file: &File, path: &Path, owners: &[u32]) -> Result<(), PidFileError> {
    let found = file.metadata().map_err(io_error("inspect pid file", path))?;
    if !found.is_file() {
        return Err(PidFileError::NoFile {
            path: path.to_owned(),
        });
    }
    if !owners.contains(&found.uid()) {
        let wanted: Vec<String> = owners.iter().map(|uid| format!("uid {uid}")).collect();
        return Err(PidFileError::Foreign {
            path: path.to_owned(),
            owner: found.uid(),
            wanted: wanted.join(" or "),
        });
    }
    if found.nlink() > 1 {
        return Err(PidFileError::Linked {
            path: path.to_owned(),
        });
    }
    Ok(())
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
mod tests;
