//! A command's side of the control socket: blocking, one request and its answer.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Request, Response, SocketPath};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The socket cannot be reached.
    #[error("cannot reach the daemon at `{}`: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The connection ended, or stayed silent, before the answer.
    #[error("the daemon at `{}` gave no answer: {source}", path.display())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What happened instead.
        source: io::Error,
    },
}

/// Sends one request and waits for its answer, at most for `patience` where that is given.
pub fn call(path: &Path, request: Request, patience: Option<Duration>) -> Result<Response, CallError> {
    let connected = SocketPath::of(path).and_then(|short| UnixStream::connect(&short.path));
    let stream = connected.map_err(|source| CallError::Connect {
        path: path.to_owned(),
        source,
    })?;
    exchange(stream, request, patience).map_err(|source| CallError::NoAnswer {
        path: path.to_owned(),
        source,
    })
}

fn exchange(mut stream: UnixStream, request: Request, patience: Option<Duration>) -> io::Result<Response> {
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection was closed",
        ));
    }
    Ok(serde_json::from_slice(&answer)?)
}
