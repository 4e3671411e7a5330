//! A connection on tokio: as much of [`crate::connection`] as a producer needs.

use std::collections::VecDeque;
use std::io;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::connection::{
    Address, ConnectionError, Doing, Options, failed, is_readable, keep_alive, loses_step,
};
use crate::protocol::{Command, Parsed, Reply, Verb, parse_head};

/// How much is read at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct AsyncConnection {
    stream: Stream,
    options: Options,
    output: Vec<u8>,
    input: Vec<u8>,
    /// How many bytes of the input were replies that have been received.
    consumed: usize,
    outstanding: VecDeque<Verb>,
    broken: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncConnection {
    pub(super) async fn connect(address: &Address, options: &Options) -> Result<Self, ConnectionError> {
        let stream = timeout(options.connect_timeout, Stream::connect(address, options)).await;
        let stream = stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|source| ConnectionError::Connect {
            address: address.clone(),
            source,
        })?;
        Ok(Self {
            stream,
            options: options.clone(),
            output: Vec::new(),
            input: Vec::new(),
            consumed: 0,
            outstanding: VecDeque::new(),
            broken: false,
        })
    }

    /// Adds `command` to the next write.
    pub(super) fn queue(&mut self, command: &Command<'_>) {
        command.encode(&mut self.output);
        self.outstanding.push_back(command.verb());
    }

    /// See [`crate::connection::Connection::has_ended`].
    pub(super) fn has_ended(&self) -> bool {
        self.broken || self.consumed < self.input.len() || is_readable(&self.stream.socket())
    }

    /// The reply to the oldest command without one; writes first what is queued. After an error the connection is to be
    /// dropped.
    pub(super) async fn receive(&mut self) -> Result<Reply<'_>, ConnectionError> {
        if self.broken {
            return Err(ConnectionError::Broken);
        }
        // Until this call has come to its end, also where its future is dropped.
        self.broken = true;
        self.flush().await?;
        let Some(verb) = self.outstanding.pop_front() else {
            return Err(ConnectionError::OutOfTurn { outstanding: 0 });
        };
        let doing = Doing::AwaitingReply(verb);
        self.input.drain(..self.consumed);
        self.consumed = 0;
        let after = self.options.reply_timeout;
        let read = timeout(after, self.read_head(doing)).await;
        let (head, consumed) = read.map_err(|_| ConnectionError::TimedOut { doing, after })??;
        self.consumed = consumed;
        let reply = head.with_body_from(&self.input);
        if !verb.allows(&reply) {
            return Err(ConnectionError::Unexpected {
                command: verb,
                found: reply.excerpt(),
            });
        }
        self.broken = loses_step(verb, &reply);
        Ok(reply)
    }

    async fn flush(&mut self) -> Result<(), ConnectionError> {
        let doing = Doing::Sending;
        let after = self.options.write_timeout;
        let mut rest = self.output.as_slice();
        while !rest.is_empty() {
            let written = timeout(after, self.stream.write(rest)).await;
            let written = written.map_err(|_| ConnectionError::TimedOut { doing, after })?;
            match written.map_err(|source| failed(doing, None, source))? {
                0 => return Err(ConnectionError::Closed { doing }),
                count => rest = rest.get(count..).unwrap_or_default(),
            }
        }
        self.output.clear();
        Ok(())
    }

    async fn read_head(
        &mut self,
        doing: Doing,
    ) -> Result<(crate::protocol::ReplyHead, usize), ConnectionError> {
        loop {
            let parsed = parse_head(&self.input, self.options.body_limit)
                .map_err(|source| ConnectionError::Protocol { doing, source })?;
            if let Parsed::Complete { value, consumed } = parsed {
                return Ok((value, consumed));
            }
            self.input.reserve(READ_BYTES);
            let read = self.stream.read(&mut self.input).await;
            if read.map_err(|source| failed(doing, None, source))? == 0 {
                return Err(ConnectionError::Closed { doing });
            }
        }
    }
}

impl Stream {
    async fn connect(address: &Address, options: &Options) -> io::Result<Self> {
        match address {
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                keep_alive(SockRef::from(&stream), options)?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
        }
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes).await,
            Self::Unix(stream) => stream.write(bytes).await,
        }
    }

    /// Appends what has come, up to the room that `input` has.
    async fn read(&mut self, input: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(input).await,
            Self::Unix(stream) => stream.read_buf(input).await,
        }
    }
}
