//! Workers that die again and again: their seats are filled again, later each time, and everybody can see it.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Beanstalkd, Daemon, Host, daemon::workers, processes};

/// Two workers whose handler cannot be made while the file exists that is returned as well.
fn with_a_switch(queue: &Beanstalkd) -> (Daemon, std::path::PathBuf) {
    let host = Host::new(queue).plugin("stillborn").tube("t").workers(2);
    let switch = host.path("broken");
    let config = format!(
        "[handler.stillborn]\nhow = \"abort\"\nwhen = \"{}\"\n",
        switch.display()
    );
    (host.config(&config).start(), switch)
}

fn waiting(status: &Value) -> Option<&Value> {
    status["pools"][0]["waiting"].get(0)
}

#[test]
fn a_worker_that_dies_at_each_start_is_tried_again_later_each_time_and_comes_back() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_a_switch(&queue);
    assert_eq!(daemon.status()["pools"][0]["waiting"], serde_json::json!([]));
    fs::write(&switch, "").expect("the file is made");
    let status = daemon.status();
    let first = workers(&status).next().and_then(|worker| worker["pid"].as_u64());
    let first = first.and_then(|pid| u32::try_from(pid).ok());
    processes::signal(first.expect("a worker"), Signal::SIGKILL);

    let status = daemon.wait_for_status("it has died five times in a row", |status| {
        waiting(status).is_some_and(|waiting| waiting["failures"].as_u64() >= Some(5))
    });
    let seen = waiting(&status).expect("it waits");
    assert_eq!(seen["nr"], 0);
    assert!(
        seen["next_start_s"]
            .as_f64()
            .is_some_and(|seconds| seconds <= 30.0)
    );
    let error = seen["error"].as_str().unwrap_or_default();
    assert!(
        error.starts_with("the worker ended before it was ready: SIGABRT"),
        "{error}"
    );
    assert!(error.contains("last words before the abort"), "{error}");
    let text = daemon.run(&["status"]).succeeded();
    let line = text.lines().find(|line| line.contains(" waits "));
    let line = line.unwrap_or_else(|| panic!("nobody waits:\n{text}"));
    assert!(
        line.contains("  worker 0 waits ") && line.contains(" failures in a row: "),
        "{line}"
    );
    assert_eq!(
        workers(&status)
            .filter(|worker| worker["state"] == "ready")
            .count(),
        1,
        "the other one goes on"
    );

    // One line for each wait, and no start without one.
    let told = daemon.lines_with(&["waits before it is filled again", "worker=0"]);
    let starts = daemon.lines_with(&["starting", "worker=0", "gen=1"]);
    assert!(starts.len() <= told.len() + 1, "{starts:#?}\n{told:#?}");
    for (number, line) in (1..).zip(&told) {
        assert!(line.contains(&format!("failures={number} ")), "{told:#?}");
    }
    let delay = |line: &String| {
        let delay = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("delay="));
        delay.unwrap_or_default().to_owned()
    };
    assert!(delay(&told[0]).ends_with("ms"), "{}", told[0]);
    assert!(delay(&told[4]).starts_with("1."), "{}", told[4]);

    fs::remove_file(&switch).expect("the file is removed");
    daemon.wait_for_status("both are ready", |status| {
        waiting(status).is_none()
            && workers(status)
                .filter(|worker| worker["state"] == "ready")
                .count()
                == 2
    });
}

#[test]
fn a_reload_does_not_wait_for_the_seats_of_the_generation_before() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_a_switch(&queue);
    fs::write(&switch, "").expect("the file is made");
    for worker in daemon.workers() {
        processes::signal(worker, Signal::SIGKILL);
    }
    daemon.wait_for_line(&["waits before it is filled again", "failures=4"]);
    fs::remove_file(&switch).expect("the file is removed");
    daemon.run(&["reload", "--wait"]).succeeded();
    let status = daemon.status();
    assert_eq!(waiting(&status), None);
    assert_eq!(status["generation"], 2);
}
