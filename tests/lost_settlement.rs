//! A done job whose delete is lost with its connection is deleted once, if it still is that job.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::support::{Beanstalkd, Host};

/// Where the first connection that sends a `delete` is cut.
#[derive(Clone, Copy)]
enum Cut {
    /// The queue server never sees it.
    BeforeTheDelete,
    /// The worker never sees the answer.
    BeforeTheAnswer,
}

/// A proxy to the queue server that cuts one connection, once.
fn cutting_proxy(queue: &Beanstalkd, cut: Cut) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let server = queue.port();
    let done = Arc::new(AtomicBool::new(false));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else {
                return;
            };
            let done = done.clone();
            thread::spawn(move || carry(client, upstream, cut, &done));
        }
    });
    port
}

fn carry(mut client: TcpStream, mut upstream: TcpStream, cut: Cut, done: &AtomicBool) {
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
    while let Ok(count @ 1..) = client.read(&mut chunk) {
        let is_delete = chunk[..count].starts_with(b"delete ");
        if is_delete && !done.swap(true, Ordering::SeqCst) {
            match cut {
                Cut::BeforeTheDelete => break,
                Cut::BeforeTheAnswer => silent.store(true, Ordering::SeqCst),
            }
        }
        if upstream.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    let _ = upstream.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
    let _ = answering.join();
}

fn host(queue: &Beanstalkd, cut: Cut) -> Host {
    let port = cutting_proxy(queue, cut);
    Host::unconnected()
        .flag(format!("--port={port}"))
        .plugin("echo")
        .tube("t")
}

#[test]
fn a_delete_that_did_not_arrive_is_made_up_for_on_the_next_connection() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, Cut::BeforeTheDelete).start();
    let job = queue.put("t", "1");
    let line = daemon.wait_for_settled(job);
    assert!(line.contains("outcome=done settled=delete"), "{line}");
    assert!(
        line.ends_with("the connection was lost before the answer: it was deleted now"),
        "{line}"
    );
    queue.wait_until_gone(job);
    assert_eq!(daemon.total("done"), 1);
    assert_eq!(
        daemon.lines_with(&[&format!("job={job} "), "bytes="]).len(),
        1,
        "it ran once"
    );
    queue.put("t", "2");
    daemon.wait_for_total("done", 2);
}

#[test]
fn a_delete_whose_answer_was_lost_counts_as_done() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, Cut::BeforeTheAnswer).start();
    let job = queue.put("t", "1");
    let line = daemon.wait_for_settled(job);
    assert!(
        line.ends_with("the connection was lost before the answer: it is gone"),
        "{line}"
    );
    assert_eq!(daemon.total("done"), 1);
    assert_eq!(queue.stat("cmd-delete"), 1);
}

#[test]
fn a_job_that_was_handed_out_again_meanwhile_is_left_to_whoever_has_it() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, Cut::BeforeTheDelete).workers(2).start();
    daemon.wait_for_status("both wait for a job", |status| {
        crate::support::daemon::slots(status)
            .filter(|slot| slot["state"] == "idle")
            .count()
            == 2
    });
    // Long enough for the second run to last until the first has looked.
    let job = queue.put("t", r#"{"sleep_ms": 1500}"#);
    let line = daemon.wait_for_line(&[&format!("job={job}"), "settled=unknown"]);
    assert!(
        line.contains("handed out again before it could be deleted"),
        "{line}"
    );
    daemon.wait_for_total("done", 1);
    queue.wait_until_gone(job);
    assert_eq!(
        daemon.lines_with(&[&format!("job={job} "), "bytes="]).len(),
        2,
        "it ran twice, and the log says why"
    );
}
