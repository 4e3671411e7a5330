//! The raw client: what a consumer costs that does nothing but talk to the queue server, written to win.
//!
//! It runs as a process of its own ([`main`]), as the daemon does, for as long as it is let. One connection is served by
//! blocking reads; several by one thread over epoll(7), which is cheaper than a thread for each. Nothing of the answers is
//! parsed but what the next command needs, and nothing is allocated per job.
//!
//! In every layout it has of the daemon's own means what wins there. Low water ([`Connection::low_water`]): it is not woken
//! before the socket has all that it waits for, and need not find out first whether jobs are waiting, as the daemon has to.
//! Giving way (`--give-way`): it runs as `SCHED_BATCH`, as the daemon's workers do. Several processes have both, and so has
//! one over epoll and TCP, which saves it processor time. Over epoll and a Unix socket one process has neither, since it is
//! faster without. One connection alone has low water, and on the server's core would lose by giving way. With stamps it
//! has neither: a drain's means are none for the time of a single job.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
};

use asynccall_client::connection::Address;
use asynccall_host::ipc::row::monotonic_ns;
use clap::{Args, ValueEnum};
use nix::{
    libc, setsockopt_impl, sockopt_impl,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        socket::setsockopt,
    },
};

use crate::process::give_way;

/// The line that a client with nothing to settle sends.
const RESERVE: &[u8] = b"reserve-with-timeout 2\r\n";
/// The line of one that holds jobs: nothing may wait in front of their deletes.
const RESERVE_NOW: &[u8] = b"reserve-with-timeout 0\r\n";
/// How many jobs the client that reads ahead holds on each connection.
const AHEAD: usize = 4;
/// How many jobs the batching client reserves, and then deletes, in one write.
const BATCH: usize = 64;
/// What is received before it is looked at, in bytes: more than the longest job.
const RECEIVED: usize = 128 * 1024;
/// More bytes than the answer to a delete has, which alone is not worth a wake-up, and less than any to a reserve, in bytes.
const BOTH: usize = 10;
/// The jobs for whose stamps there is room from the start.
const STAMPS_KEPT: usize = 1 << 20;

sockopt_impl!(
    /// `SO_RCVLOWAT` of socket(7).
    LowWater,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    usize
);

/// What the raw client is to do.
#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// Where the queue server listens.
    #[arg(long)]
    address: Address,
    /// The tubes that every connection watches.
    #[arg(long = "tube", required = true)]
    tubes: Vec<String>,
    /// How many connections there are.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// How commands are put together.
    #[arg(long, value_enum, default_value = "pair")]
    strategy: Strategy,
    /// Whether to run as `SCHED_BATCH`, see the module.
    #[arg(long)]
    give_way: bool,
    /// A file for when each job came and was answered: written when standard input ends.
    #[arg(long)]
    stamps: Option<PathBuf>,
}

/// How commands are put together.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// A job's delete and the next reserve in one write, as the daemon does it.
    Pair,
    /// The same with some jobs in flight on each connection.
    Ahead,
    /// Many reserves in one write, then their deletes: the most that the server can deliver.
    Batch,
}

/// One connection and the bytes that it has received.
struct Connection {
    socket: Socket,
    input: Box<[u8]>,
    /// How much of the input has been received and not yet taken.
    received: usize,
    output: Vec<u8>,
    /// How many reserves have no answer yet; of a batch, its deletes too.
    awaited: usize,
    ids: Vec<u64>,
    /// With how many bytes a read of the socket ends now, where that is to change with what is waited for.
    ///
    /// Never with more than are sure to come: the server answers a waiting reserve after two seconds at the latest.
    low_water: Option<usize>,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn connect(address: &Address) -> Socket {
        match address {
            Address::Tcp { host, port } => {
                let socket = TcpStream::connect((host.as_str(), *port)).expect("the queue server answers");
                socket.set_nodelay(true).expect("an option of TCP");
                Socket::Tcp(socket)
            }
            Address::Unix(path) => Socket::Unix(UnixStream::connect(path).expect("the queue server answers")),
        }
    }

    fn set_nonblocking(&self) {
        let set = match self {
            Socket::Tcp(socket) => socket.set_nonblocking(true),
            Socket::Unix(socket) => socket.set_nonblocking(true),
        };
        set.expect("an option of sockets");
    }

    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(room),
            Socket::Unix(socket) => socket.read(room),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let written = match self {
            Socket::Tcp(socket) => socket.write_all(bytes),
            Socket::Unix(socket) => socket.write_all(bytes),
        };
        written.expect("a few commands fit into the buffer of a socket");
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(socket) => socket.as_fd(),
            Socket::Unix(socket) => socket.as_fd(),
        }
    }
}

/// When the jobs came and were answered, in the order in which they did.
struct Stamps {
    file: PathBuf,
    kept: Vec<[u64; 3]>,
}

/// Consumes jobs until the process is killed; with stamps, until standard input ends.
pub(crate) fn main(arguments: Arguments) {
    let mut stamps = arguments.stamps.map(|file| Stamps {
        file,
        kept: Vec::with_capacity(STAMPS_KEPT),
    });
    let mut connections: Vec<Connection> = (0..arguments.connections)
        .map(|_| Connection::open(&arguments.address, &arguments.tubes))
        .collect();
    if arguments.give_way {
        give_way();
    }
    let is_tcp = matches!(arguments.address, Address::Tcp { .. });
    let gathers = arguments.strategy == Strategy::Pair && (is_tcp || arguments.connections == 1);
    for connection in &mut connections {
        connection.reserve(arguments.strategy);
        if gathers && stamps.is_none() {
            connection.low_water = Some(1);
        }
    }
    match &mut connections[..] {
        [only] if stamps.is_none() => loop {
            only.receive();
            only.advance(arguments.strategy, &mut stamps);
        },
        _ => serve(&mut connections, arguments.strategy, &mut stamps),
    }
}

/// All connections, by one thread.
fn serve(connections: &mut [Connection], strategy: Strategy, stamps: &mut Option<Stamps>) {
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    let stdin = std::io::stdin();
    let end = connections.len() as u64;
    if stamps.is_some() {
        let ended = EpollEvent::new(EpollFlags::EPOLLIN, end);
        epoll.add(&stdin, ended).expect("a pipe as standard input");
    }
    for (index, connection) in connections.iter().enumerate() {
        connection.socket.set_nonblocking();
        let readable = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
        epoll.add(&connection.socket, readable).expect("a socket");
    }
    let mut events = [EpollEvent::empty(); 64];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE).expect("epoll");
        for event in &events[..count] {
            if event.data() == end {
                stamps.take().expect("else it is not waited for").write();
                return;
            }
            let connection = &mut connections[event.data() as usize];
            connection.receive();
            connection.advance(strategy, stamps);
        }
    }
}

impl Connection {
    fn open(address: &Address, tubes: &[String]) -> Connection {
        let mut connection = Connection {
            socket: Socket::connect(address),
            input: vec![0; RECEIVED].into(),
            received: 0,
            output: Vec::with_capacity(8 * 1024),
            awaited: 0,
            ids: Vec::with_capacity(BATCH),
            low_water: None,
        };
        // The server answers while it reads: not too many at once.
        for some in tubes.chunks(BATCH) {
            for tube in some {
                write!(connection.output, "watch {tube}\r\n").expect("a vector takes it");
            }
            connection.send();
            connection.receive_lines(some.len());
        }
        connection.output.extend_from_slice(b"ignore default\r\n");
        connection.send();
        connection.receive_lines(1);
        connection
    }

    fn reserve(&mut self, strategy: Strategy) {
        let count = match strategy {
            Strategy::Pair | Strategy::Ahead => 1,
            Strategy::Batch => BATCH,
        };
        for _ in 0..count {
            self.output.extend_from_slice(RESERVE);
        }
        self.awaited = count;
        self.send();
    }

    fn send(&mut self) {
        self.socket.write(&self.output);
        self.output.clear();
    }

    /// One read of what has come.
    fn receive(&mut self) {
        let read = self.socket.read(&mut self.input[self.received..]);
        let count = read.unwrap_or(0);
        if count == 0 {
            // The server has gone, and with it the measurement.
            std::process::exit(0);
        }
        self.received += count;
    }

    fn receive_lines(&mut self, count: usize) {
        let lines = |received: &[u8]| received.iter().filter(|byte| **byte == b'\n').count();
        while lines(&self.input[..self.received]) < count {
            self.receive();
        }
        self.received = 0;
    }

    /// Takes what answers there are, and sends what they allow to.
    fn advance(&mut self, strategy: Strategy, stamps: &mut Option<Stamps>) {
        let mut at = 0;
        let missing = loop {
            let (answer, length) = match parse(&self.input[at..self.received]) {
                Ok(whole) => whole,
                Err(missing) => break missing,
            };
            at += length;
            match (strategy, answer) {
                (Strategy::Pair, Answer::Reserved(id)) => {
                    if let Some(stamps) = stamps {
                        let came = monotonic_ns();
                        stamps.kept.push([id, came, monotonic_ns()]);
                    }
                    self.delete(id);
                    self.output.extend_from_slice(RESERVE);
                }
                (Strategy::Pair, Answer::TimedOut) => self.output.extend_from_slice(RESERVE),
                (Strategy::Ahead, Answer::Reserved(id)) => {
                    self.delete(id);
                    // Alone it is the one that has waited: there may be more.
                    let more = if self.awaited == 1 { AHEAD } else { 1 };
                    (0..more).for_each(|_| self.output.extend_from_slice(RESERVE_NOW));
                    self.awaited += more - 1;
                }
                (Strategy::Ahead, Answer::TimedOut) => {
                    self.awaited -= 1;
                    if self.awaited == 0 {
                        self.output.extend_from_slice(RESERVE);
                        self.awaited = 1;
                    }
                }
                (Strategy::Pair | Strategy::Ahead, Answer::Deleted) => {}
                (Strategy::Batch, answer) => {
                    self.awaited -= 1;
                    if let Answer::Reserved(id) = answer {
                        self.ids.push(id);
                    }
                }
            }
        };
        self.input.copy_within(at..self.received, 0);
        self.received -= at;
        if strategy == Strategy::Batch && self.awaited == 0 {
            match self.ids.is_empty() {
                true => self.reserve(strategy),
                false => {
                    self.awaited = self.ids.len();
                    let ids = std::mem::take(&mut self.ids);
                    ids.iter().for_each(|id| self.delete(*id));
                    self.ids = ids;
                    self.ids.clear();
                }
            }
        }
        if !self.output.is_empty() {
            self.send();
        }
        self.wait_for(if self.received == 0 { BOTH } else { missing });
    }

    /// Has the next read end with so many bytes.
    fn wait_for(&mut self, bytes: usize) {
        if self.low_water.is_some_and(|set| set != bytes) {
            setsockopt(&self.socket, LowWater, &bytes).expect("an option of sockets");
            self.low_water = Some(bytes);
        }
    }

    fn delete(&mut self, id: u64) {
        self.output.extend_from_slice(b"delete ");
        let mut digits = [0; 20];
        let mut first = digits.len();
        let mut rest = id;
        while rest > 0 || first == digits.len() {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.output.extend_from_slice(&digits[first..]);
        self.output.extend_from_slice(b"\r\n");
    }
}

impl Stamps {
    /// One line for each job: its id, when it came, and when it was answered.
    fn write(self) {
        let lines = self.kept.iter();
        let text: String = lines
            .map(|[id, came, answered]| format!("{id} {came} {answered}\n"))
            .collect();
        fs::write(self.file, text).expect("the file can be written");
    }
}

enum Answer {
    Reserved(u64),
    Deleted,
    TimedOut,
}

/// The first answer of `input` and its length; where it is not there as a whole, how many bytes are missing at least.
fn parse(input: &[u8]) -> Result<(Answer, usize), usize> {
    let end = input.iter().position(|byte| *byte == b'\n').ok_or(1_usize)? + 1;
    match input[0] {
        b'R' => {
            let mut numbers = [0_u64; 2];
            let words = input["RESERVED ".len()..end - 2].split(|byte| *byte == b' ');
            for (number, word) in numbers.iter_mut().zip(words) {
                *number = word
                    .iter()
                    .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            }
            let [id, size] = numbers;
            let length = end + size as usize + 2;
            match length.checked_sub(input.len()) {
                None | Some(0) => Ok((Answer::Reserved(id), length)),
                Some(missing) => Err(missing),
            }
        }
        b'D' => Ok((Answer::Deleted, end)),
        _ => Ok((Answer::TimedOut, end)),
    }
}
