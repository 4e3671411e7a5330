//! Jobs that report progress: their limit counts from the last report.

use crate::support::{Beanstalkd, Daemon, Host};

/// A daemon whose jobs may go without progress for a second, and may then take their time to give up.
#[track_caller]
fn with_a_limit(queue: &Beanstalkd, cancel_grace: u32) -> Daemon {
    Host::new(queue)
        .plugin("echo")
        .tube("t")
        .flag("--max-runtime=1")
        .flag(format!("--cancel-grace={cancel_grace}"))
        .start()
}

const ASKED: &str = "max_runtime is over: asking the handler to give up";

#[test]
fn neither_worker_nor_master_ends_a_job_that_reports_progress() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_a_limit(&queue, 0);
    // The master looks for overruns every 6 s, and ends those of more than 6 s: at its second look at the latest.
    let job = queue.put("t", r#"{"sleep_ms": 13000, "progress_every_ms": 50}"#);
    let line = daemon.wait_for_settled(job);
    assert!(line.contains("outcome=done settled=delete"), "{line}");
    assert_eq!(daemon.lines_with(&[ASKED]), [""; 0]);
    let totals = daemon.status()["totals"].clone();
    assert_eq!((&totals["failed"], &totals["crashed"]), (&0.into(), &0.into()));
}

#[test]
fn a_job_whose_progress_ends_is_asked_to_give_up() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_a_limit(&queue, 60);
    let body = r#"{"sleep_ms": 2500, "progress_every_ms": 50, "until_cancelled": true}"#;
    let job = queue.put("t", body);
    let line = daemon.wait_for_settled(job);
    // It got through its steps, and was asked after them.
    assert!(line.contains(r#"error="gave up when it was asked to""#), "{line}");
    daemon.wait_for_line(&[&format!("job={job}"), ASKED]);
}

#[test]
fn progress_that_comes_too_late_is_answered_with_no_and_changes_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_a_limit(&queue, 60);
    let job = queue.put("t", r#"{"sleep_ms": 600000, "progress_every_ms": 2000}"#);
    let line = daemon.wait_for_settled(job);
    assert!(line.contains("outcome=failed settled=release"), "{line}");
    assert!(line.contains(r#"error="gave up when it reported""#), "{line}");
    assert_eq!(daemon.lines_with(&[ASKED]).len(), 1);
}

#[test]
fn progress_costs_the_queue_server_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    queue.put("t", r#"{"sleep_ms": 20, "progress_every_ms": 1}"#);
    daemon.wait_for_total("done", 1);
    assert_eq!((queue.stat("cmd-touch"), queue.stat("cmd-stats-job")), (0, 0));
}
