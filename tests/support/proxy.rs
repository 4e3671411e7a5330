//! A proxy before the queue server that does to connections what networks do: cut them, or let them fall silent.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::{Beanstalkd, Host, eventually};

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToWorker,
}

/// What becomes of bytes that came, and of their connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They are passed on.
    Pass,
    /// So many of them are passed on; then both sides are closed.
    Cut(usize),
    /// They are swallowed, and all that follows in both directions, and the worker is not told: to it, the connection
    /// is half-open. The server hears when the worker closes it.
    Swallow,
}

/// What happens to the first connection that sends a certain command.
#[derive(Clone, Copy)]
pub(crate) enum Spoil {
    /// It is cut; the queue server never sees the command.
    CutBefore,
    /// It is cut; the worker never sees the answer.
    CutBehind,
    /// It stays open, and nothing goes over it any more.
    Stall,
}

/// Decides about the bytes of one connection, as they come. May wait, which delays the connection.
pub(crate) type Judge = Box<dyn FnMut(Way, &[u8]) -> Fate + Send>;

/// The proxy; its connections end with it.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    spoiled: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Shared {
    /// Remembers a socket, which is closed when the proxy ends.
    fn keep(&self, socket: &TcpStream) {
        let socket = socket.try_clone().expect("a socket");
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(socket);
    }
}

impl Proxy {
    /// Listens; `judge` gives each connection its judge, by the number of connections before it.
    #[track_caller]
    pub(crate) fn start(queue: &Beanstalkd, judge: impl FnMut(usize) -> Judge + Send + 'static) -> Proxy {
        Proxy::start_sharing(queue, Arc::default(), judge)
    }

    /// Listens, and spoils one connection, once: the first that sends something that begins with `command`.
    #[track_caller]
    pub(crate) fn spoiling(queue: &Beanstalkd, command: &'static str, spoil: Spoil) -> Proxy {
        let shared = Arc::new(Shared::default());
        let sharing = shared.clone();
        Proxy::start_sharing(queue, shared, move |_| {
            let (sharing, mut is_muted) = (sharing.clone(), false);
            Box::new(move |way, bytes| {
                let is_meant = way == Way::ToServer && bytes.starts_with(command.as_bytes());
                if is_meant && !sharing.spoiled.swap(true, Ordering::SeqCst) {
                    match spoil {
                        Spoil::CutBefore => return Fate::Cut(0),
                        Spoil::CutBehind => is_muted = true,
                        Spoil::Stall => return Fate::Swallow,
                    }
                }
                // When the answer is there, the queue server has done what it was told.
                match is_muted && way == Way::ToWorker {
                    true => Fate::Cut(0),
                    false => Fate::Pass,
                }
            })
        })
    }

    fn start_sharing(
        queue: &Beanstalkd,
        shared: Arc<Shared>,
        judge: impl FnMut(usize) -> Judge + Send + 'static,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (server, sharing) = (queue.port(), shared.clone());
        let listening = thread::spawn(move || listen(&listener, server, judge, &sharing));
        Proxy {
            port,
            shared,
            listening: Some(listening),
        }
    }

    /// A daemon that goes by it to the queue server.
    pub(crate) fn host(&self) -> Host {
        Host::unconnected().flag(format!("--port={}", self.port))
    }

    /// Waits until a connection is spoiled.
    #[track_caller]
    pub(crate) fn wait_until_spoiled(&self) {
        eventually("a connection is spoiled", || {
            self.shared.spoiled.load(Ordering::SeqCst).then_some(())
        });
    }

    /// Where it listens on the loopback address.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Whoever waits for the next connection gets one more.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        let open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter()
            .for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
    }
}

fn listen(listener: &TcpListener, server: u16, mut judge: impl FnMut(usize) -> Judge, shared: &Shared) {
    for (number, worker) in listener.incoming().map_while(Result::ok).enumerate() {
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        // A server that is away refuses the worker in this way.
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
            continue;
        };
        shared.keep(&worker);
        shared.keep(&server);
        let judge = Arc::new(Mutex::new((judge(number), false)));
        pump(Way::ToServer, &worker, &server, judge.clone());
        pump(Way::ToWorker, &server, &worker, judge);
    }
}

/// A judge, and whether it has told to swallow everything.
type Judged = Arc<Mutex<(Judge, bool)>>;

/// Carries bytes one way, by a thread of its own, until either side or the judge ends it.
fn pump(way: Way, from: &TcpStream, to: &TcpStream, judged: Judged) {
    let (mut from, mut to) = (
        from.try_clone().expect("a socket"),
        to.try_clone().expect("a socket"),
    );
    // What comes in several pieces goes on as it comes.
    to.set_nodelay(true).expect("an option of TCP");
    thread::spawn(move || {
        let mut chunk = [0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            let mut judge = judged.lock().unwrap_or_else(PoisonError::into_inner);
            let (judge, swallows) = &mut *judge;
            let fate = match swallows {
                true => Fate::Swallow,
                false => judge(way, &chunk[..count]),
            };
            let passed = match fate {
                Fate::Pass => count,
                Fate::Cut(passed) => passed.min(count),
                Fate::Swallow => 0,
            };
            *swallows |= fate == Fate::Swallow;
            if to.write_all(&chunk[..passed]).is_err() || matches!(fate, Fate::Cut(_)) {
                break;
            }
        }
        let swallows = judged.lock().unwrap_or_else(PoisonError::into_inner).1;
        let _ = from.shutdown(Shutdown::Both);
        if way == Way::ToServer || !swallows {
            let _ = to.shutdown(Shutdown::Both);
        }
    });
}
