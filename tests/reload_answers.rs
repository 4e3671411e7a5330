//! Who waits for a reload is told of that reload, whatever others ask for meanwhile.

use std::process::{Child, Stdio};

use nix::sys::signal::Signal;

use crate::support::{Beanstalkd, Daemon, Host, plugin, processes};

/// Settings with which the handler is made, or hangs until `start_timeout` is over.
fn settings(plugin_name: &str) -> String {
    format!(
        "[plugins]\nload = ['{}']\n[handler.{plugin_name}]\n{}\n[daemon]\nstart_timeout = 3\n",
        plugin(plugin_name).display(),
        if plugin_name == "stillborn" {
            "how = 'hang'"
        } else {
            ""
        },
    )
}

/// A daemon at generation 2, which can go back to generation 1.
#[track_caller]
fn reloaded(queue: &Beanstalkd) -> Daemon {
    let daemon = Host::new(queue).tube("t").config(&settings("echo")).start();
    daemon.run(&["reload", "--wait"]).succeeded();
    daemon
}

#[track_caller]
fn begin_reload(daemon: &Daemon) -> Child {
    let mut command = daemon.command(&["reload", "--wait"]);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

/// What a reload that was begun has told: its output and its error.
#[track_caller]
fn told(reload: Child) -> (String, String) {
    let output = reload.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(output.stdout), text(output.stderr))
}

#[test]
fn a_reload_that_waits_for_its_old_workers_is_not_told_that_a_later_one_was_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = reloaded(&queue);
    // It cannot say that it is quiet.
    let old = daemon.workers()[0];
    processes::signal(old, Signal::SIGSTOP);
    let first = begin_reload(&daemon);
    daemon.wait_for_line(&["gen=3", "serving"]);
    daemon.host().directory().write("host.toml", "tube = 7\n");
    assert_eq!(daemon.run(&["reload", "--wait"]).code, Some(78));
    processes::signal(old, Signal::SIGCONT);
    assert_eq!(told(first), ("generation 3 is ready\n".to_owned(), String::new()));
}

#[test]
fn a_reload_that_waits_for_its_turn_is_not_told_that_a_rollback_was_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = reloaded(&queue);
    let directory = daemon.host().directory();
    directory.write("host.toml", settings("stillborn"));
    let hanging = begin_reload(&daemon);
    daemon.wait_for_line(&["gen=3", "starting"]);
    directory.write("host.toml", settings("echo"));
    let waiting = begin_reload(&daemon);
    // More than one, as the first may overtake the reload.
    for _ in 0..5 {
        assert_eq!(daemon.run(&["rollback"]).code, Some(1));
    }
    assert!(told(hanging).1.contains("was not ready within 3 s"));
    assert_eq!(
        told(waiting),
        ("generation 4 is ready\n".to_owned(), String::new())
    );
}
