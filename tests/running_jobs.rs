//! Jobs that run for long: they keep their reservation, up to a limit.

use std::fs;

use asynccall_client::protocol::JobState;
use nix::sys::signal::Signal;

use crate::support::{
    Beanstalkd, Host, processes,
    proxy::{Proxy, Spoil},
};

/// A host whose jobs are given back as soon as they have run for so many seconds.
fn strict(queue: &Beanstalkd, max_runtime: u32) -> Host {
    Host::new(queue)
        .plugin("echo")
        .tube("t")
        .flag(format!("--max-runtime={max_runtime}"))
        .flag("--cancel-grace=0")
}

#[test]
fn a_job_that_takes_longer_than_its_time_to_run_is_touched_and_runs_once() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").workers(2).start();
    let job = queue.put_with_ttr("t", 1, r#"{"sleep_ms": 3500}"#);
    daemon.wait_for_total("done", 1);
    assert_eq!(
        queue.stat("job-timeouts"),
        0,
        "the queue server never took it back"
    );
    assert!(
        queue.stat("cmd-touch") >= 3,
        "{} touches",
        queue.stat("cmd-touch")
    );
    assert_eq!(
        queue.stat("cmd-stats-job"),
        1,
        "its time to run was asked for once"
    );
    let runs = daemon.lines_with(&[&format!("job={job}"), "bytes="]);
    assert_eq!(runs.len(), 1, "{runs:?}");
}

#[test]
fn jobs_with_a_long_time_to_run_are_not_touched_all_the_time() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    queue.put("t", r#"{"sleep_ms": 1500}"#);
    daemon.wait_for_total("done", 1);
    assert_eq!(queue.stat("cmd-touch"), 0);
}

#[test]
fn a_connection_that_stalls_keeps_no_touch_from_the_jobs_of_other_slots() {
    let Some(queue) = Beanstalkd::start() else { return };
    let proxy = Proxy::spoiling(&queue, "stats-job ", Spoil::Stall);
    let daemon = proxy.host().plugin("echo").tube("t").flag("--slots=2").start();
    let stalled = queue.put("t", r#"{"sleep_ms": 6000}"#);
    daemon.wait_until_running(stalled);
    proxy.wait_until_spoiled();
    let touched = queue.put_with_ttr("t", 1, r#"{"sleep_ms": 3500}"#);
    queue.wait_until_gone(touched);
    assert_eq!(queue.stat("job-timeouts"), 0, "it was touched in time");
}

#[test]
fn a_job_past_max_runtime_may_give_up_by_itself() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--max-runtime=1")
        .flag("--cancel-grace=60")
        .start();
    let job = queue.put("t", r#"{"until_cancelled": true}"#);
    let line = daemon.wait_for_settled(job);
    assert!(line.contains("outcome=failed settled=release"), "{line}");
    assert!(line.contains(r#"error="gave up when it was asked to""#), "{line}");
    daemon.wait_for_line(&[
        &format!("job={job}"),
        "max_runtime is over: asking the handler to give up",
    ]);
    assert!(daemon.lines_with(&["outcome=timed_out"]).is_empty());
}

#[test]
fn a_job_past_max_runtime_that_does_not_give_up_is_released_and_its_worker_replaced() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = strict(&queue, 1).start();
    let stuck = daemon.workers();
    let job = queue.put("t", r#"{"sleep_ms": 600000}"#);
    let line = daemon.wait_for_settled(job);
    assert!(
        line.contains("outcome=timed_out settled=release delay="),
        "{line}"
    );
    assert_eq!(queue.wait_for(job, JobState::Delayed).releases, 1);
    daemon.wait_for_status("another worker is ready", |status| {
        let worker = &status["pools"][0]["workers"][0];
        worker["state"] == "ready" && worker["pid"] != stuck[0]
    });
    processes::wait_until_gone(stuck[0]);
    let totals = &daemon.status()["totals"];
    assert_eq!(
        (&totals["failed"], &totals["released"], &totals["crashed"]),
        (&1.into(), &1.into(), &0.into())
    );
    queue.put("t", "1");
    daemon.wait_for_total("done", 1);
}

#[test]
fn max_runtime_holds_without_a_master_too() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = strict(&queue, 2).start();
    let worker = daemon.workers()[0];
    let job = queue.put("t", r#"{"sleep_ms": 600000}"#);
    daemon.wait_until_running(job);
    daemon.signal(Signal::SIGKILL);
    daemon.wait_for_end();
    processes::wait_until_gone(worker);
    assert_eq!(
        queue.wait_for(job, JobState::Delayed).releases,
        1,
        "released, not lost with its connection"
    );
    assert!(fs::metadata(daemon.host().log_file()).is_ok());
}

#[test]
fn a_job_that_was_deleted_before_it_ran_does_not_keep_its_worker_alive_for_ever() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = strict(&queue, 2).flag("--slots=2").start();
    let worker = daemon.workers()[0];
    let stuck = queue.put("t", r#"{"sleep_ms": 600000, "noRetry": true}"#);
    daemon.wait_until_running(stuck);
    let beside = queue.put("t", r#"{"sleep_ms": 1000}"#);
    daemon.wait_until_running(beside);
    daemon.signal(Signal::SIGKILL);
    daemon.wait_for_end();
    processes::wait_until_gone(worker);
    let line = daemon.wait_for_settled(stuck);
    let timed_out = "outcome=timed_out settled=deleted_before_running";
    assert!(line.contains(timed_out), "{line}");
    queue.wait_until_gone(beside);
    assert_eq!(queue.stat("cmd-release"), 0, "the job beside it ended");
}

#[test]
fn a_worker_is_replaced_whose_job_was_deleted_before_it_ran_and_does_not_end() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = strict(&queue, 1).start();
    let job = queue.put("t", r#"{"sleep_ms": 600000, "noRetry": true}"#);
    daemon.wait_for_line(&[&format!("job={job}"), "outcome=timed_out"]);
    queue.put("t", "1");
    daemon.wait_for_total("done", 2);
    let totals = &daemon.status()["totals"];
    assert_eq!((&totals["failed"], &totals["crashed"]), (&1.into(), &0.into()));
    assert!(daemon.lines_with(&["killing"]).is_empty());
}

#[test]
fn a_worker_that_does_not_end_its_overrun_is_killed_by_the_master() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = strict(&queue, 1).start();
    let stopped = daemon.workers()[0];
    let job = queue.put("t", r#"{"sleep_ms": 600000}"#);
    daemon.wait_until_running(job);
    processes::signal(stopped, Signal::SIGSTOP);
    daemon.wait_for_line(&[&format!("job={job} "), "the worker does not see to it: killing"]);
    processes::wait_until_gone(stopped);
    let line = daemon.wait_for_line(&[&format!("job={job} "), "death certificate"]);
    assert!(line.contains("ended=SIGKILL deaths=1"), "{line}");
    queue.put("t", "1");
    daemon.wait_for_total("done", 1);
}
