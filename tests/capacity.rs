//! Pausing pools and changing how many workers they have, by command and by signal.

use std::fs;

use asynccall_client::protocol::JobState;
use nix::sys::signal::Signal;

use crate::support::{
    Beanstalkd, Daemon, Host,
    daemon::{slots, workers},
    plugin, processes,
};

#[track_caller]
fn wait_until_paused(daemon: &Daemon) {
    daemon.wait_for_status("every slot is paused", |status| {
        slots(status).count() > 0 && slots(status).all(|slot| slot["state"] == "paused")
    });
}

#[track_caller]
fn wait_for_workers(daemon: &Daemon, count: usize) {
    daemon.wait_for_status(&format!("{count} workers"), |status| {
        workers(status).count() == count && workers(status).all(|worker| worker["state"] == "ready")
    });
}

#[test]
fn a_paused_pool_ends_its_job_and_reserves_nothing_until_it_is_resumed() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").workers(2).start();
    let running = queue.put("t", r#"{"sleep_ms": 1000}"#);
    daemon.wait_until_running(running);
    assert_eq!(daemon.run(&["pause"]).succeeded().trim(), "paused: default");
    // The answer does not wait for the workers: until then a reserve may still be waiting.
    daemon.wait_for_status("the idle slot is paused", |status| {
        slots(status).any(|slot| slot["state"] == "paused")
    });
    let waiting = queue.put("t", "1");
    wait_until_paused(&daemon);
    assert_eq!(daemon.total("done"), 1, "what ran has ended");
    assert_eq!(queue.job(waiting).map(|job| job.state), Some(JobState::Ready));
    assert_eq!(daemon.run(&["resume"]).succeeded().trim(), "at work: default");
    queue.wait_until_gone(waiting);
}

#[test]
fn a_paused_worker_sleeps_while_a_slot_still_waits_for_the_queue_server() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    daemon.run(&["pause"]).succeeded();
    wait_until_paused(&daemon);
    queue.freeze();
    daemon.run(&["resume"]).succeeded();
    let is_away = |status: &serde_json::Value| slots(status).all(|slot| slot["state"] == "away");
    daemon.wait_for_status("the slot waits for an answer", is_away);
    daemon.run(&["pause"]).succeeded();
    let worker = daemon.workers()[0];
    let before = processes::wake_ups(worker);
    for _ in 0..10 {
        assert!(is_away(&daemon.status()), "it is still waiting");
    }
    let woken = processes::wake_ups(worker) - before;
    assert!(woken <= 5, "it woke {woken} times");
}

#[test]
fn a_reload_leaves_a_paused_pool_paused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    daemon.run(&["pause", "--pool", "default"]).succeeded();
    wait_until_paused(&daemon);
    daemon.run(&["reload", "--wait"]).succeeded();
    let job = queue.put("t", "1");
    wait_until_paused(&daemon);
    assert_eq!(queue.job(job).map(|job| job.state), Some(JobState::Ready));
    daemon.run(&["resume"]).succeeded();
    queue.wait_until_gone(job);
}

#[test]
fn a_paused_daemon_stops_as_well() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--grace=86400")
        .start();
    daemon.run(&["pause"]).succeeded();
    wait_until_paused(&daemon);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn tstp_pauses_and_cont_resumes() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    daemon.signal(Signal::SIGTSTP);
    wait_until_paused(&daemon);
    let job = queue.put("t", "1");
    daemon.signal(Signal::SIGCONT);
    queue.wait_until_gone(job);
}

#[test]
fn a_pool_is_scaled_up_and_down_until_the_next_reload() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    daemon.run(&["scale", "default", "4"]).succeeded();
    wait_for_workers(&daemon, 4);
    daemon.run(&["scale", "default", "2"]).succeeded();
    wait_for_workers(&daemon, 2);
    daemon.run(&["reload", "--wait"]).succeeded();
    wait_for_workers(&daemon, 1);
}

#[test]
fn ttin_and_ttou_add_and_take_a_worker_but_never_the_last() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    daemon.signal(Signal::SIGTTIN);
    wait_for_workers(&daemon, 2);
    for _ in 0..3 {
        daemon.signal(Signal::SIGTTOU);
    }
    wait_for_workers(&daemon, 1);
    queue.put("t", "1");
    daemon.wait_for_total("done", 1);
}

#[test]
fn an_unknown_pool_and_no_workers_are_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let refused = daemon.run(&["pause", "--pool", "mial"]);
    assert_eq!(refused.code, Some(64));
    insta::assert_snapshot!(refused.err, @r"
    error: there is no pool `mial`
      hint: the pools are default
    ");
    let refused = daemon.run(&["scale", "default", "0"]);
    assert_eq!(refused.code, Some(64));
    insta::assert_snapshot!(refused.err, @r"
    error: found 0 workers, wanted 1 to 1024
      hint: `pause` stops a pool
    ");
}

#[test]
fn more_slots_than_the_scoreboard_has_room_for_are_refused_with_the_numbers() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = "[[pool]]\nname = 'wide'\ntubes = ['w']\nslots = 40\n[[pool]]\nname = 'other'\ntubes = ['o']\nslots = 8\n";
    let daemon = Host::new(&queue).plugin("echo").config(config).start();
    let refused = daemon.run(&["scale", "wide", "820"]);
    assert_eq!(refused.code, Some(64));
    insta::assert_snapshot!(refused.err, @"error: found 32808 slots in all workers (820 workers with 40 slots each, and 8 slots of other pools), wanted at most 32768");
    daemon.run(&["scale", "other", "2"]).succeeded();
}

#[test]
fn a_pool_is_not_scaled_while_a_generation_is_on_its_way() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).tube("t").load(plugin("stillborn"));
    let switch = host.path("slow");
    let config = format!(
        "[handler.stillborn]\nhow = 'hang'\nwhen = '{}'\n",
        switch.display()
    );
    let daemon = host.config(&config).start();
    fs::write(&switch, "").expect("the file is made");
    daemon.run(&["reload"]).succeeded();
    let refused = daemon.run(&["scale", "default", "2"]);
    assert_eq!(refused.code, Some(1));
    insta::assert_snapshot!(refused.err, @r"
    error: generation 2 is on its way and brings its own number of workers
      hint: scale again when it serves
    ");
    daemon.signal(Signal::SIGTTIN);
    daemon.wait_for_line(&["cannot scale", "generation 2 is on its way"]);
    assert_eq!(
        workers(&daemon.status())
            .filter(|worker| worker["generation"] == 1)
            .count(),
        1
    );
}

#[test]
fn a_pause_before_the_first_generation_serves_is_refused_and_not_lost() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).tube("t").load(plugin("stillborn"));
    let daemon = host.config("[handler.stillborn]\nhow = 'hang'\n").spawn();
    daemon.wait_for_line(&["starting"]);
    for command in [
        &["pause"][..],
        &["pause", "--pool", "default"],
        &["scale", "default", "2"],
    ] {
        let refused = daemon.run(command);
        assert_eq!(refused.code, Some(1), "{refused}");
    }
    insta::assert_snapshot!(daemon.run(&["pause"]).err, @r"
    error: no generation serves yet
      hint: try again when the daemon has started
    ");
}
