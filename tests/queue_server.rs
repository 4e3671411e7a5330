//! The queue server comes, goes, and comes back.

use asynccall_client::protocol::JobState;

use crate::support::{Beanstalkd, Host, daemon::slots, eventually, processes, queue::php_tube};

#[test]
fn a_queue_server_that_is_down_at_start_is_waited_for() {
    let Some(mut queue) = Beanstalkd::start() else {
        return;
    };
    queue.halt();
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let line = daemon.wait_for_line(&["cannot reach the queue server"]);
    assert!(
        line.contains(" WARN ") && line.contains(&format!(":{}", queue.port())),
        "{line}"
    );
    let status = daemon.status();
    assert!(slots(&status).all(|slot| slot["state"] == "away"), "{status}");
    assert!(queue.resume(), "its port is still free");
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn start_in_the_background_returns_although_the_queue_server_is_down() {
    let Some(mut queue) = Beanstalkd::start() else {
        return;
    };
    queue.halt();
    let (ended, _daemon) = Host::new(&queue).plugin("echo").tube("t").start_in_background();
    ended.succeeded();
    assert!(queue.resume(), "its port is still free");
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn a_queue_server_that_was_restarted_is_watched_again_and_its_jobs_are_done() {
    let Some(mut queue) = Beanstalkd::start() else {
        return;
    };
    let host = Host::new(&queue).plugin("echo").tube("a").tube("b").workers(2);
    let daemon = host.start();
    let delayed = queue.put("a", r#"{"retry_in": 2}"#);
    queue.wait_for(delayed, JobState::Delayed);
    queue.halt();
    daemon.wait_for_line(&["queue server"]);
    assert!(queue.resume(), "its port is still free");
    for tube in ["a", "b", &php_tube("a"), &php_tube("b")] {
        let job = queue.put(tube, "1");
        queue.wait_until_gone(job);
    }
    let left = queue.put("default", "1");
    let job = queue.put("b", "1");
    queue.wait_until_gone(job);
    assert_eq!(
        queue.job(left).map(|job| job.state),
        Some(JobState::Ready),
        "`default` is ignored again"
    );
    // What was kept in the binlog is handed out as well.
    eventually("the old job is handed out again", || {
        queue
            .job(delayed)
            .filter(|job| job.releases > 0 && job.reserves > 0)
    });
    assert_eq!(
        daemon.lines_with(&["starting"]).len(),
        2,
        "no worker was lost with the server"
    );
}

#[test]
fn a_job_whose_connection_was_lost_is_not_settled_twice() {
    let Some(mut queue) = Beanstalkd::start() else {
        return;
    };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", r#"{"sleep_ms": 1500}"#);
    daemon.wait_until_running(job);
    queue.halt();
    assert!(queue.resume(), "its port is still free");
    let id = format!("job={job}");
    // The server kept it; it is done, so it is deleted there before anything else is reserved.
    let line = daemon.wait_for_line(&[&id, "outcome=done settled=delete"]);
    assert!(line.ends_with("it was deleted now"), "{line}");
    queue.wait_until_gone(job);
    assert_eq!(daemon.total("done"), 1);
    assert_eq!(daemon.lines_with(&[&id, "bytes="]).len(), 1, "it ran once");
}

#[test]
fn an_idle_daemon_does_not_spin() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--reserve-timeout=1")
        .start();
    let worker = daemon.workers()[0];
    let reserves = || queue.stat("cmd-reserve-with-timeout");
    let ticks = processes::cpu_ticks(worker) + processes::cpu_ticks(daemon.pid());
    let begun = reserves();
    eventually("three reserves wait in vain", || {
        (reserves() >= begun + 3).then_some(())
    });
    let used = processes::cpu_ticks(worker) + processes::cpu_ticks(daemon.pid()) - ticks;
    assert!(used <= 20, "{used} ticks of 10 ms in three seconds of idleness");
}

#[test]
fn a_daemon_that_waits_for_its_queue_server_sleeps_between_its_attempts() {
    let Some(mut queue) = Beanstalkd::start() else {
        return;
    };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let worker = daemon.workers()[0];
    queue.halt();
    let attempts = || daemon.lines_with(&["cannot reach the queue server"]).len();
    let wake_ups = || processes::wake_ups(worker) + processes::wake_ups(daemon.pid());
    eventually("the waits grow", || (attempts() >= 3).then_some(()));
    let (before, begun) = (wake_ups(), attempts());
    // By now these take several seconds.
    eventually("it tries three times more", || {
        (attempts() >= begun + 3).then_some(())
    });
    let woken = wake_ups() - before;
    assert!(woken <= 20, "woken {woken} times for three attempts");
}

#[test]
fn a_queue_server_that_does_not_answer_any_more_does_not_keep_the_daemon_from_stopping() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--slots=2")
        .flag("--grace=1");
    let mut daemon = host.start();
    daemon.wait_for_status("all slots wait", |status| {
        slots(status).all(|slot| slot["state"] == "idle")
    });
    queue.freeze();
    assert_eq!(daemon.stop(), Some(0));
}
