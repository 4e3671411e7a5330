//! What one instance of the master leaves to the next, seen from outside: a script in the place of the binary stands
//! between the two.

use std::{fs, io::Write, process::Child};

use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};

use crate::{
    restart::ready,
    support::{
        Beanstalkd, Daemon, Host,
        daemon::workers,
        eventually,
        installed::{Installed, ask, begin},
        processes,
    },
};

#[track_caller]
fn succeeded(command: Child) -> String {
    let output = command.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A restart that has stopped between its two instances, until `go` is written to.
struct Between {
    installed: Installed,
    daemon: Daemon,
    restart: Child,
}

impl Between {
    #[track_caller]
    fn of(installed: Installed, daemon: Daemon) -> Between {
        let go = installed.beside("go");
        mkfifo(&go, Mode::S_IRWXU).expect("a pipe");
        // Nothing in it forks: a shell reaps children that it does not know.
        installed.replace_by_script(
            r#"if [ -n "$ASYNCCALL_HANDOVER" ]; then : > "$HERE/between"; read go < "$HERE/go"; fi
            exec "$REAL" "$@""#,
        );
        let restart = begin(&daemon, &["restart"]);
        let reached = installed.beside("between");
        eventually("one instance is gone", || reached.exists().then_some(()));
        Between {
            installed,
            daemon,
            restart,
        }
    }

    /// Lets the next instance begin, and waits for the command.
    #[track_caller]
    fn go_on(self) -> Daemon {
        let go = fs::File::options().write(true).open(self.installed.beside("go"));
        go.and_then(|mut go| go.write_all(b"go\n"))
            .expect("somebody reads");
        let pid = self.daemon.pid();
        assert_eq!(succeeded(self.restart), format!("restarted pid {pid}\n"));
        self.daemon
    }
}

#[test]
fn whatever_happens_between_two_instances_is_made_up_for_by_the_second() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let host = Host::new(&queue).plugin("loud").tube("t").workers(2);
    let daemon = host.binary(installed.path()).start();
    let between = Between::of(installed, daemon);
    let daemon = &between.daemon;
    // Workers work, a command waits, a worker writes and dies, and a signal comes.
    queue.wait_until_gone(queue.put("t", r#"{"out": "heard in the end"}"#));
    let status = begin(daemon, &["status"]);
    let worker = daemon.workers()[0];
    processes::signal(worker, Signal::SIGKILL);
    daemon.signal(Signal::SIGTSTP);
    let daemon = between.go_on();
    succeeded(status);
    daemon.wait_for_line(&["output=\"heard in the end\"", "gen=1"]);
    daemon.wait_for_line(&[&format!("pid={worker}"), "ended=SIGKILL"]);
    daemon.wait_for_line(&["paused", "pool=default"]);
    assert_eq!(ask(&daemon, &["resume"]).code, Some(0));
    queue.wait_until_gone(queue.put("t", "{}"));
}

#[test]
fn a_term_between_two_instances_stops_the_second() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let host = Host::new(&queue).plugin("echo").tube("t");
    let daemon = host.binary(installed.path()).start();
    let Between {
        installed,
        mut daemon,
        mut restart,
    } = Between::of(installed, daemon);
    daemon.signal(Signal::SIGTERM);
    fs::write(installed.beside("go"), "go\n").expect("somebody reads");
    assert_eq!(daemon.wait_for_end(), Some(0));
    assert_eq!(restart.wait().expect("it ends").code(), Some(1));
    assert!(!daemon.host().held().exists());
}

/// Gives the handover to the binary as one of another version of the messages.
const FOREIGN: &str = r#"number=${ASYNCCALL_PREFLIGHT:-$ASYNCCALL_HANDOVER}
    if [ -n "$number" ]; then
        sed 's/"ipc":[0-9]*/"ipc":9999/' /proc/self/fd/$number > "$HERE/changed"
        cat "$HERE/changed" > /proc/self/fd/$number
    fi
    exec "$REAL" "$@""#;

#[test]
fn workers_of_another_version_work_on_until_there_are_new_ones_and_then_leave() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let host = Host::new(&queue).plugin("echo").tube("t").workers(2);
    let mut daemon = host.binary(installed.path()).start();
    let old = daemon.workers();
    queue.put_all("t", ["1", "2", r#"{"count": 1.5}"#]);
    daemon.wait_for_total("done", 3);
    let recorded = daemon.status()["metrics"].clone();
    assert_eq!(recorded[0]["name"], "zoo_echo_counted");
    let job = queue.put("t", r#"{"sleep_ms": 4000}"#);
    daemon.wait_until_running(job);
    installed.replace_by_script(FOREIGN);
    let restart = begin(&daemon, &["restart"]);
    let line = eventually("it is another version", || {
        let status = daemon.status();
        assert!(ready(&status) > 0, "{status}");
        daemon.lines_with(&["the workers speak another version"]).pop()
    });
    assert!(line.contains("workers=2"), "{line}");
    succeeded(restart);
    let status = daemon.status();
    let new = workers(&status).filter(|worker| worker["generation"] == 2);
    assert_eq!(new.count(), 2);
    assert_eq!(status["totals"]["done"], 3, "what was done before counts");
    assert_eq!(status["metrics"], recorded, "what was recorded before counts");
    assert!(daemon.lines_with(&[&format!("job={job}"), "settled="]).is_empty());
    let settled = daemon.wait_for_settled(job);
    assert!(
        settled.contains("settled=delete") && settled.contains(" gen=1 "),
        "{settled}"
    );
    old.into_iter().for_each(processes::wait_until_gone);
    daemon.wait_for_status("they are out of the picture", |status| {
        workers(status).all(|worker| worker["generation"] == 2)
    });
    insta::assert_snapshot!(ask(&daemon, &["rollback"]).err, @"error: there is no generation to go back to: nothing was reloaded since the start");
    queue.wait_until_gone(queue.put("t", "1"));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn workers_of_another_version_work_on_where_the_new_generation_does_not_come_up() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let host = crate::restart::beside_a_breakable_one(&queue, "refuse", "--grace=10");
    let mut daemon = host.binary(installed.path()).start();
    daemon.host().directory().write("broken", "");
    installed.replace_by_script(FOREIGN);
    for _ in 0..2 {
        let said = ask(&daemon, &["restart"]);
        assert!(said.err.contains("there is no database"), "{said}");
        let settled = daemon.wait_for_settled(queue.put("t", "1"));
        assert!(settled.contains(" gen=1 "), "{settled}");
        // From now on it is the same version, and yet nobody speaks with those workers.
        installed.replace_by_script(r#"exec "$REAL" "$@""#);
    }
    fs::remove_file(daemon.host().path("broken")).expect("it is there");
    assert_eq!(ask(&daemon, &["reload", "--wait"]).code, Some(0));
    daemon.wait_for_status("they have left", |status| {
        workers(status).all(|worker| worker["generation"] == status["generation"])
    });
    queue.wait_until_gone(queue.put("t", "1"));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn where_the_log_cannot_be_opened_it_goes_on_where_it_was() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").config("tube = \"t\"\n");
    let daemon = host.start();
    let text = "tube = \"t\"\n[daemon]\nlog_path = \"/nowhere/at/all/log\"\n";
    daemon.host().directory().write("host.toml", text);
    daemon.run(&["restart"]).succeeded();
    daemon.wait_for_line(&["the log stays where it was", "/nowhere/at/all/log"]);
    let job = queue.put("t", "1");
    daemon.wait_for_settled(job);
}
