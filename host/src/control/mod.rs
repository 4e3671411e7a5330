//! How the commands talk to a running daemon: a Unix socket beside the pid file.
//!
//! One request per connection, one line of JSON each way. The socket is for its
//! owner (mode 0600), and the peer's uid is checked besides.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::observe::status::Status;

pub mod client;
pub mod server;

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Which instance it is, and how long it takes to stop.
    Identify,
    /// What it is doing.
    Status,
    /// Load plugins and settings anew.
    Reload {
        /// Whether to answer only when the new generation is ready and the old one quiet.
        wait: bool,
    },
    /// Let the workers finish, then end. Asking again changes nothing.
    Stop,
    /// Let the workers finish, then execute the binary anew. Refused by a daemon that is stopping.
    Restart,
}

/// What the daemon answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Identify`], and to [`Request::Stop`] and [`Request::Restart`] when they have begun.
    Instance(Instance),
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Reload`].
    Reloaded {
        /// The generation that was begun, or that is ready where the request waits.
        generation: u64,
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
    /// Whether a generation serves.
    pub serving: bool,
    /// How long running jobs are given when it stops, in milliseconds.
    pub grace_ms: u64,
}

/// A path that a socket address can hold, for a file in a directory of any depth.
///
/// A socket address has room for 108 bytes. A longer path is reached through the open directory.
struct SocketPath {
    path: PathBuf,
    /// Keeps the number in `path` valid.
    _directory: Option<File>,
}

impl SocketPath {
    fn of(path: &Path) -> io::Result<SocketPath> {
        const ROOM: usize = 107;
        if path.as_os_str().len() <= ROOM {
            return Ok(SocketPath {
                path: path.to_owned(),
                _directory: None,
            });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let directory = File::open(parent)?;
        let short = Path::new("/proc/self/fd")
            .join(directory.as_raw_fd().to_string())
            .join(name);
        if short.as_os_str().len() > ROOM {
            let text = format!(
                "the file name of socket `{}` is too long: at most 80 bytes",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(SocketPath {
            path: short,
            _directory: Some(directory),
        })
    }
}
