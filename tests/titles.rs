//! What `ps` shows of the daemon's processes.

use std::fs;

use crate::support::{Beanstalkd, Daemon, Host, eventually};

/// The title of a process, without what is left of the room for it.
fn title(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line).into_owned();
    Some(line.trim_end_matches('\0').to_owned())
}

#[track_caller]
fn wait_for_title(pid: u32, wanted: &str) {
    eventually(&format!("process {pid} is shown as `{wanted}`"), || {
        (title(pid)? == wanted).then_some(())
    });
}

fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).expect("the process exists");
    name.trim_end().to_owned()
}

#[track_caller]
fn only_worker(daemon: &Daemon) -> u32 {
    eventually("there is one worker", || match daemon.workers().as_slice() {
        [only] => Some(*only),
        _ => None,
    })
}

#[test]
fn titles_tell_role_pool_generation_and_state() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let (master, worker) = (daemon.pid(), only_worker(&daemon));
    wait_for_title(master, "asynccall-host: master host.pid gen 1");
    wait_for_title(worker, "asynccall-host: worker default/0 gen 1 ready");
    daemon.run(&["pause"]).succeeded();
    wait_for_title(worker, "asynccall-host: worker default/0 gen 1 paused");
    daemon.run(&["resume"]).succeeded();
    wait_for_title(worker, "asynccall-host: worker default/0 gen 1 ready");
    let job = queue.put("t", r#"{"until_cancelled": true}"#);
    daemon.wait_until_running(job);
    daemon.run(&["reload"]).succeeded();
    wait_for_title(worker, "asynccall-host: worker default/0 gen 1 quiet");
    wait_for_title(master, "asynccall-host: master host.pid gen 2");
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    wait_for_title(master, "asynccall-host: master host.pid gen 2 stopping");
}

#[test]
fn the_name_that_signals_are_sent_by_is_the_masters_alone() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    assert_eq!(name(daemon.pid()), "asynccall-host");
    assert_eq!(name(only_worker(&daemon)), "asynccall-work");
}

#[test]
fn a_restart_goes_by_the_arguments_and_not_by_the_title() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").workers(2).start();
    let master = daemon.pid();
    for _ in 0..2 {
        daemon.run(&["restart"]).succeeded();
        eventually("the new instance has its title", || {
            title(master)?
                .starts_with("asynccall-host: master host.pid gen ")
                .then_some(())
        });
    }
    daemon.wait_for_status("both workers are there", |status| {
        status["pools"][0]["workers"].as_array().map(Vec::len) == Some(2)
    });
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}
