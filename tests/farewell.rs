//! The goodbye of handlers whose worker leaves in order: once, behind the last job, and never for longer than the grace
//! time.

use nix::sys::signal::Signal;

use crate::support::{Beanstalkd, Daemon, Host, eventually};

fn host(queue: &Beanstalkd, more: &str) -> Host {
    let config = format!("[handler.echo]\ngoodbye = true\n{more}\n");
    Host::new(queue).plugin("echo").tube("t").config(&config)
}

/// The lines in which a handler said goodbye.
fn goodbyes(daemon: &Daemon) -> Vec<String> {
    daemon.lines_with(&["handler=echo", "goodbye"])
}

#[test]
fn a_worker_that_stops_says_goodbye_once_behind_its_last_job() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = host(&queue, "").flag("--slots=2").workers(2).start();
    let jobs = queue.put_all("t", [r#"{"sleep_ms": 400}"#, r#"{"sleep_ms": 600}"#]);
    jobs.iter().for_each(|job| daemon.wait_until_running(*job));
    assert_eq!(goodbyes(&daemon).len(), 0);
    assert_eq!(daemon.stop(), Some(0));
    let said = goodbyes(&daemon);
    assert_eq!(said.len(), 2, "one for each worker: {said:#?}");
    for goodbye in &said {
        let pid = goodbye
            .split(" pid=")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let pid = format!(" pid={} ", pid.expect("a worker's line"));
        let log = daemon.log();
        let (_, behind) = log.split_once(goodbye.as_str()).expect("it is in the log");
        let later = behind
            .lines()
            .filter(|line| line.contains(&pid) && line.contains(" job="));
        assert_eq!(later.count(), 0, "a job ended behind it:\n{log}");
    }
}

#[test]
fn the_workers_that_a_reload_replaces_say_goodbye_and_the_new_ones_do_not() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, "").workers(2).start();
    daemon.run(&["reload", "--wait"]).succeeded();
    eventually("both have", || (goodbyes(&daemon).len() == 2).then_some(()));
    daemon.wait_for_status("the new ones serve", |status| status["generation"] == 2);
    assert_eq!(daemon.lines_with(&["gen=1", "goodbye"]).len(), 2);
    assert_eq!(daemon.lines_with(&["gen=2", "goodbye"]).len(), 0);
}

#[test]
fn a_worker_that_has_done_enough_says_goodbye() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = host(&queue, "").flag("--max-request=5").flag("--min-lifetime=0");
    let daemon = host.start();
    queue.put_all("t", (0..8).map(|number| number.to_string()));
    let gone = daemon.wait_for_line(&[" gone"]);
    let pid = gone.split(" pid=").nth(1).and_then(|rest| rest.split(' ').next());
    let pid = format!("pid={}", pid.expect("a worker's line"));
    assert_eq!(daemon.lines_with(&[&pid, "goodbye"]).len(), 1);
}

#[test]
fn a_goodbye_that_hangs_does_not_keep_the_daemon_from_stopping() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = host(&queue, "goodbye_hangs = true").flag("--grace=1").start();
    assert_eq!(daemon.stop(), Some(0));
    let line = daemon.wait_for_line(&["it does not return: the worker leaves without it"]);
    for part in [" WARN ", " handler=echo ", " what=shutdown"] {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
    assert!(daemon.lines_with(&["died"]).is_empty(), "{}", daemon.log());
}

#[test]
fn a_goodbye_that_hangs_does_not_keep_a_replaced_worker_for_ever() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, "goodbye_hangs = true").flag("--grace=1").start();
    let before = daemon.workers();
    daemon.run(&["reload", "--wait"]).succeeded();
    eventually("the old worker leaves", || {
        let gone = before.iter().all(|pid| !daemon.workers().contains(pid));
        gone.then_some(())
    });
    daemon.wait_for_line(&["gen=1", "it does not return"]);
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn a_worker_that_leaves_at_once_says_no_goodbye() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = host(&queue, "").start();
    let job = queue.put("t", r#"{"sleep_ms": 60000}"#);
    daemon.wait_until_running(job);
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_line(&["running jobs may finish"]);
    assert_eq!(daemon.stop(), Some(0));
    assert!(queue.job(job).is_some(), "it was given back");
    assert_eq!(goodbyes(&daemon), Vec::<String>::new());
}

#[test]
fn a_worker_whose_master_is_gone_says_goodbye() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = host(&queue, "").start();
    daemon.signal(Signal::SIGKILL);
    daemon.wait_for_end();
    daemon.wait_for_line(&["the master is gone"]);
    daemon.wait_for_line(&["goodbye"]);
}
