//! What a handler answers becomes what the queue server is told, and a log line.

use asynccall_client::protocol::JobState;
use serde_json::json;

use crate::support::{Beanstalkd, Host, processes, queue::PRIORITY};

/// The parts that a line has to have.
#[track_caller]
fn assert_has(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
}

#[test]
fn a_job_that_is_done_is_deleted_and_logged_at_debug_with_its_result() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", r#"{"hello":"world"}"#);
    let line = daemon.wait_for_settled(job);
    assert_has(
        &line,
        &[
            " DEBUG worker=0 gen=1 ",
            " tube=t handler=echo outcome=done settled=delete ms=",
            r#"result="{\"hello\":\"world\"}""#,
        ],
    );
    queue.wait_until_gone(job);
}

#[test]
fn a_plain_successful_job_in_a_pool_of_one_tube_costs_no_stats_job() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    queue.put_all("t", (0..100).map(|number| number.to_string()));
    daemon.wait_for_total("done", 100);
    assert_eq!(queue.stat("cmd-stats-job"), 0);
}

#[test]
fn a_job_that_is_not_done_costs_one_stats_job() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").tube("u").start();
    let wishes = [
        json!({"fail": true}),
        json!({"retry_in": 100}),
        json!({"bury": "no"}),
        json!({"panic": "no"}),
    ];
    queue.put_all("t", wishes.iter().map(ToString::to_string));
    daemon.wait_for_status("all are settled", |status| {
        let totals = &status["totals"];
        totals["released"] == 3 && totals["buried"] == 1
    });
    assert_eq!(queue.stat("cmd-stats-job"), 4);
}

#[test]
fn a_failure_is_released_after_the_first_delay_and_keeps_its_priority() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", r#"{"fail": "the disk is full"}"#);
    let line = daemon.wait_for_settled(job);
    assert_has(
        &line,
        &[
            " WARN ",
            "outcome=failed settled=release delay=",
            r#"reason="attempt 1 failed" error="the disk is full""#,
        ],
    );
    let job = queue.wait_for(job, JobState::Delayed);
    assert_eq!(job.pri, PRIORITY);
    assert_eq!(job.tube, "t");
    assert!(
        (8..=12).contains(&job.delay),
        "10 s, moved by up to a fifth: {job:?}"
    );
    let totals = daemon.status()["totals"].clone();
    assert_eq!(
        totals,
        json!({"done": 0, "released": 1, "buried": 0, "failed": 1, "crashed": 0})
    );
}

#[test]
fn a_handler_may_ask_for_another_try_after_a_delay() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", r#"{"retry_in": 99.5}"#);
    let line = daemon.wait_for_settled(job);
    assert_has(
        &line,
        &[
            "outcome=retry settled=release delay=100s",
            "the payload asked for a retry",
        ],
    );
    let job = queue.wait_for(job, JobState::Delayed);
    assert_eq!((job.pri, job.delay), (PRIORITY, 100));
    assert_eq!(daemon.total("failed"), 0, "a wish is no failure");
}

#[test]
fn a_handler_may_have_its_job_buried() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", r#"{"bury": "look at this"}"#);
    assert_has(
        &daemon.wait_for_settled(job),
        &[" WARN ", "outcome=bury settled=bury", r#"error="look at this""#],
    );
    assert_eq!(queue.wait_for(job, JobState::Buried).pri, PRIORITY);
}

#[test]
fn a_panic_is_contained_and_logged_with_file_and_line() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", r#"{"panic": "at the disco"}"#);
    assert_has(
        &daemon.wait_for_settled(job),
        &[
            " WARN ",
            "outcome=exception settled=release",
            "plugins/zoo/echo/src/lib.rs:",
            "at the disco",
        ],
    );
    let next = queue.put("t", "1");
    queue.wait_until_gone(next);
    assert_eq!(daemon.lines_with(&["starting"]).len(), 1, "the worker goes on");
}

#[test]
fn an_empty_body_is_buried_with_the_reason() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", "");
    assert_has(
        &daemon.wait_for_settled(job),
        &["settled=bury", "the body is empty"],
    );
    assert_eq!(queue.wait_for(job, JobState::Buried).pri, PRIORITY);
}

#[test]
fn bodies_that_cannot_be_read_are_buried_with_the_reason_and_harm_nobody() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let deep = "a:1:{i:0;".repeat(100_000 / 9);
    let bodies: [&[u8]; 8] = [
        b"not json",
        b"{\"open\": ",
        b"a:2:{i:0;i:1;}",
        b"s:99:\"short\";",
        b"a:1:{i:0;R:1;}",
        b"\xff\xfe\x00",
        b"a:99999999999999999999:{}",
        &deep.as_bytes()[..60_000],
    ];
    let jobs = queue.put_all("t", bodies);
    for job in &jobs {
        let line = daemon.wait_for_settled(*job);
        assert_has(&line, &["outcome=bury settled=bury", "error="]);
        assert!(line.len() < 10_000, "a line is bounded: {} bytes", line.len());
        queue.wait_for(*job, JobState::Buried);
    }
    assert_eq!(daemon.total("buried"), jobs.len() as u64);
    assert_eq!(daemon.lines_with(&["starting"]).len(), 1, "the worker goes on");
}

#[test]
fn an_abort_costs_the_worker_and_not_the_job_nor_the_master() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let master = daemon.pid();
    let first = daemon.workers();

    let job = queue.put("t", r#"{"abort": true}"#);

    let id = format!("job={job}");
    let line = daemon.wait_for_line(&[&id, "crashed"]);
    assert_has(
        &line,
        &[" ERROR ", "tube=t handler=echo sha256=", "ended=SIGABRT deaths=1"],
    );
    processes::wait_until_gone(first[0]);
    // It came back, and does not get the next worker at once.
    let line = daemon.wait_for_settled(job);
    assert_has(&line, &["outcome=not_executed settled=release delay="]);
    queue.wait_for(job, JobState::Delayed);
    queue.delete(job);
    let next = queue.put("t", "1");
    queue.wait_until_gone(next);
    assert_eq!(daemon.pid(), master);
    assert_eq!(daemon.total("done"), 1);
    assert_eq!(daemon.stop(), Some(0));
}
