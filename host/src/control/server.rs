//! The daemon's side of the control socket: reads one request, waits for the master's answer, writes it.

use std::{fs, io, os::unix::fs::FileTypeExt, path::Path, time::Duration};

use nix::sys::stat::{Mode, umask};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{Request, Response, SocketPath};
use crate::exit::Exit;

/// The longest request that is read, in bytes.
const LONGEST_REQUEST: u64 = 4096;
/// How long a client may take to send its request.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request on its way to the master.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes. Dropping it closes the connection without one.
    pub reply: oneshot::Sender<Response>,
}

/// Opens the socket with mode 0600 and serves it until the runtime ends.
///
/// The caller holds the pid file, so a socket that is already there was left by a dead master.
pub fn serve(path: &Path, calls: mpsc::UnboundedSender<Call>) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something that is no socket is there",
            ));
        }
        Err(_) => {}
    }
    let short = SocketPath::of(path)?;
    let previous = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(&short.path);
    umask(previous);
    let listener = listener?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(converse(stream, calls.clone()))),
                Err(error) => {
                    tracing::warn!(error = %error, "cannot accept a control connection");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(())
}

async fn converse(mut stream: UnixStream, calls: mpsc::UnboundedSender<Call>) {
    let response = match request(&mut stream).await {
        Ok(request) => {
            let (reply, answer) = oneshot::channel();
            if calls.send(Call { request, reply }).is_err() {
                return;
            }
            match answer.await {
                Ok(response) => response,
                Err(_) => return,
            }
        }
        Err(error) => Response::Failed {
            exit: Exit::Usage.code(),
            error,
        },
    };
    if let Ok(mut line) = serde_json::to_vec(&response) {
        line.push(b'\n');
        // A client that went away does not care for its answer.
        let _ = stream.write_all(&line).await;
    }
}

async fn request(stream: &mut UnixStream) -> Result<Request, String> {
    let peer = stream
        .peer_cred()
        .map_err(|error| format!("cannot tell who asks: {error}"))?
        .uid();
    let ours = nix::unistd::geteuid().as_raw();
    if peer != ours && peer != 0 {
        return Err(format!("uid {peer} may not control a daemon of uid {ours}"));
    }
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(LONGEST_REQUEST));
    match timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await {
        Ok(Ok(_)) => serde_json::from_slice(&line).map_err(|error| format!("not a request: {error}")),
        Ok(Err(error)) => Err(format!("cannot read the request: {error}")),
        Err(_) => Err("no request came".to_owned()),
    }
}
