//! A blocking connection to beanstalkd over TCP or a Unix socket.
//!
//! Owns the socket, its time-outs, and the pairing of every command with its reply. Does not reconnect and
//! does not retry: that is its user's decision, because a job may be held by the connection that broke.
//!
//! ```text
//! queue(command)… ──▶ flush() ──▶ receive()…      one receive for each command, in order
//!                        │            │
//!                        └── any I/O or protocol error ──▶ broken for ever, socket shut
//! ```
//!
//! A broken connection answers [`ConnectionError::Broken`], so a reply can never be taken for another
//! command's.
//!
//! Commands go out in one write per [`Connection::flush`], and replies are borrowed from one buffer that is
//! kept, so a steady stream of jobs allocates nothing.

mod address;
mod buffer;
mod commands;
mod error;
mod gather;
mod socket;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::address::{Address, AddressError, DEFAULT_PORT};
use self::buffer::{KEPT_BYTES, ReadBuffer};
#[cfg(feature = "tokio")]
pub(crate) use self::commands::JOB_LIMIT;
pub(crate) use self::commands::put_result;
pub use self::commands::{Job, Released, Reserve};
pub use self::error::{ConnectionError, Doing, PutError};
use self::gather::Gather;
use self::socket::Socket;
pub use self::socket::Waker;
#[cfg(feature = "tokio")]
pub(crate) use self::socket::{is_readable, keep_alive};
use crate::protocol::{
    Command, Excerpt, MAX_BODY_BYTES, MAX_RESERVE_SECONDS, Parsed, ProtocolError, Reply, ReplyHead,
    ServerError, Verb, parse_head,
};

/// How slow a transfer of one reply or one write may be, in bytes per second, before it counts as stuck.
const SLOWEST_TRANSFER: usize = 64 * 1024;

/// Time-outs and limits of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// For all addresses of the host together; name resolution has the resolver's own limits.
    pub connect_timeout: Duration,
    /// How long the server may take for a reply. A reserve has its own time-out on top.
    pub reply_timeout: Duration,
    /// How long a write may make no progress.
    pub write_timeout: Duration,
    /// The idle time after which TCP probes the peer, then every 10 s and three times; `None` never probes.
    /// Whole seconds from 1 to 32,767, the system's range; what is outside is sent as the nearest.
    pub keepalive: Option<Duration>,
    /// The largest body to receive, in bytes, at most [`MAX_BODY_BYTES`]. Memory is taken only as bytes arrive.
    pub body_limit: usize,
}

impl Default for Options {
    /// 5 s to connect, 10 s for a reply or a write, keepalive after 60 s, and every body that a beanstalkd
    /// can hold.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            keepalive: Some(Duration::from_secs(60)),
            body_limit: MAX_BODY_BYTES,
        }
    }
}

/// A connection to a beanstalkd.
#[derive(Debug)]
pub struct Connection {
    socket: Arc<Socket>,
    address: Address,
    options: Options,
    output: Vec<u8>,
    input: ReadBuffer,
    /// The commands without a reply yet, the oldest first.
    outstanding: VecDeque<Outstanding>,
    /// How many of them, at the end, are queued and not yet written.
    unsent: usize,
    /// The read time-out that the socket has now.
    read_timeout: Option<Duration>,
    /// With how many bytes the socket ends a read now.
    low_water: usize,
    gather: Gather,
    /// Whoever waits by the descriptor waits for two replies.
    gathers: bool,
    broken: bool,
}

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    verb: Verb,
    /// How long the reply may take; `None` is without limit.
    wait: Option<Duration>,
}

impl Connection {
    /// Connects, trying every address of a host name.
    ///
    /// # Errors
    /// [`ConnectionError::Connect`] with the last address's cause.
    pub fn connect(address: &Address, options: &Options) -> Result<Self, ConnectionError> {
        let refused = |source| ConnectionError::Connect {
            address: address.clone(),
            source,
        };
        let read_timeout = Some(options.reply_timeout);
        let socket = Socket::connect(address, options).map_err(refused)?;
        socket.set_read_timeout(read_timeout).map_err(refused)?;
        Ok(Self {
            socket: Arc::new(socket),
            address: address.clone(),
            options: Options {
                body_limit: options.body_limit.min(MAX_BODY_BYTES),
                ..options.clone()
            },
            output: Vec::new(),
            input: ReadBuffer::new(),
            outstanding: VecDeque::new(),
            unsent: 0,
            read_timeout,
            low_water: 1,
            gather: Gather::new(),
            gathers: false,
            broken: false,
        })
    }

    /// The address this connection was made to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How many commands are queued or sent whose reply was not received.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether an error has made the connection unusable.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether the connection is of no more use, as far as can be told without waiting: it is broken, the server has closed
    /// it, or there are bytes that nobody asked for.
    ///
    /// Meaningful only while no reply is outstanding. A server that has gone without a word is not noticed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.broken || !self.input.unread().is_empty() || self.socket.has_ended()
    }

    /// Whether [`Waker::half_close`] was called: a job reserved now can no longer be settled here.
    #[must_use]
    pub fn is_half_closed(&self) -> bool {
        self.socket.is_half_closed()
    }

    /// A handle with which another thread ends a waiting reserve.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker::new(&self.socket)
    }

    /// Adds `command` to the next write. No I/O; a broken connection reports it at [`Connection::flush`].
    ///
    /// The server answers while it reads, so who queues very many commands at once has to receive in between.
    pub fn queue(&mut self, command: &Command<'_>) {
        if self.broken {
            return;
        }
        command.encode(&mut self.output);
        let reply = self.options.reply_timeout;
        let wait = match command {
            Command::Quit => return,
            Command::Reserve => None,
            Command::ReserveWithTimeout { seconds } => {
                let own = Duration::from_secs(u64::from((*seconds).min(MAX_RESERVE_SECONDS)));
                Some(reply.saturating_add(own))
            }
            _ => Some(reply),
        };
        self.outstanding.push_back(Outstanding {
            verb: command.verb(),
            wait,
        });
        self.unsent += 1;
    }

    /// Writes what is queued, in one system call where the socket takes it.
    ///
    /// # Errors
    /// Any error breaks the connection. Whether the server saw the commands is then unknown.
    pub fn flush(&mut self) -> Result<(), ConnectionError> {
        if self.broken {
            return Err(ConnectionError::Broken);
        }
        if self.output.is_empty() {
            return Ok(());
        }
        match self.write_output() {
            Ok(()) => Ok(()),
            Err(error) => Err(self.break_with(error)),
        }
    }

    /// The reply to the oldest command without one; flushes first.
    ///
    /// The reply is one that the protocol allows for its command, or [`Reply::Error`]. After an error reply
    /// by which the server would take a put's body for commands, the connection is broken, too.
    ///
    /// # Errors
    /// [`ConnectionError::OutOfTurn`] where no command waits for a reply; any other error breaks the
    /// connection.
    pub fn receive(&mut self) -> Result<Reply<'_>, ConnectionError> {
        let verb = self.awaited()?;
        match self.read_head(verb) {
            Ok((head, consumed)) => self.take(verb, head, consumed),
            Err(error) => Err(self.break_with(error)),
        }
    }

    /// The command that the next reply is for; flushes first.
    fn awaited(&mut self) -> Result<Verb, ConnectionError> {
        self.flush()?;
        let oldest = self.outstanding.front().map(|oldest| oldest.verb);
        oldest.ok_or(ConnectionError::OutOfTurn { outstanding: 0 })
    }

    /// Takes a whole reply from the input.
    fn take(&mut self, verb: Verb, head: ReplyHead, consumed: usize) -> Result<Reply<'_>, ConnectionError> {
        self.outstanding.pop_front();
        let reply = head.with_body_from(self.input.take(consumed));
        let allowed = verb.allows(&reply);
        if !allowed || loses_step(verb, &reply) {
            self.broken = true;
            self.outstanding.clear();
            self.socket.shut();
        }
        if !allowed {
            return Err(ConnectionError::Unexpected {
                command: verb,
                found: reply.excerpt(),
            });
        }
        Ok(reply)
    }

    /// The reply to the oldest command without one, where it has come as a whole; flushes first, and waits for nothing.
    ///
    /// For whoever waits for several connections at once: see [`Connection::wait_outside`]. How long a reply may take is
    /// theirs to watch.
    ///
    /// # Errors
    /// Those of [`Connection::receive`].
    pub fn receive_now(&mut self) -> Result<Option<Reply<'_>>, ConnectionError> {
        let verb = self.awaited()?;
        match self.read_head_now(verb) {
            Ok(Some((head, consumed))) => self.take(verb, head, consumed).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(self.break_with(error)),
        }
    }

    /// The reply to the oldest command without one, where it has come as a whole together with an earlier one. Reads nothing.
    ///
    /// # Errors
    /// Those of [`Connection::receive`].
    pub fn receive_read(&mut self) -> Result<Option<Reply<'_>>, ConnectionError> {
        let verb = self.awaited()?;
        match self.parse_input(verb) {
            Ok(Parsed::Complete { value, consumed }) => self.take(verb, value, consumed).map(Some),
            Ok(Parsed::Incomplete { .. }) => Ok(None),
            Err(error) => Err(self.break_with(error)),
        }
    }

    /// To be called before the next replies are waited for by the connection's descriptor.
    ///
    /// It is readable once anything of a reply has come, or the connection has ended. Where it has worked before, the
    /// replies to a delete and to a reserve behind it are to come together: it is readable once both have. When
    /// the second lets itself be waited for, [`Connection::wait_no_longer`] has to be called.
    ///
    /// # Errors
    /// Any error breaks the connection, which makes the descriptor readable.
    pub fn wait_outside(&mut self) -> Result<(), ConnectionError> {
        self.gathers = self.is_pair() && self.gather.is_due();
        self.have_readable_with(if self.gathers { gather::BOTH } else { 1 })
    }

    /// Makes the descriptor readable with the first of two replies, if they were to come together.
    ///
    /// # Errors
    /// As for [`Connection::wait_outside`].
    pub fn wait_no_longer(&mut self) -> Result<(), ConnectionError> {
        if std::mem::take(&mut self.gathers) {
            self.gather.was_in_vain();
        }
        self.have_readable_with(1)
    }

    /// Sends one command and receives its reply.
    ///
    /// # Errors
    /// [`ConnectionError::OutOfTurn`] while other replies are outstanding; else those of
    /// [`Connection::flush`] and [`Connection::receive`]. `quit` has no reply: use [`Connection::quit`].
    pub fn call(&mut self, command: &Command<'_>) -> Result<Reply<'_>, ConnectionError> {
        if !self.outstanding.is_empty() {
            return Err(ConnectionError::OutOfTurn {
                outstanding: self.outstanding.len(),
            });
        }
        self.queue(command);
        self.receive()
    }

    fn write_output(&mut self) -> Result<(), ConnectionError> {
        if self.socket.is_half_closed() {
            return Err(ConnectionError::HalfClosed);
        }
        let unread = self.input.unread();
        // With earlier commands outstanding these bytes are their replies; with none they belong to nobody.
        if !unread.is_empty() && self.outstanding.len() == self.unsent {
            let source = ProtocolError::Unsolicited {
                found: Excerpt::new(unread),
            };
            return Err(ConnectionError::Protocol {
                doing: Doing::Sending,
                source,
            });
        }
        let timeout = self.options.write_timeout;
        let doing = Doing::Sending;
        let mut rest = self.output.as_slice();
        let mut transfer = Transfer::new(timeout);
        while !rest.is_empty() {
            let written = self
                .socket
                .write(rest)
                .map_err(|source| failed(doing, Some(timeout), source))?;
            if written == 0 {
                return Err(ConnectionError::Closed { doing });
            }
            rest = rest.get(written..).unwrap_or_default();
            if !rest.is_empty() && transfer.is_stuck(rest.len()) {
                return Err(ConnectionError::TimedOut {
                    doing,
                    after: transfer.allowed(rest.len()),
                });
            }
        }
        self.output.clear();
        self.output.shrink_to(KEPT_BYTES);
        self.unsent = 0;
        Ok(())
    }

    /// The reply that the input begins with: its head, and its length in bytes.
    fn parse_input(&self, verb: Verb) -> Result<Parsed<ReplyHead>, ConnectionError> {
        parse_head(self.input.unread(), self.options.body_limit).map_err(|source| {
            let doing = Doing::AwaitingReply(verb);
            ConnectionError::Protocol { doing, source }
        })
    }

    /// Reads until the input begins with a whole reply; its head, and its length in bytes.
    fn read_head(&mut self, verb: Verb) -> Result<(ReplyHead, usize), ConnectionError> {
        let doing = Doing::AwaitingReply(verb);
        let mut transfer = Transfer::new(self.options.reply_timeout);
        self.gathers = self.is_pair() && self.gather.is_due();
        loop {
            let needed = match self.parse_input(verb)? {
                Parsed::Complete { value, consumed } => return Ok((value, consumed)),
                Parsed::Incomplete { needed } => needed,
            };
            // A reply in several pieces is the only one whose progress is watched by the clock.
            let missing = needed - self.input.unread().len();
            if !self.input.unread().is_empty() && transfer.is_stuck(missing) {
                return Err(ConnectionError::TimedOut {
                    doing,
                    after: transfer.allowed(missing),
                });
            }
            let wait = self.longest_wait();
            let (low_water, patience) = match self.gathers {
                true => (gather::BOTH, Some(gather::PATIENCE)),
                false => (1, wait),
            };
            self.limit_reads_to(low_water, patience)
                .map_err(|source| ConnectionError::Io { doing, source })?;
            let read = self.input.fill(needed, |room| self.socket.read(room));
            let gathered = std::mem::take(&mut self.gathers);
            match read.map_err(|source| failed(doing, wait, source)) {
                Ok(0) => return Err(ConnectionError::Closed { doing }),
                Ok(count) if gathered => self.gather.came_with(count),
                // At the end of its patience the socket gives out what it has: the first reply, or nothing.
                Err(ConnectionError::TimedOut { .. }) if gathered => self.gather.was_in_vain(),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn have_readable_with(&mut self, low_water: usize) -> Result<(), ConnectionError> {
        if self.broken {
            return Err(ConnectionError::Broken);
        }
        let limited = self.limit_reads_to(low_water, self.read_timeout);
        limited.map_err(|source| {
            let doing = Doing::Sending;
            self.break_with(ConnectionError::Io { doing, source })
        })
    }

    /// Reads what has come; the same where the input begins with a whole reply then.
    fn read_head_now(&mut self, verb: Verb) -> Result<Option<(ReplyHead, usize)>, ConnectionError> {
        let doing = Doing::AwaitingReply(verb);
        let mut may_hold_more = true;
        loop {
            let needed = match self.parse_input(verb)? {
                Parsed::Complete { value, consumed } => return Ok(Some((value, consumed))),
                Parsed::Incomplete { needed } => needed,
            };
            if !may_hold_more {
                return Ok(None);
            }
            let read = self.input.fill(needed, |room| {
                let count = self.socket.read_now(room)?;
                may_hold_more = count == room.len();
                Ok(count)
            });
            match read {
                Ok(0) => return Err(ConnectionError::Closed { doing }),
                Ok(count) if std::mem::take(&mut self.gathers) => self.gather.came_with(count),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(source) => return Err(failed(doing, None, source)),
            }
        }
    }

    /// Whether the next replies are a delete's and, behind it, a reserve's, and nothing of them has come.
    fn is_pair(&self) -> bool {
        let verb = |at: usize| self.outstanding.get(at).map(|outstanding| outstanding.verb);
        self.input.unread().is_empty()
            && verb(0) == Some(Verb::Delete)
            && verb(1) == Some(Verb::ReserveWithTimeout)
    }

    /// The longest wait of all outstanding replies.
    ///
    /// With a delete and a reserve on their way this is the reserve's for both, so the socket's time-out
    /// stays the same from job to job and costs no system call.
    fn longest_wait(&self) -> Option<Duration> {
        self.outstanding
            .iter()
            .try_fold(Duration::ZERO, |longest, next| Some(longest.max(next.wait?)))
    }

    fn limit_reads_to(&mut self, low_water: usize, wait: Option<Duration>) -> std::io::Result<()> {
        if self.low_water != low_water {
            self.socket.set_low_water(low_water)?;
            self.low_water = low_water;
        }
        if self.read_timeout != wait {
            self.socket.set_read_timeout(wait)?;
            self.read_timeout = wait;
        }
        Ok(())
    }

    fn break_with(&mut self, error: ConnectionError) -> ConnectionError {
        self.broken = true;
        self.outstanding.clear();
        self.output = Vec::new();
        // Shut now and not when dropped: the server readies the jobs of a closed connection at once.
        self.socket.shut();
        error
    }
}

/// For poll(2) and its like: see [`Connection::wait_outside`].
impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether the server and this side now disagree where the next command begins.
///
/// A put line that the server did not understand leaves its body to be read as commands.
pub(crate) fn loses_step(verb: Verb, reply: &Reply<'_>) -> bool {
    use ServerError::{BadFormat, ExpectedCrlf, UnknownCommand};
    verb == Verb::Put && matches!(reply, Reply::Error(BadFormat | UnknownCommand | ExpectedCrlf))
}

/// What a failed read or write means; `wait` is the socket's time-out for it, which the system reports as
/// `EAGAIN`.
pub(crate) fn failed(doing: Doing, wait: Option<Duration>, source: std::io::Error) -> ConnectionError {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, WouldBlock};
    match (source.kind(), wait) {
        (WouldBlock, Some(after)) => ConnectionError::TimedOut { doing, after },
        (BrokenPipe | ConnectionReset | ConnectionAborted, _) => ConnectionError::Closed { doing },
        _ => ConnectionError::Io { doing, source },
    }
}

/// Watches that a transfer in several pieces gets on, since a peer that sends a byte at a time never trips a
/// socket's own time-out. Reads the clock only from the second piece on.
struct Transfer {
    patience: Duration,
    begun: Option<(Instant, Duration)>,
}

impl Transfer {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            begun: None,
        }
    }

    fn is_stuck(&mut self, missing: usize) -> bool {
        let patience = self.patience;
        let (begun, allowed) = self.begun.get_or_insert_with(|| (Instant::now(), Duration::ZERO));
        // The length of a body is known only when its line is there, so the allowance may grow.
        *allowed = (*allowed).max(allowance(patience, missing));
        begun.elapsed() > *allowed
    }

    fn allowed(&self, missing: usize) -> Duration {
        self.begun
            .map_or_else(|| allowance(self.patience, missing), |(_, allowed)| allowed)
    }
}

fn allowance(patience: Duration, missing: usize) -> Duration {
    patience.saturating_add(Duration::from_secs((missing / SLOWEST_TRANSFER) as u64))
}
