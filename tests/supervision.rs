//! The master under bad circumstances: no descriptors, floods of output, files that somebody removed, commands at the
//! wrong time.

use std::{fs, io::Write, os::unix::net::UnixStream, process::Command};

use nix::libc;

use crate::support::{
    Beanstalkd, Daemon, Directory, Host, daemon::workers, eventually, have, installed::begin, plugin,
    processes,
};

#[test]
fn a_start_that_cannot_spawn_ends_at_once_and_says_why() {
    let Some(queue) = Beanstalkd::start() else { return };
    if !have("prlimit", &["--version"], "Debian: util-linux") {
        return;
    }
    let limited = |descriptors: u64| {
        // Longer than any test may take.
        let host = Host::new(&queue).plugin("echo").tube("t").flag("--grace=600");
        let run = host.command(&["run"]);
        let mut command = Command::new("prlimit");
        command
            .arg(format!("--nofile={descriptors}"))
            .arg(run.get_program());
        command.args(run.get_args());
        let mut daemon = host.spawn_as(command);
        let outcome = eventually("it serves or ends", || {
            let log = daemon.log();
            ["serving", "error: "].into_iter().find(|word| log.contains(word))
        });
        // One that serves is ended with the test's own insistence when it is dropped.
        if outcome != "serving" {
            daemon.wait_for_end();
        }
        daemon.log()
    };
    let found = (8..40).rev().map(limited).find(|log| log.contains("error: "));
    let log = found.expect("some number is too small");
    assert!(log.contains("error: cannot start a worker: "), "{log}");
}

#[test]
fn a_reload_that_cannot_spawn_is_answered() {
    let Some(queue) = Beanstalkd::start() else { return };
    if !have("prlimit", &["--version"], "Debian: util-linux") {
        return;
    }
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let limit = |descriptors: usize| {
        let limited = Command::new("prlimit")
            .arg(format!("--pid={}", daemon.pid()))
            .arg(format!("--nofile={descriptors}:"))
            .status();
        assert!(limited.expect("prlimit runs").success());
    };
    let fds = format!("/proc/{}/fd", daemon.pid());
    let open = fs::read_dir(fds).expect("it runs").count();
    let mut refused = None;
    for more in (1..20).rev() {
        limit(open + more);
        let said = daemon.run(&["reload", "--wait"]);
        if said.code != Some(0) {
            refused = Some(said.to_string());
            break;
        }
        daemon.wait_for_status("the old worker is gone", |status| workers(status).count() == 1);
    }
    let refused = refused.expect("some number is too small");
    assert!(refused.contains("cannot start a worker: "), "{refused}");
    limit(1024);
    daemon.run(&["reload", "--wait"]).succeeded();
}

#[test]
fn a_flood_of_output_leaves_the_master_small_and_awake() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("loud").tube("t").start();
    let job = queue.put("t", r#"{"run": "yes | head -c 400M", "out": "before"}"#);
    daemon.wait_for_line(&["bytes of output left out"]);
    daemon.run(&["status"]).succeeded();
    queue.wait_until_gone(job);
    eventually("the file is small", || {
        let mut files = fs::read_dir(daemon.host().path("host.pid.state")).expect("a directory");
        let is_small = |entry: fs::DirEntry| entry.metadata().is_ok_and(|data| data.len() < 2 << 20);
        files.all(|entry| entry.is_ok_and(is_small)).then_some(())
    });
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    assert!(peak < Some(200_000), "{peak:?} kB");
}

#[test]
fn a_state_directory_that_was_removed_is_made_anew() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("loud").tube("t").start();
    let state = daemon.host().path("host.pid.state");
    fs::remove_dir_all(&state).expect("it is removed");
    daemon.run(&["reload", "--wait"]).succeeded();
    assert!(state.exists());
    daemon.wait_for_status("the old worker is gone", |status| workers(status).count() == 1);
    queue.put("t", r#"{"out": "heard again"}"#);
    daemon.wait_for_line(&["output=\"heard again\"", "gen=2"]);
}

#[test]
fn commands_during_a_stop_do_not_throw_running_jobs_out() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", r#"{"sleep_ms": 2000}"#);
    daemon.wait_until_running(job);
    let mut first = begin(&daemon, &["stop"]);
    daemon.wait_for_line(&["stopping: running jobs may finish"]);
    insta::assert_snapshot!(daemon.run(&["restart"]), @r"
    exit 1
    error: the daemon is stopping
    ");
    insta::assert_snapshot!(daemon.run(&["reload", "--wait"]), @r"
    exit 1
    error: the daemon is stopping
    ");
    daemon.run(&["stop"]).succeeded();
    assert!(first.wait().expect("it ends").success());
    assert_eq!(daemon.wait_for_end(), Some(0));
    assert!(queue.job(job).is_none(), "the job has ended");
    assert_eq!(daemon.lines_with(&["given back"]), [""; 0]);
}

#[test]
fn a_start_without_a_log_file_warns_that_nothing_is_logged() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t");
    insta::assert_snapshot!(host.run(&["start"]), @r"
    exit 0
    warning: a daemon in the background has no standard error, so nothing of it is logged; hint: name a file with `--log-path`
    ");
    let pid_file = host.held().display().to_string();
    host.run_bare(&["stop", "--pid-file", &pid_file]).succeeded();
}

#[test]
fn a_reload_warns_of_settings_that_wait_for_a_start() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").config("tube = \"t\"\n").start();
    let text = "tube = \"t\"\n[daemon]\nlog_format = \"json\"\ngrace = 7\n";
    daemon.host().directory().write("host.toml", text);
    daemon.run(&["reload", "--wait"]).succeeded();
    let warnings = daemon.lines_with(&["takes effect at the next start"]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("`daemon.log_format`"), "{warnings:?}");
}

#[test]
fn clients_that_went_away_while_they_waited_are_in_nobodys_way() {
    let Some(queue) = Beanstalkd::start() else { return };
    let own = Directory::new();
    let stillborn = own.copy(&plugin("stillborn"));
    let echo = own.copy(&plugin("echo"));
    let load = |path: &std::path::Path| format!("tube = \"t\"\n[plugins]\nload = [\"{}\"]\n", path.display());
    let daemon = Host::new(&queue).config(&load(&echo)).start();
    let hang = load(&stillborn) + "[handler.stillborn]\nhow = \"hang\"\n";
    daemon.host().directory().write("host.toml", hang);
    // More than are answered at one time.
    for _ in 0..70 {
        let socket = UnixStream::connect(daemon.host().path("host.pid.sock"));
        let mut waiting = socket.expect("it listens");
        let asked = waiting.write_all(b"{\"reload\":{\"wait\":true}}\n");
        asked.expect("it is heard");
        daemon.wait_for_line(&["gen=2", "starting"]);
    }
    daemon.run(&["status"]).succeeded();
}

#[test]
fn a_pid_file_may_have_a_long_name_in_a_deep_directory() {
    let Some(queue) = Beanstalkd::start() else { return };
    let deep = Directory::new();
    let pid_file = deep.write(format!("{}/{}.pid", "d".repeat(100), "n".repeat(200)), "");
    let host = Host::new(&queue).plugin("echo").tube("t").pid_file(&pid_file);
    let mut daemon = host.start();
    daemon.run(&["reload", "--wait"]).succeeded();
    daemon.run(&["stop"]).succeeded();
    assert_eq!(daemon.wait_for_end(), Some(0));
    let left = fs::read_dir(pid_file.parent().expect("a directory")).expect("it is there");
    let left: Vec<_> = left
        .map(|entry| entry.expect("it is there").file_name())
        .collect();
    assert_eq!(left.len(), 1, "nothing but the state directory: {left:?}");
}

#[test]
fn workers_push_nobody_aside_unless_the_operator_has_chosen_their_policy() {
    let Some(queue) = Beanstalkd::start() else { return };
    let policies = |daemon: &Daemon| {
        let workers = daemon.workers().into_iter();
        (
            processes::policy(daemon.pid()),
            workers.map(processes::policy).collect::<Vec<_>>(),
        )
    };
    let daemon = Host::new(&queue).plugin("echo").tube("t").workers(2).start();
    assert_eq!(policies(&daemon), (libc::SCHED_OTHER, vec![libc::SCHED_BATCH; 2]));
    let policies_by = |tool: &[&str], workers: u32| {
        let host = Host::new(&queue).plugin("echo").tube("t").workers(workers);
        let run = host.command(&["run"]);
        let mut command = Command::new(tool[0]);
        command.args(&tool[1..]).arg(run.get_program());
        command.args(run.get_args());
        let mut daemon = host.spawn_as(command);
        daemon.wait_until_serving();
        policies(&daemon)
    };
    if have("chrt", &["--version"], "Debian: util-linux") {
        let chosen = (libc::SCHED_IDLE, vec![libc::SCHED_IDLE]);
        assert_eq!(policies_by(&["chrt", "--idle", "0"], 1), chosen);
    }
    if have("taskset", &["--version"], "Debian: util-linux") {
        let pinned = |workers| policies_by(&["taskset", "--cpu-list", "0"], workers);
        let several = (libc::SCHED_OTHER, vec![libc::SCHED_BATCH; 2]);
        assert_eq!(pinned(2), several);
        let alone = (libc::SCHED_OTHER, vec![libc::SCHED_OTHER]);
        assert_eq!(pinned(1), alone, "nobody else waits for the one processor");
    }
}
