//! `restart`: the same pid, the binary, settings and plugins of now, and workers that never stop working.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    Beanstalkd, Daemon, Directory, Host,
    daemon::workers,
    eventually,
    installed::{Installed, copy_program},
    plugin,
    plugins::{daemon_binary, library, other_echo},
    processes,
};

/// Restarts; answers with the new status.
#[track_caller]
pub(crate) fn restarted(daemon: &Daemon) -> Value {
    let pid = daemon.pid();
    assert_eq!(
        daemon.run(&["restart"]).succeeded(),
        format!("restarted pid {pid}\n")
    );
    assert_eq!(daemon.pid(), pid, "it is the same process");
    daemon.status()
}

/// How many workers are ready.
pub(crate) fn ready(status: &Value) -> usize {
    workers(status)
        .filter(|worker| worker["state"] == "ready")
        .count()
}

#[test]
fn a_restart_keeps_pid_settings_and_counts_and_interrupts_no_job() {
    let Some(queue) = Beanstalkd::start() else { return };
    let elsewhere = Directory::new();
    let host = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .working_directory(elsewhere.root());
    let host = host
        .variable("ASYNCCALL_WORKER_NUM", "3")
        .variable("ASYNCCALL_SLOTS", "2");
    let mut daemon = host.start();
    let before = daemon.workers();
    queue.put_all("t", ["1", "2"]);
    daemon.wait_for_total("done", 2);
    let job = queue.put("t", r#"{"sleep_ms": 5000}"#);
    let line = daemon.wait_for_line(&[&format!("job={job}"), "bytes="]);
    let worker = line.split_whitespace().find(|word| word.starts_with("pid="));

    // The caller's own directory and settings do not matter.
    let status = restarted(&daemon);

    assert!(daemon.running().contains(&job), "the job runs on");
    assert_eq!(
        (&status["generation"], &status["totals"]["done"]),
        (&json!(2), &json!(2))
    );
    let new = workers(&status).filter(|worker| worker["generation"] == 2);
    let slots: Vec<_> = new
        .map(|worker| worker["slots"].as_array().map(Vec::len))
        .collect();
    assert_eq!(slots, [Some(2); 3], "all seats have been taken over");
    assert_eq!(status["pools"][0]["tubes"], json!(["t"]));
    let settled = daemon.wait_for_settled(job);
    assert!(settled.contains("settled=delete"), "{settled}");
    assert!(
        settled.contains(&format!("{} ", worker.expect("a pid"))),
        "by the worker that had it: {settled}"
    );
    before.into_iter().for_each(processes::wait_until_gone);
    daemon.wait_for_total("done", 3);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn none_of_ten_thousand_jobs_is_lost_or_runs_twice_in_restarts_and_somebody_is_always_ready() {
    const JOBS: usize = 10_000;
    const RESTARTS: usize = 4;
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").workers(2);
    let daemon = host.log_level("info,echo=debug").start();
    let over = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let (queue, daemon, over) = (&queue, &daemon, &over);
        scope.spawn(move || queue.put_all("t", (0..JOBS - 500).map(|number| number.to_string())));
        let looks = scope.spawn(move || {
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                // A command that comes between two instances waits for the second.
                let status = daemon.status();
                assert!(ready(&status) > 0, "{status}");
                looks += 1;
            }
            looks
        });
        for number in 0..RESTARTS {
            daemon.wait_for_total("done", (number * 1000) as u64);
            restarted(daemon);
        }
        // Whatever happens, some jobs come after the last restart.
        queue.put_all("t", (0..500).map(|number| number.to_string()));
        daemon.wait_for_total("done", JOBS as u64);
        over.store(true, Ordering::Relaxed);
        looks.join().expect("somebody was ready all the time")
    });
    assert!(looks > RESTARTS, "{looks} looks");

    let status = daemon.status();
    let totals = json!({"done": JOBS, "released": 0, "buried": 0, "failed": 0, "crashed": 0});
    assert_eq!(status["totals"], totals);
    assert_eq!(status["generation"], RESTARTS + 1);
    assert_eq!(queue.stat("cmd-delete"), JOBS as u64);
    let mut executions = BTreeMap::new();
    for line in daemon.lines_with(&[" handler=echo ", "tag="]) {
        let job = line.split(" job=").nth(1).and_then(|rest| rest.split(' ').next());
        *executions.entry(job.expect("a job").to_owned()).or_insert(0) += 1;
    }
    assert_eq!(executions.len(), JOBS);
    assert!(executions.values().all(|count| *count == 1), "each job ran once");
}

#[test]
fn a_restart_executes_the_binary_that_is_installed_now() {
    let Some(queue) = Beanstalkd::start() else { return };
    let installed = Installed::new();
    let host = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .binary(installed.path());
    let (_, daemon) = host.start_in_background();
    installed.replace(fs::read(daemon_binary()).expect("it was built"));
    restarted(&daemon);
    let executed = fs::read_link(format!("/proc/{}/exe", daemon.pid())).expect("it runs");
    assert_eq!(executed, installed.path(), "and not a deleted file");
    for _ in 0..2 {
        restarted(&daemon);
    }
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    daemon.run(&["stop"]).succeeded();
}

#[test]
fn a_restart_follows_the_link_that_the_daemon_was_started_by() {
    let Some(queue) = Beanstalkd::start() else { return };
    let place = Directory::new();
    for release in ["1", "2"] {
        fs::create_dir(place.path(release)).expect("a directory");
        copy_program(daemon_binary(), &place.path(release).join("host"));
    }
    let current = place.path("current");
    symlink("1", &current).expect("a link");
    let host = Host::new(&queue).plugin("echo").tube("t");
    let (_, daemon) = host.binary(current.join("host")).start_in_background();
    fs::remove_file(&current).expect("the link is removed");
    symlink("2", &current).expect("a link");
    restarted(&daemon);
    let executed = fs::read_link(format!("/proc/{}/exe", daemon.pid())).expect("it runs");
    assert_eq!(executed, place.path("2").join("host"));
    daemon.run(&["stop"]).succeeded();
}

#[test]
fn a_restart_reads_settings_anew_and_leaves_paused_what_was_paused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let pool = |number| {
        let name = |name: &str| format!("[[pool]]\nname = \"{name}\"\ntubes = [\"{name}\"]\n");
        format!("{}worker_num = {number}\n{}", name("one"), name("two"))
    };
    let daemon = Host::new(&queue).plugin("echo").config(&pool(1)).start();
    daemon.run(&["pause", "--pool", "two"]).succeeded();
    daemon.run(&["scale", "one", "3"]).succeeded();
    daemon.host().directory().write("host.toml", pool(2));
    restarted(&daemon);
    let status = daemon.wait_for_status("the old ones are gone", |status| {
        workers(status).all(|worker| worker["generation"] == 2)
    });
    let count = |pool: usize| status["pools"][pool]["workers"].as_array().map(Vec::len);
    assert_eq!((count(0), count(1)), (Some(2), Some(1)), "as the file says");
    daemon.wait_for_status("it is paused", |status| {
        status["pools"][1]["workers"][0]["slots"][0]["state"] == "paused"
    });
    let job = queue.put("two", "1");
    queue.wait_until_gone(queue.put("one", "1"));
    assert_eq!(queue.job(job).map(|job| job.reserves), Some(0));
    daemon.run(&["resume"]).succeeded();
    queue.wait_until_gone(job);
}

#[test]
fn a_rollback_after_a_restart_brings_back_what_ran_before_it() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).tube("t");
    let own = host.directory().copy(&plugin("echo"));
    let daemon = host.load(&own).start();
    let other = fs::read(other_echo()).expect("the other build");
    let new = daemon.host().directory().write("new", other);
    fs::rename(new, daemon.host().path(&library("echo"))).expect("the file is put in place");
    let tag = || {
        let line = daemon.wait_for_line(&[&format!("job={} ", queue.put("t", "1")), "tag="]);
        line.contains("tag=other ")
    };
    assert!(!tag());
    restarted(&daemon);
    assert!(tag());
    assert_eq!(daemon.run(&["rollback"]).succeeded(), "generation 3 is ready\n");
    assert!(!tag(), "although the other one lies on disk");
    let worker = daemon.status()["pools"][0]["workers"][0]["pid"].clone();
    processes::signal(worker.as_u64().expect("a pid") as u32, Signal::SIGKILL);
    daemon.wait_for_line(&[&format!("pid={worker}"), "ended=SIGKILL"]);
    assert!(!tag(), "one that dies is reborn from the same copy");
    restarted(&daemon);
    assert_eq!(daemon.run(&["rollback"]).succeeded(), "generation 5 is ready\n");
    assert!(!tag(), "from a generation that was itself made again");
}

/// A daemon with two pools: `t` with `echo`, and one whose handler cannot be made while there is a file `broken`.
#[track_caller]
pub(crate) fn beside_a_breakable_one(queue: &Beanstalkd, how: &str, flag: &str) -> Host {
    let host = Host::new(queue).plugin("echo").plugin("stillborn").flag(flag);
    let when = host.path("broken");
    let config = format!(
        "[handler.stillborn]\nhow = \"{how}\"\nwhen = \"{}\"\n\
         [[pool]]\nname = \"t\"\ntubes = [\"t\"]\nhandler = \"echo\"\n\
         [[pool]]\nname = \"s\"\ntubes = [\"s\"]\nhandler = \"stillborn\"\n",
        when.display()
    );
    host.config(&config)
}

#[test]
fn where_the_new_generation_does_not_come_up_after_all_the_adopted_one_goes_on_and_everybody_hears_why() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = beside_a_breakable_one(&queue, "refuse", "--grace=10").start();
    let before = daemon.workers();
    daemon.host().directory().write("broken", "");
    insta::assert_snapshot!(daemon.run(&["restart"]), @r"
    exit 1
    error: cannot create handler `stillborn`: there is no database
    ");
    daemon.wait_for_line(&["gen=2", "the running generation goes on", "there is no database"]);
    let status = daemon.status();
    assert_eq!(status["generation"], 1);
    assert!(before.iter().all(|worker| daemon.workers().contains(worker)));
    queue.wait_until_gone(queue.put("t", "1"));
    fs::remove_file(daemon.host().path("broken")).expect("it is there");
    assert_eq!(restarted(&daemon)["generation"], 3, "the next try succeeds");
}

#[test]
fn a_worker_that_dies_right_after_a_restart_is_reborn_from_its_own_generation() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = beside_a_breakable_one(&queue, "hang", "--grace=1").start();
    let worker = daemon.status()["pools"][0]["workers"][0]["pid"]
        .as_u64()
        .expect("a pid") as u32;
    daemon.host().directory().write("broken", "");
    let mut restart = crate::support::installed::begin(&daemon, &["restart"]);
    daemon.wait_for_line(&["gen=2", "worker=0", "starting"]);
    processes::signal(worker, Signal::SIGKILL);
    daemon.wait_for_line(&[&format!("pid={worker}"), "ended=SIGKILL"]);
    daemon.wait_for_status("another one of its generation", |status| {
        let reborn = &status["pools"][0]["workers"];
        let mut reborn = reborn.as_array().into_iter().flatten();
        reborn.any(|one| one["generation"] == 1 && one["state"] == "ready" && one["pid"] != worker)
    });
    let job = queue.put("t", "1");
    let settled = daemon.wait_for_settled(job);
    assert!(settled.contains(" gen=1 "), "{settled}");
    // The new generation never comes up.
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(restart.wait().expect("it ends").code(), Some(1));
}

#[test]
fn workers_of_a_master_that_is_killed_right_after_a_restart_end_their_jobs_and_leave() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = Host::new(&queue).plugin("echo").tube("t").workers(2).start();
    let job = queue.put("t", r#"{"sleep_ms": 8000}"#);
    daemon.wait_until_running(job);
    restarted(&daemon);
    let workers = daemon.workers();
    assert_eq!(workers.len(), 3, "one still finishes");
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.wait_for_end(), None, "a signal ended it");
    workers.into_iter().for_each(processes::wait_until_gone);
    assert!(queue.job(job).is_none(), "the job was done");
    assert_eq!(daemon.lines_with(&[&format!("job={job}"), "settled="]).len(), 1);
}

/// The open descriptors of a process by kind, without what differs from one to the next.
fn descriptors(pid: u32) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("it runs")
        .flatten()
    {
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let target = target.display().to_string();
        let kind = target.trim_end_matches(|c: char| c.is_ascii_digit() || "[]".contains(c));
        // Each worker has a file of its own number.
        let kind = kind.rsplit('/').next().filter(|name| !name.ends_with(".out"));
        *kinds.entry(kind.unwrap_or("output").to_owned()).or_insert(0) += 1;
    }
    kinds
}

#[test]
fn ten_restarts_leave_no_descriptor_behind() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (_, in_background) = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .workers(2)
        .start_in_background();
    let in_foreground = Host::new(&queue).plugin("echo").tube("t").workers(2).start();
    for daemon in [in_background, in_foreground] {
        let look = || {
            daemon.wait_for_status("the old ones are gone", |status| workers(status).count() == 2);
            [daemon.pid(), daemon.workers()[0]].map(descriptors)
        };
        // From the first one on there is a generation to go back to.
        restarted(&daemon);
        let after_one = look();
        for _ in 0..9 {
            restarted(&daemon);
        }
        // A command that has just been answered may not have hung up yet.
        eventually("there are no more of any kind", || {
            let after_ten = look();
            let has_grown = |(before, now): (&BTreeMap<_, usize>, &BTreeMap<_, usize>)| {
                now.iter().any(|(kind, count)| Some(count) > before.get(kind))
            };
            (!after_one.iter().zip(&after_ten).any(has_grown)).then_some(())
        });
        assert_eq!(
            daemon.lines_with(&["master started"]).len(),
            11,
            "in the same log"
        );
    }
}
