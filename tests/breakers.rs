//! A handler that fails again and again: its pool's tubes rest, other pools go on, and a job is tried until one works.

use std::{fs, path::PathBuf};

use asynccall_client::protocol::JobState;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    Beanstalkd, Daemon, Host,
    daemon::{slots, workers},
    eventually, processes,
};

/// A daemon with one pool of two workers whose breaker has these settings, and a file without which
/// [`while_broken`] is a wish for nothing.
fn with_breaker(queue: &Beanstalkd, breaker: &str, more: &str) -> (Daemon, PathBuf) {
    let config = format!(
        "[[pool]]\nname = 'mail'\ntubes = ['m']\nworker_num = 2\n{more}\n\
        [pool.backoff]\nfirst = 0\n[pool.breaker]\n{breaker}\n\
        [[pool]]\nname = 'other'\ntubes = ['o']\n"
    );
    let host = Host::new(queue).plugin("echo").config(&config);
    let switch = host.directory().write("broken", "");
    (host.start(), switch)
}

/// A payload that asks for something while that file exists.
fn while_broken(switch: &std::path::Path, wish: &str, value: impl Into<Value>) -> String {
    json!({"only_while": switch, wish: value.into()}).to_string()
}

fn breaker(status: &Value) -> &Value {
    &status["pools"][0]["breaker"]
}

#[track_caller]
fn wait_for_breaker(daemon: &Daemon, state: &str) -> Value {
    let status = daemon.wait_for_status(&format!("the breaker is {state}"), |status| {
        breaker(status)["state"] == state
    });
    breaker(&status).clone()
}

/// The slots of the pool, all of which are told not to reserve.
#[track_caller]
fn wait_until_paused(daemon: &Daemon) {
    daemon.wait_for_status("the pool's slots are paused", |status| {
        let pool = json!({"pools": [status["pools"][0]]});
        slots(&pool).count() == 2 && slots(&pool).all(|slot| slot["state"] == "paused")
    });
}

#[test]
fn a_handler_that_fails_every_job_rests_is_tried_one_job_at_a_time_and_recovers() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_breaker(&queue, "failures = 5\nrest = 1", "");
    assert_eq!(wait_for_breaker(&daemon, "closed")["failures"], 0);
    let body = while_broken(&switch, "fail", "there is no database");
    let jobs = queue.put_all("m", std::iter::repeat_n(&body, 200));

    let open = daemon.wait_for_line(&["breaker open", "pool=mail"]);
    assert!(open.contains("rest=1s"), "{open}");
    assert!(open.contains("there is no database"), "{open}");
    let seen = wait_for_breaker(&daemon, "resting");
    assert!(
        seen["failures"].as_u64() >= Some(5) && seen["rests"].as_u64() >= Some(1),
        "{seen}"
    );
    assert_eq!(seen["error"], "there is no database");
    let text = daemon.run(&["status"]).succeeded();
    let line = text.lines().find(|line| line.contains("breaker "));
    let line = line.unwrap_or_else(|| panic!("no breaker:\n{text}"));
    assert!(
        line.contains(" failures in a row") && line.ends_with(": there is no database"),
        "{line}"
    );

    let other = queue.put("o", "1");
    queue.wait_until_gone(other);
    assert!(breaker(&daemon.status())["state"] != "closed");

    daemon.wait_for_line(&["breaker still open", "rest=4s"]);
    let log = daemon.log();
    let mut probes = log.split("one job is tried").skip(1);
    for probe in probes.by_ref().take(2) {
        let runs = probe
            .lines()
            .filter(|line| line.contains("tube=m") && line.contains("bytes="));
        assert_eq!(runs.count(), 1, "{probe}");
    }
    fs::remove_file(&switch).expect("the file is removed");
    daemon.wait_for_line(&["breaker closed", "pool=mail"]);
    jobs.into_iter().for_each(|job| queue.wait_until_gone(job));
    assert_eq!(wait_for_breaker(&daemon, "closed")["failures"], 0);
}

#[test]
fn workers_that_are_taken_down_open_the_breaker_as_well() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_breaker(&queue, "failures = 3\nrest = 1", "max_crashes = 1000");
    let body = while_broken(&switch, "abort", true);
    let jobs = queue.put_all("m", std::iter::repeat_n(&body, 20));
    let open = daemon.wait_for_line(&["breaker open", "pool=mail"]);
    assert!(
        open.contains("handler `echo` took its worker down: SIGABRT"),
        "{open}"
    );
    let again = daemon.wait_for_line(&["breaker still open"]);
    assert!(
        again.contains("handler `echo` took its worker down: SIGABRT"),
        "{again}"
    );
    fs::remove_file(&switch).expect("the file is removed");
    daemon.wait_for_line(&["breaker closed"]);
    jobs.into_iter().for_each(|job| queue.wait_until_gone(job));
}

#[test]
fn a_handler_that_runs_too_long_each_time_opens_the_breaker() {
    let Some(queue) = Beanstalkd::start() else { return };
    let more = "max_runtime = 1\ncancel_grace = 0";
    let (daemon, switch) = with_breaker(&queue, "failures = 2\nrest = 3600", more);
    let body = while_broken(&switch, "sleep_ms", 600_000);
    queue.put_all("m", [&body, &body]);
    let open = daemon.wait_for_line(&["breaker open", "pool=mail"]);
    assert!(open.contains("max_runtime is over"), "{open}");
}

#[test]
fn a_handler_that_fails_most_jobs_but_not_all_never_rests() {
    let Some(queue) = Beanstalkd::start() else { return };
    let more = "max_attempts = 1";
    let (daemon, switch) = with_breaker(&queue, "failures = 9\nrest = 3600", more);
    let fails = while_broken(&switch, "fail", true);
    // Two workers: what is between two good jobs may overtake one of them.
    let bodies = (0..300).map(|number| if number % 4 == 0 { "1" } else { &fails });
    queue.put_all("m", bodies);
    daemon.wait_for_total("done", 75);
    daemon.wait_for_total("buried", 225);
    assert_eq!(daemon.lines_with(&["breaker"]), [""; 0]);
    assert_eq!(breaker(&daemon.status())["state"], "closed");
}

#[test]
fn an_answer_of_the_handlers_own_is_no_failure() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_breaker(&queue, "failures = 2\nrest = 3600", "");
    queue.put_all("m", (0..20).map(|_| while_broken(&switch, "bury", "not mine")));
    queue.put_all("m", (0..20).map(|_| while_broken(&switch, "retry_in", 600)));
    daemon.wait_for_total("buried", 20);
    daemon.wait_for_total("released", 20);
    assert_eq!(daemon.lines_with(&["breaker"]), [""; 0]);
}

#[test]
fn zero_failures_switch_the_breaker_off() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_breaker(&queue, "failures = 0", "max_attempts = 1");
    queue.put_all("m", (0..200).map(|_| while_broken(&switch, "fail", true)));
    daemon.wait_for_total("buried", 200);
    assert_eq!(breaker(&daemon.status()), &Value::Null);
}

#[test]
fn a_resume_does_not_end_a_rest() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_breaker(&queue, "failures = 2\nrest = 3600", "max_attempts = 1");
    queue.put_all("m", (0..2).map(|_| while_broken(&switch, "fail", true)));
    wait_for_breaker(&daemon, "resting");
    daemon.run(&["pause", "--pool", "mail"]).succeeded();
    daemon.run(&["resume", "--pool", "mail"]).succeeded();
    wait_until_paused(&daemon);
    assert_eq!(breaker(&daemon.status())["state"], "resting");
}

#[test]
fn the_end_of_a_rest_does_not_end_a_pause() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_breaker(&queue, "failures = 2\nrest = 1", "max_attempts = 1");
    queue.put_all("m", (0..2).map(|_| while_broken(&switch, "fail", true)));
    daemon.wait_for_line(&["breaker open"]);
    daemon.run(&["pause", "--pool", "mail"]).succeeded();
    let job = queue.put("m", "1");
    wait_for_breaker(&daemon, "probing");
    wait_until_paused(&daemon);
    assert_eq!(queue.job(job).map(|job| job.state), Some(JobState::Ready));
    daemon.run(&["resume", "--pool", "mail"]).succeeded();
    queue.wait_until_gone(job);
    wait_for_breaker(&daemon, "closed");
}

#[test]
fn a_reload_gives_a_resting_handler_another_chance_at_once() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_breaker(&queue, "failures = 2\nrest = 3600", "max_attempts = 100000");
    let body = while_broken(&switch, "fail", true);
    let jobs = queue.put_all("m", std::iter::repeat_n(&body, 5));
    wait_for_breaker(&daemon, "resting");
    wait_until_paused(&daemon);
    fs::remove_file(&switch).expect("the file is removed");
    daemon.run(&["reload", "--wait"]).succeeded();
    jobs.into_iter().for_each(|job| queue.wait_until_gone(job));
    wait_for_breaker(&daemon, "closed");
}

#[test]
fn a_probe_waits_for_a_job_without_haste_and_outlives_the_worker_that_was_told_to() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, switch) = with_breaker(&queue, "failures = 2\nrest = 1", "max_attempts = 1");
    queue.put_all("m", (0..2).map(|_| while_broken(&switch, "fail", true)));
    wait_for_breaker(&daemon, "probing");
    // The worker with the one slot that reserves, which is not that one.
    let prober = |earlier: Option<u32>| {
        eventually("one slot waits for a job", || {
            let pool = json!({"pools": [daemon.status()["pools"][0]]});
            let mut waiting = workers(&pool).filter(|worker| worker["slots"][0]["state"] == "idle");
            let pid = u32::try_from(waiting.next()?["pid"].as_u64()?).ok();
            pid.filter(|pid| Some(*pid) != earlier && waiting.next().is_none())
        })
    };
    let first = prober(None);
    let spent = || {
        daemon
            .workers()
            .into_iter()
            .map(processes::cpu_ticks)
            .sum::<u64>()
    };
    let (before, reserves) = (spent(), queue.stat("cmd-reserve-with-timeout"));
    // Reserves of two pools, two seconds each.
    eventually("time passes", || {
        (queue.stat("cmd-reserve-with-timeout") >= reserves + 2).then_some(())
    });
    assert!(spent() - before < 20, "{} ticks", spent() - before);
    processes::signal(first, Signal::SIGKILL);
    prober(Some(first));
    let job = queue.put("m", "1");
    queue.wait_until_gone(job);
    wait_for_breaker(&daemon, "closed");
}
