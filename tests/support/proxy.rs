//! A proxy before the queue server that spoils one connection, once: the first that sends a certain command.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{Beanstalkd, Host, eventually};

/// What happens to the connection.
#[derive(Clone, Copy)]
pub(crate) enum Spoil {
    /// It is cut; the queue server never sees the command.
    CutBefore,
    /// It is cut; the worker never sees the answer.
    CutBehind,
    /// It stays open, and nothing goes over it any more.
    Stall,
}

/// A proxy; it ends with the test's process.
pub(crate) struct Proxy {
    port: u16,
    spoiled: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts one that spoils the connection which first sends something that begins with `command`.
    pub(crate) fn start(queue: &Beanstalkd, command: &'static str, spoil: Spoil) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let server = queue.port();
        let spoiled = Arc::new(AtomicBool::new(false));
        let proxy = Proxy {
            port,
            spoiled: spoiled.clone(),
        };
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else {
                    return;
                };
                let spoiled = spoiled.clone();
                thread::spawn(move || carry(client, upstream, command, spoil, &spoiled));
            }
        });
        proxy
    }

    /// A daemon that goes by it to the queue server.
    pub(crate) fn host(&self) -> Host {
        Host::unconnected().flag(format!("--port={}", self.port))
    }

    /// Waits until a connection is spoiled.
    #[track_caller]
    pub(crate) fn wait_until_spoiled(&self) {
        eventually("a connection is spoiled", || {
            self.spoiled.load(Ordering::SeqCst).then_some(())
        });
    }
}

fn carry(mut client: TcpStream, mut upstream: TcpStream, command: &str, spoil: Spoil, spoiled: &AtomicBool) {
    let silent = Arc::new(AtomicBool::new(false));
    let (mut back, mut answers) = (
        client.try_clone().expect("a socket"),
        upstream.try_clone().expect("a socket"),
    );
    let muted = silent.clone();
    let answering = thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = answers.read(&mut chunk) {
            if muted.load(Ordering::SeqCst) {
                // The answer is there, so the queue server has done what it was told.
                break;
            }
            if back.write_all(&chunk[..count]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut chunk = [0; 4096];
    let mut stalled = false;
    while let Ok(count @ 1..) = client.read(&mut chunk) {
        let is_meant = chunk[..count].starts_with(command.as_bytes());
        if is_meant && !spoiled.swap(true, Ordering::SeqCst) {
            match spoil {
                Spoil::CutBefore => break,
                Spoil::CutBehind => silent.store(true, Ordering::SeqCst),
                Spoil::Stall => stalled = true,
            }
        }
        if !stalled && upstream.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    let _ = upstream.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
    let _ = answering.join();
}
