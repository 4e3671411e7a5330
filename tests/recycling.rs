//! `max_request`: workers are replaced after a number of jobs, smoothly.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Beanstalkd, Host, daemon::workers};

#[test]
fn a_worker_that_reached_max_request_is_replaced_and_no_job_is_lost() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--max-request=100");
    let daemon = host.flag("--min-lifetime=0").log_level("info").start();
    queue.put_all("t", (0..1000).map(|number| number.to_string()));
    daemon.wait_for_total("done", 1000);
    assert_eq!(queue.stat("cmd-delete"), 1000, "each job was deleted once");
    assert_eq!(
        daemon.status()["totals"],
        json!({"done": 1000, "released": 0, "buried": 0, "failed": 0, "crashed": 0})
    );
    let replaced = daemon.lines_with(&["wants a successor"]);
    assert!(!replaced.is_empty(), "after 100 jobs");
    for line in replaced {
        assert!(
            line.contains("gen=1"),
            "a new worker is no new generation: {line}"
        );
    }
}

#[test]
fn a_successor_is_ready_before_its_predecessor_goes_quiet() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--max-request=5");
    let daemon = host.flag("--min-lifetime=0").log_level("info").start();
    for _ in 0..5 {
        let jobs = queue.put_all("t", (0..5).map(|number| number.to_string()));
        jobs.into_iter().for_each(|job| queue.wait_until_gone(job));
    }
    daemon.wait_for_line(&[" gone"]);
    // Of the one seat's workers: who is ready at each moment.
    let mut ready = BTreeSet::new();
    for line in daemon.log().lines() {
        let pid = line.split(" pid=").nth(1).and_then(|rest| rest.split(' ').next());
        let pid = pid.unwrap_or_default().to_owned();
        if line.ends_with(" ready") {
            ready.insert(pid);
        } else if line.ends_with(" quiet") || line.ends_with(" gone") {
            ready.remove(&pid);
            assert!(!ready.is_empty(), "nobody is ready after: {line}");
        }
        assert!(!line.contains("died"), "{line}");
    }
    assert_eq!(daemon.total("done"), 25);
}

#[test]
fn a_worker_is_not_replaced_before_it_has_lived_its_minimum() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--max-request=1");
    let daemon = host.start();
    queue.put_all("t", (0..300).map(|number| number.to_string()));
    daemon.wait_for_total("done", 300);
    let status = daemon.status();
    assert_eq!(
        workers(&status).map(|worker| &worker["jobs"]).collect::<Vec<_>>(),
        [300]
    );
    assert_eq!(daemon.lines_with(&["wants a successor"]), [""; 0]);
}

#[test]
fn a_minimum_that_ends_while_the_worker_is_idle_is_noticed() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--max-request=1");
    let daemon = host.flag("--min-lifetime=1").start();
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    daemon.wait_for_line(&["wants a successor"]);
    daemon.wait_for_line(&["jobs=1", " gone"]);
}

#[test]
fn max_request_of_zero_replaces_nobody() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--max-request=0");
    let daemon = host.flag("--min-lifetime=0").start();
    queue.put_all("t", (0..1500).map(|number| number.to_string()));
    daemon.wait_for_total("done", 1500);
    assert_eq!(daemon.lines_with(&["starting"]).len(), 1);
}
