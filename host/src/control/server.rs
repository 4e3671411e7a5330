//! The daemon's side of the control socket: reads one request, waits for the master's answer, writes it.

use std::{
    fs::{self, File},
    future::{Future, poll_fn},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
            net::UnixListener as StdUnixListener,
        },
    },
    path::Path,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use nix::{
    fcntl::AtFlags,
    libc,
    sys::stat::{Mode, umask},
    unistd::{Gid, Uid, fchownat, geteuid},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{Request, Response, SocketPath};
use crate::exit::Exit;

/// The longest request that is read, in bytes.
const LONGEST_REQUEST: u64 = 4096;
/// How long a client may take to send its request.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many requests are answered at one time.
const CONVERSATIONS: u32 = 64;
/// How long the daemon waits for its last answers to go out.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// A request on its way to the master.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes. Dropping it closes the connection without one.
    pub reply: oneshot::Sender<Response>,
}

/// The socket, and the requests that are being answered.
pub struct Server {
    listener: Arc<UnixListener>,
    calls: mpsc::UnboundedSender<Call>,
    free: Arc<Semaphore>,
    /// The task that accepts; nothing while the server rests.
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves a socket that listens already, until it rests or the runtime ends.
    pub fn serve(listener: StdUnixListener, calls: mpsc::UnboundedSender<Call>) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        let mut server = Server {
            listener: Arc::new(UnixListener::from_std(listener)?),
            calls,
            free: Arc::new(Semaphore::new(CONVERSATIONS as usize)),
            accepting: None,
        };
        server.resume();
        Ok(server)
    }

    /// Accepts nobody more. Who comes waits in the backlog.
    pub fn rest(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }

    /// Accepts again.
    pub fn resume(&mut self) {
        self.rest();
        let accept = accept(self.listener.clone(), self.free.clone(), self.calls.clone());
        self.accepting = Some(tokio::spawn(accept));
    }

    /// Waits, though not for long, until everybody who was accepted has an answer.
    pub fn answered(&self) -> impl Future<Output = ()> + Send + use<> {
        // One turn is held by whoever waits for the next client.
        let turns = CONVERSATIONS - u32::from(self.accepting.is_some());
        let free = self.free.clone();
        async move {
            // A client that does not read its answer must not hold the daemon up.
            let _ = timeout(LAST_ANSWERS, free.acquire_many(turns)).await;
        }
    }
}

impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Opens a new socket with mode 0600, for the user and group `owner` where that is given.
///
/// The caller holds the pid file, so a socket that is already there was left by a dead master.
pub fn listen(path: &Path, owner: Option<(u32, u32)>) -> io::Result<StdUnixListener> {
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
    // Moved to its place when it has its mode: nobody finds it before.
    let new = SocketPath::beside(path)?;
    let _ = fs::remove_file(&new.path);
    let previous = umask(Mode::from_bits_truncate(0o177));
    let listener = StdUnixListener::bind(&new.path);
    umask(previous);
    let listener = listener?;
    if let Some((uid, gid)) = owner {
        give_away(&new.path, uid, gid)?;
    }
    fs::rename(&new.path, path)?;
    Ok(listener)
}

/// Makes another user the owner of a socket that this one has just made.
///
/// By a descriptor: in a directory of that user's, its name may lead to something else by now.
fn give_away(socket: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let place = File::options()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(socket)?;
    let found = place.metadata()?;
    if !found.file_type().is_socket() || found.uid() != geteuid().as_raw() || found.nlink() != 1 {
        return Err(io::Error::other("somebody has put something else in its place"));
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok(fchownat(
        &place,
        "",
        Some(uid),
        Some(gid),
        AtFlags::AT_EMPTY_PATH,
    )?)
}

async fn accept(listener: Arc<UnixListener>, free: Arc<Semaphore>, calls: mpsc::UnboundedSender<Call>) {
    loop {
        let Ok(turn) = free.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let calls = calls.clone();
                tokio::spawn(async move {
                    converse(stream, calls).await;
                    drop(turn);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a control connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(mut stream: UnixStream, calls: mpsc::UnboundedSender<Call>) {
    let response = match request(&mut stream).await {
        Ok(request) => {
            let (reply, answer) = oneshot::channel();
            if calls
                .send(Call {
                    request: request.clone(),
                    reply,
                })
                .is_err()
            {
                return;
            }
            let answer = match request {
                // The answer may take for ever, and the turn of a client that went away is another's.
                Request::Reload { wait: true }
                | Request::Rollback
                | Request::Restart
                | Request::Restarted { .. } => unless_gone(answer, &mut stream).await,
                _ => answer.await.ok(),
            };
            match answer {
                Some(response) => response,
                None => return,
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

/// The answer, or `None` where the client goes away before.
async fn unless_gone(mut answer: oneshot::Receiver<Response>, stream: &mut UnixStream) -> Option<Response> {
    let mut gone = pin!(gone(stream));
    poll_fn(|context| match pin!(&mut answer).poll(context) {
        Poll::Ready(answer) => Poll::Ready(answer.ok()),
        Poll::Pending => gone.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Waits until the client has closed its end. What else it sends is read and left aside.
async fn gone(stream: &mut UnixStream) {
    let mut rest = [0; 256];
    while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}

async fn request(stream: &mut UnixStream) -> Result<Request, String> {
    let peer = stream
        .peer_cred()
        .map_err(|error| format!("cannot tell who asks: {error}"))?
        .uid();
    let ours = geteuid().as_raw();
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
