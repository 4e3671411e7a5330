//! A done job whose delete is lost with its connection is deleted once, if it still is that job.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{
    Beanstalkd, Host, Proxy,
    proxy::{Fate, Way},
};

/// Where the first connection that sends a `delete` is cut.
#[derive(Clone, Copy)]
enum Cut {
    /// The queue server never sees it.
    BeforeTheDelete,
    /// The worker never sees the answer.
    BeforeTheAnswer,
}

/// A proxy to the queue server that cuts one connection, once.
fn cutting_proxy(queue: &Beanstalkd, cut: Cut) -> Proxy {
    let done = Arc::new(AtomicBool::new(false));
    Proxy::start(queue, move |_| {
        let done = done.clone();
        let mut is_muted = false;
        Box::new(move |way, bytes| {
            let is_delete = way == Way::ToServer && bytes.starts_with(b"delete ");
            if is_delete && !done.swap(true, Ordering::SeqCst) {
                match cut {
                    Cut::BeforeTheDelete => return Fate::Cut(0),
                    Cut::BeforeTheAnswer => is_muted = true,
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

fn host(proxy: &Proxy) -> Host {
    Host::unconnected()
        .flag(format!("--port={}", proxy.port()))
        .plugin("echo")
        .tube("t")
}

#[test]
fn a_delete_that_did_not_arrive_is_made_up_for_on_the_next_connection() {
    let Some(queue) = Beanstalkd::start() else { return };
    let proxy = cutting_proxy(&queue, Cut::BeforeTheDelete);
    let daemon = host(&proxy).start();
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
    let proxy = cutting_proxy(&queue, Cut::BeforeTheAnswer);
    let daemon = host(&proxy).start();
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
    let proxy = cutting_proxy(&queue, Cut::BeforeTheDelete);
    let daemon = host(&proxy).workers(2).start();
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
