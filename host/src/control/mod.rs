//! How the commands talk to a running daemon: a Unix socket beside the pid file.
//!
//! One request per connection, one line of JSON each way. The socket is for its
//! owner (mode 0600), and the peer's uid is checked besides.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::observe::status::Status;

pub mod client;
pub mod server;

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What it is doing.
    Status,
    /// Load plugins and settings anew.
    Reload {
        /// Whether to answer only when the new generation is ready and the old one quiet.
        wait: bool,
    },
    /// Go back to the generation before the current one; answered when it is ready.
    Rollback,
    /// Reserve nothing more, and finish what runs.
    Pause {
        /// Which pool; all of them where none is named.
        pool: Option<String>,
    },
    /// Reserve again.
    Resume {
        /// Which pool; all of them where none is named.
        pool: Option<String>,
    },
    /// Run another number of workers, until the next reload.
    Scale {
        /// Which pool.
        pool: String,
        /// How many.
        workers: u32,
    },
    /// Let the workers finish, then end. Asking again changes nothing.
    Stop,
    /// Execute the binary anew, in place of the master and without disturbing a worker. Answered when it was found
    /// out that the binary can take over, right before it does.
    Restart,
    /// How the restart of an instance went; answered when the generation that was begun after it serves with all of its
    /// workers.
    Restarted {
        /// [`Instance::id`] of the instance that was restarted.
        from: u64,
    },
}

/// What the daemon answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Stop`] when it has begun, and to [`Request::Restart`] when it is about to.
    Instance(Instance),
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Reload`], [`Request::Rollback`] and [`Request::Restarted`].
    Reloaded {
        /// The generation that was begun, or that is ready where the request waits.
        generation: u64,
    },
    /// To [`Request::Pause`], [`Request::Resume`] and [`Request::Scale`].
    Done {
        /// What holds now.
        text: String,
    },
    /// The request was refused or failed.
    Failed {
        /// The exit code that fits.
        exit: u8,
        /// Why.
        error: String,
    },
}

/// One life of a daemon, from its start or restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Tells this life from others with the same pid.
    pub id: u64,
    /// How long running jobs are given when it stops, in milliseconds.
    pub grace_ms: u64,
}

/// The longest path that a socket address holds, in bytes.
const ROOM: usize = 107;

/// A path that a socket address can hold, for a socket at a path of any length.
///
/// A longer path than fits is reached through an open descriptor.
struct SocketPath {
    path: PathBuf,
    /// Keeps the number in `path` valid.
    _open: Option<File>,
}

impl SocketPath {
    /// Where a socket that exists is connected to.
    fn of(path: &Path) -> io::Result<SocketPath> {
        if path.as_os_str().len() <= ROOM {
            return Ok(SocketPath {
                path: path.to_owned(),
                _open: None,
            });
        }
        // Only the place is opened: a socket itself cannot be.
        let socket = File::options()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
            .open(path)?;
        Ok(SocketPath {
            path: of_descriptor(&socket),
            _open: Some(socket),
        })
    }

    /// Where a new socket is bound that is to be moved to `path` in the same directory.
    fn beside(path: &Path) -> io::Result<SocketPath> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let directory = File::open(parent)?;
        Ok(SocketPath {
            path: of_descriptor(&directory).join(format!(".{}.sock", std::process::id())),
            _open: Some(directory),
        })
    }
}

fn of_descriptor(file: &File) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_raw_fd().to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_of_the_longest_name_is_reached() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s".repeat(255));
        let new = SocketPath::beside(&path).expect("a place");
        let listener = UnixListener::bind(&new.path).expect("it fits");
        std::fs::rename(&new.path, &path).expect("the same directory");
        let socket = SocketPath::of(&path).expect("it is there");
        UnixStream::connect(&socket.path).expect("it fits");
        listener.accept().expect("somebody came");
    }
}
