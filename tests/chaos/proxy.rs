//! A network between the daemon and the queue server, as bad as the dice want it.
//!
//! Every connection has a fate: to be cut after so many bytes in one direction, to stall there for a while, to stall
//! for ever, or to live. A stalled connection stays open on both sides and nothing passes, as on a line whose other
//! end has lost its power. What was cut in the middle of a command or a reply stays half-sent.
//!
//! When the storm is over, a stalled connection that the daemon has given up is closed on the queue server's side, too,
//! as the server's own keepalive would do it later. Without that a job may stay reserved for ever: beanstalkd 1.12 now
//! and then forgets the time to run of a connection that says nothing more (it drops the connection's timer where that
//! fires in the very microsecond in which the time ends).

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::dice::Dice;

/// How often a stalled direction looks whether it goes on.
const LOOK: Duration = Duration::from_millis(20);

/// The proxy. Its threads end with their connections, and the listener when this is dropped.
pub(super) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    queue: PathBuf,
    dice: Mutex<Dice>,
    is_calm: AtomicBool,
    is_over: AtomicBool,
    connections: Mutex<Vec<Arc<Connection>>>,
    counts: Counts,
}

/// What the proxy did.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) connections: AtomicUsize,
    pub(super) cuts: AtomicUsize,
    pub(super) stalls: AtomicUsize,
    pub(super) half_open: AtomicUsize,
}

struct Connection {
    client: TcpStream,
    queue: UnixStream,
    is_stalled: AtomicBool,
}

/// What happens when so many bytes have passed in one direction.
#[derive(Clone, Copy)]
struct Fate {
    after: usize,
    blow: Blow,
}

#[derive(Clone, Copy)]
enum Blow {
    Cut,
    Stall(Duration),
    StallForEver,
}

impl Proxy {
    /// Listens on a free port, for a queue server on that Unix socket.
    pub(super) fn start(queue: PathBuf, dice: Dice) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            queue,
            dice: Mutex::new(dice),
            is_calm: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
            connections: Mutex::default(),
            counts: Counts::default(),
        });
        let accepting = shared.clone();
        thread::spawn(move || accepting.accept(&listener));
        Proxy { port, shared }
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// From now on connections have a fate, or none. What is stalled for ever stays so.
    pub(super) fn set_calm(&self, is_calm: bool) {
        self.shared.is_calm.store(is_calm, Ordering::SeqCst);
    }

    /// Cuts every connection.
    pub(super) fn cut_all(&self) {
        let connections = self.shared.connections();
        self.count(|counts| &counts.cuts, connections.len());
        connections.iter().for_each(|connection| connection.cut());
    }

    /// Stalls every connection for ever: the daemon has to find out.
    pub(super) fn stall_all(&self) {
        let connections = self.shared.connections();
        self.count(|counts| &counts.half_open, connections.len());
        for connection in connections.iter() {
            connection.is_stalled.store(true, Ordering::SeqCst);
        }
    }

    /// What it did until now.
    pub(super) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    fn count(&self, which: impl Fn(&Counts) -> &AtomicUsize, by: usize) {
        which(&self.shared.counts).fetch_add(by, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared
            .connections()
            .iter()
            .for_each(|connection| connection.cut());
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Connection {
    /// Whether the daemon's side is closed, whatever of it was not read yet.
    fn is_left_by_the_daemon(&self) -> bool {
        // poll(2): the peer has closed, or shut its writing half down. nix has no name for it.
        let left = PollFlags::from_bits_retain(libc::POLLRDHUP);
        let mut client = [PollFd::new(self.client.as_fd(), left)];
        poll(&mut client, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    fn cut(&self) {
        self.is_stalled.store(false, Ordering::SeqCst);
        // Either may be gone already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.queue.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        for client in listener.incoming().map_while(Result::ok) {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            // While the queue server is away, whoever connects is dropped at once.
            if let Ok(queue) = UnixStream::connect(&self.queue) {
                self.counts.connections.fetch_add(1, Ordering::Relaxed);
                self.carry(client, queue);
            }
        }
    }

    fn carry(self: &Arc<Shared>, client: TcpStream, queue: UnixStream) {
        client.set_nodelay(true).expect("a socket");
        let connection = Arc::new(Connection {
            client,
            queue,
            is_stalled: AtomicBool::new(false),
        });
        let (to_queue, to_client) = self.fates();
        self.connections().push(connection.clone());
        let shared = self.clone();
        thread::spawn(move || {
            let Connection { client, queue, .. } = &*connection;
            thread::scope(|scope| {
                scope.spawn(|| shared.pump(client, queue, to_queue, &connection));
                shared.pump(queue, client, to_client, &connection);
            });
            let is_other = |known: &Arc<Connection>| !Arc::ptr_eq(known, &connection);
            shared.connections().retain(is_other);
        });
    }

    /// What awaits the two directions of a connection.
    fn fates(&self) -> (Option<Fate>, Option<Fate>) {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let after = dice.within(1..4000) as usize;
        let stall = Duration::from_millis(dice.within(200..6000));
        let blow = dice.weighted(&[
            (60, Some(Blow::Cut)),
            (15, Some(Blow::Stall(stall))),
            (5, Some(Blow::StallForEver)),
            (20, None),
        ]);
        let is_to_queue = dice.happens(500);
        let fate = blow.map(|blow| Fate { after, blow });
        let fate = fate.filter(|_| !self.is_calm.load(Ordering::SeqCst));
        if is_to_queue { (fate, None) } else { (None, fate) }
    }

    /// Carries one direction until an end of it is gone.
    fn pump(
        &self,
        mut from: impl Read,
        mut into: impl Write + Ends,
        fate: Option<Fate>,
        connection: &Connection,
    ) {
        let mut left = fate;
        let mut chunk = [0; 4096];
        loop {
            let count = match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let mut rest = &chunk[..count];
            if let Some(fate) = left.take_if(|fate| fate.after < count) {
                let (passes, stays) = rest.split_at(fate.after);
                if into.write_all(passes).is_err() || !self.strike(fate.blow, &connection.is_stalled) {
                    return connection.cut();
                }
                rest = stays;
            } else if let Some(fate) = &mut left {
                fate.after -= count;
            }
            if !self.passes(connection) {
                return connection.cut();
            }
            if into.write_all(rest).is_err() {
                break;
            }
        }
        // A half-closed connection is half-closed on the other side, too. One that stalls tells nobody.
        match self.passes(connection) {
            true => into.end_writing(),
            false => connection.cut(),
        }
    }

    /// `false` where the connection is to be cut.
    fn strike(&self, blow: Blow, is_stalled: &AtomicBool) -> bool {
        let count = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::Relaxed);
        match blow {
            Blow::Cut => {
                count(&self.counts.cuts);
                return false;
            }
            Blow::StallForEver => {
                count(&self.counts.half_open);
                is_stalled.store(true, Ordering::SeqCst);
            }
            Blow::Stall(time) => {
                count(&self.counts.stalls);
                is_stalled.store(true, Ordering::SeqCst);
                let begun = Instant::now();
                while begun.elapsed() < time && !self.is_over.load(Ordering::SeqCst) {
                    thread::sleep(LOOK);
                }
                is_stalled.store(false, Ordering::SeqCst);
            }
        }
        true
    }

    /// Waits while the connection stalls. `false` where nothing passes any more.
    fn passes(&self, connection: &Connection) -> bool {
        while connection.is_stalled.load(Ordering::SeqCst) {
            let is_given_up = self.is_calm.load(Ordering::SeqCst) && connection.is_left_by_the_daemon();
            if is_given_up || self.is_over.load(Ordering::SeqCst) {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }
}

/// Ending one direction of a connection of either kind.
trait Ends {
    fn end_writing(&self);
}

impl Ends for &TcpStream {
    fn end_writing(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Ends for &UnixStream {
    fn end_writing(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}
