//! Limits of age and memory: workers are replaced, jobs are not lost.

use asynccall_client::protocol::JobState;

use crate::support::{Beanstalkd, Daemon, Host, daemon::workers};

/// Waits until another worker than `old` is the only one, and ready.
#[track_caller]
fn wait_until_replaced(daemon: &Daemon, old: u32) {
    daemon.wait_for_status("the worker is replaced", |status| {
        let mut all = workers(status);
        all.next()
            .is_some_and(|worker| worker["state"] == "ready" && worker["pid"] != old)
            && all.next().is_none()
    });
}

#[test]
fn a_worker_past_max_age_is_replaced_although_it_has_nothing_to_do() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--max-age=1")
        .start();
    let old = daemon.workers()[0];
    daemon.wait_for_line(&[&format!("pid={old}"), "wants a successor: max_age"]);
    daemon.wait_for_line(&[&format!("pid={old}"), "gone"]);
    queue.put("t", "1");
    daemon.wait_for_total("done", 1);
    assert!(daemon.lines_with(&["died"]).is_empty());
}

#[test]
fn a_worker_past_memory_soft_finishes_its_job_and_is_replaced_and_the_handler_is_named() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--memory-soft=100")
        .start();
    let old = daemon.workers()[0];
    let job = queue.put("t", r#"{"leak_mib": 150, "sleep_ms": 500}"#);
    let line = daemon.wait_for_line(&[&format!("pid={old}"), "which=memory_soft"]);
    assert!(
        line.contains("handler=echo ") && line.contains("limit=100 grown="),
        "{line}"
    );
    daemon.wait_for_total("done", 1);
    queue.wait_until_gone(job);
    wait_until_replaced(&daemon, old);
    assert_eq!(daemon.total("released"), 0);
}

#[test]
fn a_worker_past_memory_hard_gives_its_job_back_and_leaves() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--memory-hard=100")
        .start();
    let old = daemon.workers()[0];
    let job = queue.put("t", r#"{"leak_mib": 150, "sleep_ms": 600000}"#);
    daemon.wait_for_line(&[&format!("pid={old}"), "which=memory_hard", "leaving at once"]);
    let line = daemon.wait_for_settled(job);
    assert!(line.contains("settled=release delay="), "{line}");
    wait_until_replaced(&daemon, old);
    assert_eq!(queue.wait_for(job, JobState::Delayed).releases, 1);
    assert_eq!(
        daemon.total("failed"),
        1,
        "nothing else can have taken the memory"
    );
}

#[test]
fn of_several_jobs_beside_each_other_none_is_charged_for_the_memory() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .config("[[pool]]\nname = 'default'\nmax_attempts = 1\n")
        .plugin("echo")
        .tube("t")
        .flag("--slots=2")
        .flag("--memory-hard=100")
        .start();
    let old = daemon.workers()[0];
    let beside = queue.put("t", r#"{"sleep_ms": 600000}"#);
    daemon.wait_until_running(beside);
    let grows = queue.put("t", r#"{"leak_mib": 150, "sleep_ms": 600000}"#);
    for job in [beside, grows] {
        let line = daemon.wait_for_settled(job);
        assert!(
            line.contains("outcome=unfinished settled=release delay="),
            "{line}"
        );
        assert_eq!(queue.wait_for(job, JobState::Delayed).releases, 1);
    }
    wait_until_replaced(&daemon, old);
    assert_eq!(daemon.total("failed"), 0);
}
