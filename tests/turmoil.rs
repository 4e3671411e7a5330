//! Everything at once: jobs flow while workers and masters come and go.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Beanstalkd, Host, daemon::workers, eventually, processes};

#[test]
fn each_job_runs_once_through_reloads_restarts_and_the_replacement_of_workers() {
    const JOBS: usize = 6000;
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .workers(2)
        .flag("--slots=2");
    let host = host.flag("--max-request=300").flag("--min-lifetime=0");
    let daemon = host.log_level("info,echo=debug").start();
    let deleted = || queue.stat("cmd-delete");
    // The handler takes a while, so that jobs flow while the turmoil lasts.
    let half = || queue.put_all("t", (0..JOBS / 2).map(|_| r#"{"sleep_ms": 2}"#));
    half();
    for _ in 0..2 {
        let enough = (deleted() + 100).min(JOBS as u64 / 2);
        eventually("jobs flow", || (deleted() >= enough).then_some(()));
        daemon.run(&["reload", "--wait"]).succeeded();
        daemon.run(&["restart"]).succeeded();
        let worker = daemon.workers().into_iter().next().expect("somebody works");
        processes::signal(worker, Signal::SIGTERM);
    }
    half();
    eventually("all jobs are done", || (deleted() >= JOBS as u64).then_some(()));
    assert_eq!(deleted(), JOBS as u64, "each was deleted once");
    assert_eq!(queue.tube_stat("t", "current-jobs-buried"), 0);
    let executions = daemon.executions();
    assert_eq!(executions.len(), JOBS);
    let twice: Vec<_> = executions.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "these ran more than once: {twice:?}");
    assert_eq!(daemon.total("crashed"), 0);
}

#[test]
fn every_job_is_done_although_workers_are_killed_all_the_time() {
    const JOBS: usize = 1000;
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .workers(2)
        .log_level("warn")
        .start();
    let jobs = queue.put_all("t", (0..JOBS).map(|_| r#"{"sleep_ms": 2}"#));
    let pids = |status: &Value| -> Vec<u64> {
        workers(status)
            .filter_map(|worker| worker["pid"].as_u64())
            .collect()
    };
    for _ in 0..5 {
        let status = daemon.wait_for_status("somebody works", |status| !pids(status).is_empty());
        let worker = pids(&status)[0].try_into().expect("a pid");
        processes::signal(worker, Signal::SIGKILL);
        processes::wait_until_gone(worker);
    }
    jobs.into_iter().for_each(|job| queue.wait_until_gone(job));
    let totals = daemon.status()["totals"].clone();
    let number = |name: &str| totals[name].as_u64().expect("a total");
    assert!(number("crashed") <= 5, "{totals}");
    // A worker that is killed between the server's answer and its own count has settled one job more.
    assert!(
        (JOBS as u64 - 5..=JOBS as u64).contains(&number("done")),
        "{totals}"
    );
}

#[test]
fn reloads_leave_no_descriptor_and_no_process_behind() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let settled = || {
        eventually("the old workers are gone", || {
            (daemon.workers().len() == 1).then_some(())
        });
        let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("it is ours");
        open.count()
    };
    daemon.run(&["reload", "--wait"]).succeeded();
    let before = settled();
    for _ in 0..5 {
        daemon.run(&["reload", "--wait"]).succeeded();
    }
    eventually("the descriptors of old generations are closed", || {
        (settled() <= before).then_some(())
    });
    for _ in 0..3 {
        daemon.run(&["restart"]).succeeded();
    }
    eventually("a restart inherits nothing twice", || {
        (settled() <= before).then_some(())
    });
}
