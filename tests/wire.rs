//! What goes over the wire, seen by a proxy between a worker and the queue server.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::{Beanstalkd, Host};

/// What each read from a worker gave.
type Chunks = Arc<Mutex<Vec<String>>>;

/// Passes everything on and keeps what the workers sent, chunk by chunk. It ends with the process.
fn proxy(queue: &Beanstalkd) -> (u16, Chunks) {
    let server = queue.port();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let chunks = Chunks::default();
    let kept = chunks.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("a connection");
            let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else {
                return;
            };
            client.set_nodelay(true).expect("an option");
            server.set_nodelay(true).expect("an option");
            let back = (
                server.try_clone().expect("a clone"),
                client.try_clone().expect("a clone"),
            );
            let kept = kept.clone();
            thread::spawn(move || {
                pass(client, server, |bytes| {
                    let text = String::from_utf8_lossy(bytes).into_owned();
                    kept.lock().expect("no panic").push(text);
                });
            });
            thread::spawn(move || pass(back.0, back.1, |_| {}));
        }
    });
    (port, chunks)
}

fn pass(mut from: TcpStream, mut to: TcpStream, keep: impl Fn(&[u8])) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        keep(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn a_delete_and_the_next_reserve_go_out_in_one_write() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (port, chunks) = proxy(&queue);
    queue.put_all("t", (0..200).map(|number| number.to_string()));
    let host = Host::unconnected().flag(format!("--port={port}"));
    let daemon = host.plugin("echo").tube("t").start();
    daemon.wait_for_total("done", 200);
    let chunks = chunks.lock().expect("no panic").clone();
    let settling: Vec<&String> = chunks.iter().filter(|chunk| chunk.contains("delete ")).collect();
    assert_eq!(settling.len(), 200, "one write for each job");
    for chunk in settling {
        let rest = chunk.strip_prefix("delete ").expect("a delete first");
        let (_, rest) = rest.split_once("\r\n").expect("a whole line");
        assert_eq!(rest, "reserve-with-timeout 2\r\n");
    }
}

#[test]
fn a_release_and_a_bury_go_out_with_the_next_reserve_as_well() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (port, chunks) = proxy(&queue);
    queue.put_all("t", [r#"{"fail": true}"#, r#"{"bury": "no"}"#]);
    let host = Host::unconnected().flag(format!("--port={port}"));
    let daemon = host.plugin("echo").tube("t").start();
    daemon.wait_for_total("buried", 1);
    let chunks = chunks.lock().expect("no panic").clone();
    for verb in ["release ", "bury "] {
        let chunk = chunks
            .iter()
            .find(|chunk| chunk.starts_with(verb))
            .expect("it was sent");
        assert!(chunk.ends_with("\r\nreserve-with-timeout 2\r\n"), "{chunk:?}");
    }
}

#[test]
fn a_tube_is_chosen_in_the_write_of_the_put_and_only_when_it_changes() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (port, chunks) = proxy(&queue);
    let host = Host::unconnected().flag(format!("--port={port}"));
    let host = host.plugin("echo").tube("t").flag("--tube-naming=plain");
    let daemon = host.flag("--put-limit=3").start();
    let both = queue.put("t", r#"{"put": [1, 2]}"#);
    queue.wait_until_gone(both);
    let other = queue.put(
        "t",
        r#"{"put": [3], "put_with": {"tube": "u", "priority": 5, "ttr_ms": 7000}}"#,
    );
    queue.wait_until_gone(other);
    let again = queue.put("t", r#"{"put": [4]}"#);
    queue.wait_until_gone(again);
    drop(daemon);
    let chunks = chunks.lock().expect("no panic").clone();
    let asked = |chunk: &&String| {
        ["stats-job", "put ", "delete "]
            .iter()
            .any(|verb| chunk.contains(verb))
    };
    let asked: Vec<&str> = chunks.iter().filter(asked).map(String::as_str).collect();
    let settled = |job: u64| format!("delete {job}\r\nreserve-with-timeout 2\r\n");
    let of = |job: u64| {
        let at = asked
            .iter()
            .position(|chunk| *chunk == settled(job))
            .expect("it is settled");
        asked[..at]
            .iter()
            .rev()
            .take_while(|chunk| !chunk.starts_with("delete "))
            .copied()
            .collect::<Vec<_>>()
    };
    let stats = |job: u64| format!("stats-job {job}\r\n");
    assert_eq!(
        of(both),
        [
            "put 4242 0 60 1\r\n2\r\n",
            "use t\r\nput 4242 0 60 1\r\n1\r\n",
            &stats(both)
        ]
    );
    assert_eq!(
        of(other),
        ["use u\r\nput 5 0 7 1\r\n3\r\n"],
        "nothing has to be asked"
    );
    assert_eq!(of(again), ["use t\r\nput 4242 0 60 1\r\n4\r\n", &stats(again)]);
}

#[test]
fn a_connection_watches_its_tubes_and_ignores_default_in_one_write() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (port, chunks) = proxy(&queue);
    let host = Host::unconnected().flag(format!("--port={port}"));
    let daemon = host.plugin("echo").tube("t").flag("--tube-naming=plain").start();
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    drop(daemon);
    let chunks = chunks.lock().expect("no panic").clone();
    assert_eq!(
        chunks[..2],
        ["watch t\r\nignore default\r\n", "reserve-with-timeout 2\r\n"]
    );
}
