//! The socket under a connection: TCP or Unix, its options, and ending a wait from another thread.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv, setsockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};
use socket2::{Domain, SockAddr, SockRef, TcpKeepalive, Type};

use super::Options;
use super::address::Address;

/// Between two probes of an idle TCP peer.
const PROBE_INTERVAL: Duration = Duration::from_secs(10);
/// So many probes without an answer end the connection.
const PROBES: u32 = 3;
/// The idle times that Linux takes before the first probe (`MAX_TCP_KEEPIDLE`).
const IDLE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(32_767));
/// The shortest time-out: for the system zero means no time-out at all.
const SHORTEST: Duration = Duration::from_millis(1);

sockopt_impl!(
    /// `SO_RCVLOWAT` of socket(7).
    ReceiveLowWater,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    usize
);

#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    half_closed: AtomicBool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(super) fn connect(address: &Address, options: &Options) -> io::Result<Self> {
        let connect_timeout = options.connect_timeout.max(SHORTEST);
        let write_timeout = Some(options.write_timeout.max(SHORTEST));
        let stream = match address {
            Address::Tcp { host, port } => {
                let stream = connect_tcp(host, *port, connect_timeout)?;
                // A command is one write, so there is nothing to gather.
                stream.set_nodelay(true)?;
                stream.set_write_timeout(write_timeout)?;
                keep_alive(SockRef::from(&stream), options)?;
                Stream::Tcp(stream)
            }
            Address::Unix(path) => {
                let stream = connect_unix(path, connect_timeout)?;
                stream.set_write_timeout(write_timeout)?;
                Stream::Unix(stream)
            }
        };
        Ok(Self {
            stream,
            half_closed: AtomicBool::new(false),
        })
    }

    /// Sets how long one read may wait; `None` is without limit.
    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| timeout.max(SHORTEST));
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
            Stream::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    /// Sets how many bytes have to be there before a read returns; less where the peer has ended.
    pub(super) fn set_low_water(&self, bytes: usize) -> io::Result<()> {
        let set = match &self.stream {
            Stream::Tcp(stream) => setsockopt(stream, ReceiveLowWater, &bytes),
            Stream::Unix(stream) => setsockopt(stream, ReceiveLowWater, &bytes),
        };
        set.map_err(io::Error::from)
    }

    pub(super) fn read(&self, room: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| match &self.stream {
            Stream::Tcp(stream) => (&mut &*stream).read(room),
            Stream::Unix(stream) => (&mut &*stream).read(room),
        })
    }

    /// Reads what is there, without waiting; `WouldBlock` where nothing is.
    pub(super) fn read_now(&self, room: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| Ok(recv(self.as_fd().as_raw_fd(), room, MsgFlags::MSG_DONTWAIT)?))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.stream {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        uninterrupted(|| match &self.stream {
            Stream::Tcp(stream) => (&mut &*stream).write(bytes),
            Stream::Unix(stream) => (&mut &*stream).write(bytes),
        })
    }

    pub(super) fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Acquire)
    }

    /// Whether there is something to read, or its end; it does not wait.
    pub(super) fn has_ended(&self) -> bool {
        let socket = match &self.stream {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
        };
        let ended = socket.set_nonblocking(true).is_err() || is_readable(&socket);
        socket.set_nonblocking(false).is_err() || ended
    }

    /// Ends both directions. A failure means that they have ended already.
    pub(super) fn shut(&self) {
        let _already_ended = self.shutdown(Shutdown::Both);
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(how),
            Stream::Unix(stream) => stream.shutdown(how),
        }
    }
}

/// Whether a socket that does not block has bytes, or its end, to be read.
pub(crate) fn is_readable(socket: &SockRef<'_>) -> bool {
    let peeked = socket.peek(&mut [MaybeUninit::uninit()]);
    !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Has TCP probe an idle peer, as `options` say.
pub(crate) fn keep_alive(socket: SockRef<'_>, options: &Options) -> io::Result<()> {
    let Some(idle) = options.keepalive else {
        return Ok(());
    };
    let probes = TcpKeepalive::new()
        .with_time(idle.clamp(IDLE.0, IDLE.1))
        .with_interval(PROBE_INTERVAL)
        .with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)
}

/// Ends a waiting reserve of another thread's connection.
///
/// beanstalkd answers `TIMED_OUT` to a reserve that waits on a half-closed connection (protocol.txt,
/// "reserve"), at once. The connection can do nothing after that. To be called only while a reserve waits: at
/// any other time the server takes it for the end of the connection.
///
/// A job may be assigned just before the half-close arrives; it comes as `RESERVED` and cannot be settled any
/// more (see [`super::Connection::is_half_closed`]). The server readies it when the connection is dropped.
#[derive(Debug, Clone)]
pub struct Waker {
    // Weak, so that a forgotten waker does not keep the socket open and its jobs reserved.
    socket: Weak<Socket>,
}

impl Waker {
    pub(super) fn new(socket: &Arc<Socket>) -> Self {
        Self {
            socket: Arc::downgrade(socket),
        }
    }

    /// Half-closes the connection. Without effect on one that is gone.
    pub fn half_close(&self) {
        if let Some(socket) = self.socket.upgrade() {
            // Marked first: who reads the server's answer to the half-close must find the mark.
            socket.half_closed.store(true, Ordering::Release);
            let _already_ended = socket.shutdown(Shutdown::Write);
        }
    }
}

fn connect_tcp(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let begun = Instant::now();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for (at, address) in addresses.iter().enumerate() {
        // What is left is shared out, so an address that swallows packets leaves time for the next.
        let left = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        let share = timeout.saturating_sub(begun.elapsed()) / left;
        match TcpStream::connect_timeout(address, share.max(SHORTEST)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    // By socket2, since the standard library connects to a Unix socket without a time-out.
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.connect_timeout(&SockAddr::unix(path)?, timeout)?;
    Ok(socket.into())
}

fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
