//! Restarts that come to nothing: everything goes on as it was, and the command says why.

use std::{fs, process::Child};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    Beanstalkd, Daemon, Ended, Host,
    installed::{Installed, ask, begin},
    plugin, processes,
};

/// A daemon whose binary is that copy.
#[track_caller]
fn start(queue: &Beanstalkd, installed: &Installed) -> Daemon {
    let host = Host::new(queue).tube("t").binary(installed.path());
    let own = host.directory().copy(&plugin("echo"));
    host.load(&own).start()
}

/// Generation and workers.
fn picture(daemon: &Daemon) -> (Value, Vec<u32>) {
    let status = ask(daemon, &["status", "--json"]).succeeded();
    let status: Value = serde_json::from_str(&status).expect("the status is JSON");
    let mut workers = daemon.workers();
    workers.sort_unstable();
    (status["generation"].clone(), workers)
}

/// Asks for a restart that changes nothing, and answers with what the command said.
#[track_caller]
fn refused(queue: &Beanstalkd, daemon: &Daemon) -> Ended {
    let before = picture(daemon);
    let said = ask(daemon, &["restart"]);
    assert_ne!(said.code, Some(0), "{said}");
    assert_eq!(picture(daemon), before);
    queue.wait_until_gone(queue.put("t", "1"));
    said
}

fn failed(command: Child) -> String {
    let output = command.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn settings_that_are_wrong() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").config("tube = \"t\"\n").start();
    daemon.host().directory().write("host.toml", "tube = 7\n");
    insta::assert_snapshot!(refused(&queue, &daemon), @r"
    exit 78
    error: DIR/host.toml:1: `tube`: found `7`, wanted a tube's name or a list of them, at least one
    ");
}

#[test]
fn a_plugin_that_is_missing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let daemon = start(&queue, &installed);
    let own = daemon.host().path(
        plugin("echo")
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name"),
    );
    fs::remove_file(own).expect("it is there");
    let said = refused(&queue, &daemon);
    assert_eq!(said.code, Some(66), "{said}");
    assert!(said.err.contains("libecho.so"), "{said}");
    daemon.wait_for_line(&["restart refused, everything goes on as it was", "libecho.so"]);
}

#[test]
fn a_binary_that_is_missing_or_none_or_another_program() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let daemon = start(&queue, &installed);
    let path = installed.path();
    let without_path = |said: Ended| said.to_string().replace(&path.display().to_string(), "BINARY");

    installed.replace("this is no program");
    insta::assert_snapshot!(without_path(refused(&queue, &daemon)), @r"
    exit 66
    error: cannot execute `BINARY`: it is neither a program nor a script
    ");
    installed.replace_by_script("echo 'cannot find libmissing.so' >&2; exit 127");
    insta::assert_snapshot!(without_path(refused(&queue, &daemon)), @r"
    exit 1
    error: `BINARY` cannot take over: it ended with exit code 127 and said: cannot find libmissing.so
      hint: use `stop` and `start` to change to this binary
    ");
    installed.replace_by_script("exit 0");
    insta::assert_snapshot!(without_path(refused(&queue, &daemon)), @r"
    exit 1
    error: `BINARY` cannot take over: it ended with exit code 0 and said: nothing
      hint: use `stop` and `start` to change to this binary
    ");
    fs::remove_file(&path).expect("it is there");
    insta::assert_snapshot!(without_path(refused(&queue, &daemon)), @r"
    exit 66
    error: cannot execute `BINARY`: No such file or directory (os error 2)
    ");
}

#[test]
fn a_binary_that_cannot_read_the_handover() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let daemon = start(&queue, &installed);
    installed.replace_by_script(
        r#"if [ -n "$ASYNCCALL_PREFLIGHT" ]; then
            sed 's/"version":[0-9]*/"version":99/' /proc/self/fd/$ASYNCCALL_PREFLIGHT > "$HERE/changed"
            cat "$HERE/changed" > /proc/self/fd/$ASYNCCALL_PREFLIGHT
        fi
        exec "$REAL" "$@""#,
    );
    insta::assert_snapshot!(refused(&queue, &daemon), @r"
    exit 1
    error: cannot read the handover: the handover has version 99, wanted 3
      hint: use `stop` and `start` to change to this binary
    ");
}

#[test]
fn a_binary_that_cannot_be_executed_any_more_after_a_good_preflight() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let daemon = start(&queue, &installed);
    let job = queue.put("t", r#"{"sleep_ms": 1500}"#);
    daemon.wait_until_running(job);
    installed.replace_by_script(
        r#""$REAL" "$@"; code=$?
        [ -n "$ASYNCCALL_PREFLIGHT" ] && echo 'no program' > "$0"
        exit $code"#,
    );
    let before = picture(&daemon);
    let said = ask(&daemon, &["restart"]);
    assert_eq!(said.code, Some(70), "{said}");
    assert!(said.err.contains("Exec format error"), "{said}");
    daemon.wait_for_line(&[
        "restart called off, everything goes on as it was",
        "Exec format error",
    ]);
    assert_eq!(picture(&daemon), before);
    let settled = daemon.wait_for_settled(job);
    assert!(settled.contains("settled=delete"), "{settled}");
    // Descriptors, signals and the control socket are as they were.
    installed.replace_by_script(r#"exec "$REAL" "$@""#);
    assert_eq!(ask(&daemon, &["restart"]).code, Some(0));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_line(&["gen=3", "serving"]);
    let worker = *daemon.workers().last().expect("somebody works");
    let links = fs::read_dir(format!("/proc/{worker}/fd")).expect("it runs");
    let sockets = links
        .flatten()
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|path| path.starts_with("socket:")));
    assert!(sockets.count() < 12, "it has inherited nobody's link");
}

#[test]
fn a_stop_during_the_preflight_and_what_else_is_asked_for_meanwhile() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let mut daemon = start(&queue, &installed);
    installed.replace_by_script(
        r#"if [ -n "$ASYNCCALL_PREFLIGHT" ]; then echo $$ > "$HERE/pid"; exec sleep 1000; fi
        exec "$REAL" "$@""#,
    );
    let restart = begin(&daemon, &["restart"]);
    let child = crate::support::eventually("the preflight runs", || {
        let text = fs::read_to_string(installed.beside("pid")).ok()?;
        text.trim().parse::<u32>().ok()
    });
    // Meanwhile everything goes on.
    queue.wait_until_gone(queue.put("t", "1"));
    insta::assert_snapshot!(ask(&daemon, &["restart"]), @r"
    exit 1
    error: a restart is under way
    ");
    insta::assert_snapshot!(ask(&daemon, &["reload"]), @r"
    exit 1
    error: a restart is under way, which reads settings and plugins anew
    ");
    let mut workers = daemon.workers();
    workers.retain(|pid| *pid != child);
    let killed = workers[0];
    processes::signal(killed, Signal::SIGKILL);
    daemon.wait_for_line(&[&format!("pid={killed}"), "ended=SIGKILL"]);
    queue.wait_until_gone(queue.put("t", "1"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_for_end(), Some(0));
    assert_eq!(failed(restart), "error: the daemon is stopping\n");
    processes::wait_until_gone(child);
}

#[test]
fn a_restart_while_a_reload_is_under_way() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = crate::restart::beside_a_breakable_one(&queue, "hang", "--grace=1").start();
    daemon.host().directory().write("broken", "");
    daemon.run(&["reload"]).succeeded();
    insta::assert_snapshot!(daemon.run(&["restart"]), @r"
    exit 1
    error: a reload is under way
      hint: try again when it has ended
    ");
    queue.wait_until_gone(queue.put("t", "1"));
}
