//! A scripted server: a thread that plays beanstalkd for one connection, or what is none.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use crate::connection::{Address, Connection, Options};
use crate::protocol::{Parsed, parse_command};

/// What a server does on one connection.
pub(crate) type Script = Box<dyn FnOnce(TcpStream) + Send>;

/// A server that runs a script on each of its connections.
pub(crate) struct Scripted {
    pub(crate) address: Address,
    thread: JoinHandle<()>,
}

impl Scripted {
    /// A server of one connection.
    pub(crate) fn start(script: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        Self::in_turn([Box::new(script) as Script])
    }

    /// A server of one connection after the other; then it listens no more.
    pub(crate) fn in_turn(scripts: impl IntoIterator<Item = Script>) -> Self {
        let scripts: Vec<Script> = scripts.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            for script in scripts {
                script(listener.accept().unwrap().0);
            }
        });
        Self {
            address: Address::from_host_and_port("127.0.0.1", port).unwrap(),
            thread,
        }
    }

    /// A server that reads one command and answers with `bytes`, then waits for the client to go.
    pub(crate) fn answering(bytes: &'static [u8]) -> Self {
        Self::start(move |mut stream| {
            next_command(&mut stream);
            stream.write_all(bytes).unwrap();
            until_closed(&mut stream);
        })
    }

    /// A server that reads one command, answers with `bytes`, and closes.
    pub(crate) fn closing_after(bytes: &'static [u8]) -> Self {
        Self::start(move |mut stream| {
            next_command(&mut stream);
            stream.write_all(bytes).unwrap();
        })
    }

    pub(crate) fn connect(&self) -> Connection {
        self.connect_with(&Options::default())
    }

    pub(crate) fn connect_with(&self, options: &Options) -> Connection {
        Connection::connect(&self.address, options).unwrap()
    }

    /// The script's own assertions count only when it is joined.
    pub(crate) fn finish<C>(self, connection: C) {
        drop(connection);
        self.thread.join().unwrap();
    }
}

/// Reads one whole command and throws it away.
pub(crate) fn next_command(stream: &mut TcpStream) {
    let mut input = Vec::new();
    let mut byte = [0];
    while !matches!(parse_command(&input, 1 << 20), Ok(Parsed::Complete { .. })) {
        stream.read_exact(&mut byte).unwrap();
        input.push(byte[0]);
    }
}

pub(crate) fn until_closed(stream: &mut TcpStream) {
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest), Ok(count) if count > 0) {}
}
