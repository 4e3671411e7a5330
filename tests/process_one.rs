//! As process 1 of a container.

use std::{ffi::OsString, process::Command};

use nix::sys::signal::Signal;

use crate::support::{Beanstalkd, Host, eventually, have, processes};

/// `unshare` with what makes its child process 1 of a new pid namespace.
const UNSHARE: [&str; 4] = ["--pid", "--fork", "--mount-proc", "--kill-child"];

/// The pid, as seen from here, of the process that is 1 in the namespace.
fn first_process(unshare: u32) -> u32 {
    eventually("process 1 exists", || {
        processes::children(unshare).first().copied()
    })
}

#[test]
fn as_process_one_it_reaps_orphans_reloads_on_hup_and_stops_on_term() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut probe = UNSHARE.to_vec();
    probe.push("true");
    if !have("unshare", &probe, "it needs the right to make a pid namespace") {
        return;
    }
    let host = Host::new(&queue).plugin("loud").tube("t");
    let daemon = host.command(&["run"]);
    let mut command = Command::new("unshare");
    command
        .args(UNSHARE)
        .arg(daemon.get_program())
        .args(daemon.get_args())
        .env_clear();
    let environment: Vec<(OsString, OsString)> = daemon
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    let mut daemon = host.spawn_as({
        command.envs(environment);
        command
    });
    daemon.wait_until_serving();
    assert_eq!(daemon.status()["pid"], 1);

    // The shell ends at once and leaves its child to process 1.
    let one = first_process(daemon.pid());
    let job = queue.put("t", r#"{"run": "sleep 0.3 & exec true"}"#);
    queue.wait_until_gone(job);
    eventually("the orphan is reaped", || {
        // The worker is all that is left, and no zombie beside it.
        (processes::children(one).len() == 1).then_some(())
    });
    let next = queue.put("t", "{}");
    queue.wait_until_gone(next);

    processes::signal(one, Signal::SIGHUP);
    daemon.wait_for_status("the second generation serves alone", |status| {
        status["generation"] == 2 && processes::children(one).len() == 1
    });
    let running = queue.put("t", r#"{"run": "sleep 0.5"}"#);
    daemon.wait_until_running(running);
    processes::signal(one, Signal::SIGTERM);
    assert_eq!(daemon.wait_for_end(), Some(0));
    assert!(queue.job(running).is_none(), "it was let end");
    assert!(daemon.log().contains("stopped"), "{}", daemon.log());
}
