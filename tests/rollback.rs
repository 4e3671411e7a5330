//! Going back to the generation before the last reload, whatever lies on disk by now.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::{
    Beanstalkd, Daemon, Host, eventually, plugin,
    plugins::{library, other_echo},
    processes,
};

/// A daemon with a copy of `echo` of its own, at generation 2, which is the other build.
#[track_caller]
fn reloaded(queue: &Beanstalkd) -> Daemon {
    let host = Host::new(queue).tube("t");
    let own = host.directory().copy(&plugin("echo"));
    let daemon = host.load(&own).start();
    let new = daemon
        .host()
        .directory()
        .write("new", fs::read(other_echo()).expect("the other build"));
    fs::rename(new, daemon.host().path(&library("echo"))).expect("the file is put in place");
    daemon.run(&["reload", "--wait"]).succeeded();
    daemon
}

/// The tag of the build that executes a job now.
#[track_caller]
fn tag(queue: &Beanstalkd, daemon: &Daemon) -> String {
    let job = queue.put("t", "1");
    let line = daemon.wait_for_line(&[&format!("job={job} "), "tag="]);
    line.split("tag=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn a_rollback_brings_the_plugin_back_that_was_loaded_before() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = reloaded(&queue);
    assert_eq!(tag(&queue, &daemon), "other");
    assert_eq!(daemon.run(&["rollback"]).succeeded(), "generation 3 is ready\n");
    assert_eq!(
        tag(&queue, &daemon),
        "\"\"",
        "the first build, although the other one lies on disk"
    );
    // A worker of it that dies is reborn from the same copy.
    let worker = eventually("the others have gone", || match daemon.workers()[..] {
        [worker] => Some(worker),
        _ => None,
    });
    processes::signal(worker, Signal::SIGKILL);
    daemon.wait_for_line(&[&format!("pid={worker}"), "ended=SIGKILL"]);
    assert_eq!(tag(&queue, &daemon), "\"\"");
    assert_eq!(daemon.run(&["rollback"]).succeeded(), "generation 4 is ready\n");
    assert_eq!(tag(&queue, &daemon), "other", "and forth again");
}

#[test]
fn there_is_nothing_to_roll_back_to_before_the_first_reload() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let refused = daemon.run(&["rollback"]);
    assert_eq!(refused.code, Some(1));
    assert_eq!(
        refused.err,
        "error: there is no generation to go back to: nothing was reloaded since the start\n"
    );
    assert_eq!(daemon.status()["generation"], 1);
}
