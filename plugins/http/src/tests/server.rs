//! A receiver that follows a script.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long anything may take before a test gives up. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to answer to the next request, whichever connection it comes on.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// These bytes.
    Say(String),
    /// These bytes, and nothing more: the connection is closed.
    SayAndClose(String),
    /// Nothing, until the client goes.
    Silence,
}

/// What came.
#[derive(Debug)]
pub(super) struct Received {
    /// Counted from 0, by the order in which connections were made.
    pub(super) connection: usize,
    /// `POST /path HTTP/1.1`.
    pub(super) line: String,
    /// By name in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

/// The server; it ends when this is dropped.
pub(super) struct Server {
    pub(super) port: u16,
    received: Receiver<Received>,
    closed: Receiver<()>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    script: Mutex<VecDeque<Reply>>,
    connections: Mutex<Vec<TcpStream>>,
    closed: Sender<()>,
    stopped: AtomicBool,
}

/// An answer with a body and more header lines, each with its line end.
pub(super) fn reply(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Say(format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    ))
}

impl Server {
    /// A server on a free loopback port.
    pub(super) fn start(script: impl IntoIterator<Item = Reply>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, received) = mpsc::channel();
        let (told, closed) = mpsc::channel();
        let shared = Arc::new(Shared {
            script: Mutex::new(script.into_iter().collect()),
            connections: Mutex::default(),
            closed: told,
            stopped: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || accept(&listener, &of_thread, &sender));
        Server {
            port,
            received,
            closed,
            shared,
            thread: Some(thread),
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The next request.
    #[track_caller]
    pub(super) fn received(&self) -> Received {
        let received = self.received.recv_timeout(PATIENCE);
        received.expect("a request comes")
    }

    /// Waits until the server has closed a connection after its answer.
    #[track_caller]
    pub(super) fn wait_until_closed(&self) {
        let closed = self.closed.recv_timeout(PATIENCE);
        closed.expect("a connection is closed");
    }

    /// Whether nobody has sent anything that was not looked at.
    pub(super) fn is_quiet(&self) -> bool {
        self.received.try_recv().is_err()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes `accept`.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            thread::panicking() || !matches!(ended, Some(Err(_))),
            "the server has panicked"
        );
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, sender: &Sender<Received>) {
    let mut threads = Vec::new();
    for number in 0.. {
        let (stream, _) = listener.accept().expect("a connection");
        if shared.stopped.load(Ordering::SeqCst) {
            break;
        }
        let handle = stream.try_clone().expect("a second handle");
        shared.connections.lock().expect("nobody panicked").push(handle);
        let (shared, sender) = (Arc::clone(shared), sender.clone());
        threads.push(thread::spawn(move || serve(stream, number, &shared, &sender)));
    }
    for connection in shared.connections.lock().expect("nobody panicked").iter() {
        // It may be closed already.
        let _ = connection.shutdown(Shutdown::Both);
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().expect("it did not panic"));
}

fn serve(mut stream: TcpStream, number: usize, shared: &Shared, sender: &Sender<Received>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    while let Some(request) = read(&mut reader, number) {
        sender.send(request).expect("the test listens");
        let reply = shared.script.lock().expect("nobody panicked").pop_front();
        match reply.expect("the script has an answer") {
            Reply::Say(text) => {
                if stream.write_all(text.as_bytes()).is_err() {
                    return;
                }
            }
            Reply::SayAndClose(text) => {
                let _ = stream.write_all(text.as_bytes());
                let _ = stream.shutdown(Shutdown::Both);
                // The test need not wait for it.
                let _ = shared.closed.send(());
                return;
            }
            Reply::Silence => {
                let _ = reader.read(&mut [0]);
                return;
            }
        }
    }
}

/// One request; `None` where the client has gone.
fn read(reader: &mut impl BufRead, connection: usize) -> Option<Received> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut lines = lines.into_iter();
    let line = lines.next()?;
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_lowercase(), value.to_owned()))
        })
        .collect();
    let length = headers.get("content-length")?.parse().expect("a length");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received {
        connection,
        line,
        headers,
        body,
    })
}
