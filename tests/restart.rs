//! `restart`: the same pid and settings, the binary that is installed now.

use std::{fs, path::Path, process::Command};

use asynccall_client::protocol::JobState;
use serde_json::json;

use crate::support::{Beanstalkd, Daemon, Directory, Host, plugins::daemon_binary};

/// Restarts; answers with the new status.
#[track_caller]
fn restarted(daemon: &Daemon) -> serde_json::Value {
    let pid = daemon.pid();
    assert_eq!(
        daemon.run(&["restart"]).succeeded(),
        format!("restarted pid {pid}\n")
    );
    assert_eq!(daemon.pid(), pid, "it is the same process");
    daemon.status()
}

#[test]
fn a_restart_keeps_pid_and_settings_and_lets_running_jobs_end() {
    let Some(queue) = Beanstalkd::start() else { return };
    let elsewhere = Directory::new();
    let host = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .working_directory(elsewhere.root());
    let host = host
        .variable("ASYNCCALL_WORKER_NUM", "3")
        .variable("ASYNCCALL_SLOTS", "2");
    let mut daemon = host.start();
    let before = daemon.workers();
    let job = queue.put("t", r#"{"sleep_ms": 1000}"#);
    daemon.wait_until_running(job);

    // The caller's own directory and settings do not matter.
    let status = restarted(&daemon);

    assert!(queue.job(job).is_none(), "the job has ended");
    let status = match status["pools"][0]["workers"].as_array().map(Vec::len) {
        Some(3) => status,
        _ => daemon.wait_for_status("all workers are back", |status| {
            status["pools"][0]["workers"]
                .as_array()
                .is_some_and(|workers| workers.len() == 3)
        }),
    };
    let worker = &status["pools"][0]["workers"][0];
    assert_eq!(worker["slots"].as_array().map(Vec::len), Some(2));
    assert_eq!(status["pools"][0]["tubes"], json!(["t"]));
    assert!(daemon.workers().iter().all(|pid| !before.contains(pid)));
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    assert_eq!(daemon.stop(), Some(0));
}

/// Copies a program without ever having it open for writing in this process: a child that another test forks at that
/// moment would inherit it, and what somebody has open for writing cannot be executed.
#[track_caller]
fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

#[test]
fn a_restart_executes_the_binary_that_is_installed_now() {
    let Some(queue) = Beanstalkd::start() else { return };
    let place = Directory::new();
    let binary = place.path("asynccall-host");
    copy_program(daemon_binary(), &binary);
    let host = Host::new(&queue).plugin("echo").tube("t").binary(&binary);
    let (_, daemon) = host.start_in_background();
    let new = place.path("new");
    copy_program(daemon_binary(), &new);
    fs::rename(&new, &binary).expect("it is installed");
    restarted(&daemon);
    let executed = fs::read_link(format!("/proc/{}/exe", daemon.pid())).expect("it runs");
    assert_eq!(executed, binary, "and not a deleted file");
    for _ in 0..2 {
        restarted(&daemon);
    }
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    daemon.run(&["stop"]).succeeded();
}

#[test]
fn a_restart_that_could_not_start_is_refused_and_the_daemon_goes_on() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").config("tube = \"t\"\n").start();
    daemon.host().directory().write("host.toml", "tube = 7\n");
    insta::assert_snapshot!(daemon.run(&["restart"]), @r"
    exit 78
    error: DIR/host.toml:1: `tube`: found `7`, wanted a tube's name or a list of them, at least one
    ");
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn a_restart_gives_back_what_outlives_the_grace_time_and_runs_it_again() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--grace=1")
        .start();
    let job = queue.put("t", r#"{"sleep_ms": 600000}"#);
    daemon.wait_until_running(job);
    restarted(&daemon);
    daemon.wait_until_running(job);
    let job = queue.job(job).expect("it is not deleted");
    assert_eq!(
        (job.state, job.reserves, job.releases),
        (JobState::Reserved, 2, 1)
    );
}
