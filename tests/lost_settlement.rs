//! A done job whose delete is lost with its connection is deleted once, if it still is that job.

use crate::support::{
    Beanstalkd, Host,
    proxy::{Proxy, Spoil},
};

fn host(proxy: &Proxy) -> Host {
    proxy.host().plugin("echo").tube("t")
}

#[test]
fn a_delete_that_did_not_arrive_is_made_up_for_on_the_next_connection() {
    let Some(queue) = Beanstalkd::start() else { return };
    let proxy = Proxy::spoiling(&queue, "delete ", Spoil::CutBefore);
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
    let proxy = Proxy::spoiling(&queue, "delete ", Spoil::CutBehind);
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
    let proxy = Proxy::spoiling(&queue, "delete ", Spoil::CutBefore);
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
