//! Handlers that check themselves before they are lent jobs: what fails there changes nothing.

use crate::{
    reload::refused,
    support::{Beanstalkd, Daemon, Host, daemon::workers},
};

/// The table of a file that has `echo` check itself in this way.
fn checking(how: &str) -> String {
    format!("[handler.echo]\nself_check = \"{how}\"\n")
}

/// How many workers of the second generation were started.
fn started_anew(daemon: &Daemon) -> usize {
    daemon.lines_with(&["gen=2", "starting"]).len()
}

/// Reloads three workers to this file; answers with the refusal, of which the one worker was told that tried it.
#[track_caller]
fn refused_for(queue: &Beanstalkd, config: &str) -> String {
    let host = Host::new(queue).plugin("echo").tube("t").workers(3);
    let daemon = host.config("").start();
    let before = daemon.workers();
    daemon.host().directory().write("host.toml", config);
    let said = refused(&daemon, queue);
    assert_eq!(daemon.workers(), before, "nobody was replaced");
    assert_eq!(started_anew(&daemon), 1, "the others were not tried");
    said
}

#[test]
fn a_reload_to_a_handler_that_fails_its_self_check_changes_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    insta::assert_snapshot!(refused_for(&queue, &checking("fail")), @r"
    exit 1
    error: handler `echo` failed its self-check: there is nobody to answer to
    ");
}

#[test]
fn a_reload_to_a_handler_that_panics_in_its_self_check_changes_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let said = refused_for(&queue, &checking("panic"));
    let error = "exit 1\nerror: handler `echo` of libecho.so panicked in its self-check: panicked at plugins/zoo/echo/src/lib.rs:";
    assert!(
        said.starts_with(error) && said.ends_with(": the self-check gave up\n"),
        "{said}"
    );
}

#[test]
fn a_self_check_that_hangs_is_ended_by_the_start_timeout() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = checking("hang") + "[daemon]\nstart_timeout = 2\n";
    insta::assert_snapshot!(refused_for(&queue, &config), @r"
    exit 1
    error: the worker was not ready within 2 s
      hint: what its handler does in `new` or `self_check` takes too long, or raise --start-timeout
    ");
}

#[test]
fn a_first_start_fails_with_the_words_of_the_self_check() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").log_level("off");
    insta::assert_snapshot!(host.config(&checking("fail")).run(&["run"]).failed(1), @"error: handler `echo` failed its self-check: there is nobody to answer to");
}

#[test]
fn every_worker_has_its_handler_check_itself_before_it_is_ready() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").workers(3);
    let daemon = host.config(&checking("log")).start();
    let checked = |generation: &str| {
        let lines = daemon.lines_with(&[generation, "checked"]).into_iter();
        let mut pids: Vec<_> = lines
            .filter_map(|line| Some(line.split(" pid=").nth(1)?.split(' ').next()?.to_owned()))
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids.len()
    };
    assert_eq!(checked("gen=1"), 3);
    daemon.run(&["reload", "--wait"]).succeeded();
    assert_eq!(checked("gen=2"), 3);
    let job = queue.put("t", r#"{"abort": true}"#);
    daemon.wait_for_total("crashed", 1);
    queue.delete(job);
    daemon.wait_for_status("another worker is ready", |status| {
        workers(status)
            .filter(|worker| worker["state"] == "ready")
            .count()
            == 3
    });
    assert_eq!(checked("gen=2"), 4);
}
