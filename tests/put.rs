//! Jobs that handlers put: what they inherit, how many there may be, and what becomes of those that cannot be put.

use asynccall_client::protocol::JobState;
use serde_json::json;

use crate::support::{
    Beanstalkd, Daemon, Host, Proxy, plugin,
    proxy::Spoil,
    queue::{Job, PRIORITY, php_tube},
};

fn host(queue: &Beanstalkd, limit: u32) -> Host {
    Host::new(queue)
        .plugin("echo")
        .tube("t")
        .flag(format!("--put-limit={limit}"))
}

/// The ids of what was put for a job.
fn put_for(daemon: &Daemon, job: u64) -> Vec<u64> {
    let lines = daemon.lines_with(&[&format!("from={job}"), "a handler has put a job"]);
    let id = |line: String| line.split(" put=").nth(1)?.split(' ').next()?.parse().ok();
    lines.into_iter().filter_map(id).collect()
}

/// Has a job put one for a tube that nobody consumes; the job that was put.
#[track_caller]
fn put_with(queue: &Beanstalkd, daemon: &Daemon, with: serde_json::Value) -> Job {
    let body = json!({"put": ["hello"], "put_with": with}).to_string();
    let job = queue.put_with_ttr("t", 77, &body);
    queue.wait_until_gone(job);
    let put = put_for(daemon, job);
    assert_eq!(put.len(), 1, "{}", daemon.log());
    assert_eq!(queue.body(put[0]), br#""hello""#);
    queue.job(put[0]).expect("it is there")
}

/// The line that tells how a job failed whose put was refused.
#[track_caller]
fn refused(queue: &Beanstalkd, daemon: &Daemon, body: &str) -> String {
    let job = queue.put("t", body);
    let line = daemon.wait_for_line(&[&format!("job={job}"), "outcome=failed"]);
    assert!(line.contains("cannot put a job: "), "{line}");
    line
}

#[test]
fn a_job_that_is_put_has_the_tube_priority_and_time_to_run_of_the_one_in_hand() {
    let Some(queue) = Beanstalkd::start() else { return };
    for tube in ["t".to_owned(), php_tube("t")] {
        let daemon = host(&queue, 1).start();
        let body = r#"{"put": [{"fail": true}]}"#;
        let mut client = queue.client();
        let name = asynccall_client::tube::TubeName::new(&tube).expect("a name");
        client.use_tube(&name).expect("the tube is used");
        let job = client.put(17, 0, 77, body.as_bytes()).expect("it is put").0;
        queue.wait_until_gone(job);
        let put = put_for(&daemon, job)[0];
        let released = queue.wait_for(put, JobState::Delayed);
        assert_eq!((released.pri, released.ttr), (17, 77), "of {tube}");
        assert_eq!(released.tube, tube, "the very one");
        queue.delete(put);
    }
}

#[test]
fn a_job_that_is_put_has_what_its_handler_wishes() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, 1).start();
    let put = put_with(
        &queue,
        &daemon,
        json!({"tube": "u", "delay_ms": 59_001, "ttr_ms": 1}),
    );
    assert_eq!((put.tube.as_str(), put.state), ("u", JobState::Delayed));
    assert_eq!((put.delay, put.ttr, put.pri), (60, 1, PRIORITY), "rounded up");
    let put = put_with(
        &queue,
        &daemon,
        json!({"tube": "u", "priority": 0, "ttr_ms": 2000, "aside": true}),
    );
    assert_eq!(
        (put.state, put.delay, put.ttr, put.pri),
        (JobState::Ready, 0, 2, 0)
    );
    let put = put_with(&queue, &daemon, json!({"tube": "two words"}));
    assert_eq!(
        put.tube,
        php_tube("two words"),
        "as the pool's own tubes are mapped"
    );
    assert_eq!((put.ttr, put.pri), (77, PRIORITY));
}

#[test]
fn a_pool_has_its_own_names_for_tubes_that_jobs_are_put_on() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, 1).flag("--tube-naming=crc32").start();
    let job = queue.put(&php_tube("t"), r#"{"put": [1], "put_with": {"tube": "u"}}"#);
    queue.wait_until_gone(job);
    let put = queue.job(put_for(&daemon, job)[0]).expect("it is there");
    assert_eq!(put.tube, php_tube("u"));
    drop(daemon);
    let daemon = host(&queue, 1).flag("--tube-naming=plain").start();
    let line = refused(
        &queue,
        &daemon,
        r#"{"put": [1], "put_with": {"tube": "two words"}}"#,
    );
    assert!(line.contains("cannot be used under its plain name"), "{line}");
}

#[test]
fn handlers_put_nothing_unless_the_pool_lets_them() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let line = refused(&queue, &daemon, r#"{"put": [1]}"#);
    assert!(
        line.contains("the pool lets its handlers put no jobs; hint: its setting `put_limit` (--put-limit)"),
        "{line}"
    );
    assert_eq!(queue.stat("total-jobs"), 1);
}

#[test]
fn the_limit_counts_for_each_run_of_a_job() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, 2).start();
    let line = refused(&queue, &daemon, r#"{"put": [1, 2, 3]}"#);
    assert!(
        line.contains("2 were put for this one, and the pool allows no more"),
        "{line}"
    );
    assert_eq!(queue.stat("total-jobs"), 3, "two were put nevertheless");
    // Refused ones do not count, and a job that is tried again puts its jobs again.
    let job = queue.put("t", r#"{"put": [1, 2], "retry_in": 0}"#);
    daemon.wait_for_line(&[&format!("job={job}"), "settled=release"]);
    daemon.run(&["pause"]).succeeded();
    let runs = queue.job(job).expect("it is there").releases as usize;
    assert!(runs >= 1);
    assert!(put_for(&daemon, job).len() >= 2 * runs, "{}", daemon.log());
    queue.delete(job);
}

#[test]
fn a_body_that_is_too_big_is_refused_with_the_sizes_and_the_job_goes_on() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, 1).start();
    let body = r#"{"put": [1], "put_with": {"bytes": 70000}}"#;
    let line = refused(&queue, &daemon, body);
    assert!(
        line.contains("beanstalkd refused a job body of 70000 bytes as too big, it takes up to 65535"),
        "{line}"
    );
    assert!(
        line.contains("settled=release"),
        "it is still ours to settle: {line}"
    );
    assert!(
        daemon
            .lines_with(&["connection to the queue server lost"])
            .is_empty()
    );
    let job = queue.put("t", r#"{"put": [1]}"#);
    queue.wait_until_gone(job);
    assert_eq!(put_for(&daemon, job).len(), 1);
}

#[test]
fn a_queue_server_that_drains_takes_none_and_its_jobs_are_settled() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, 1).start();
    let job = queue.put("t", r#"{"sleep_ms": 500, "put": [1]}"#);
    daemon.wait_until_running(job);
    queue.drain();
    let line = daemon.wait_for_settled(job);
    for part in [
        "beanstalkd is draining and takes no new jobs",
        "settled=release",
        "outcome=failed",
    ] {
        assert!(line.contains(part), "`{part}` is missing in: {line}");
    }
}

/// A connection that is lost in the first put: what the handler was told, and how many were put in all.
#[track_caller]
fn lost_in_a_put(spoil: Spoil) -> Option<(String, u64)> {
    let queue = Beanstalkd::start()?;
    let proxy = Proxy::spoiling(&queue, "use ", spoil);
    let host = Host::unconnected().flag(format!("--port={}", proxy.port()));
    let daemon = host.plugin("echo").tube("t").flag("--put-limit=1").start();
    let job = queue.put("t", r#"{"put": ["hello"]}"#);
    let line = daemon.wait_for_line(&[&format!("job={job}"), "outcome=failed"]);
    assert!(
        line.contains("settled=unknown"),
        "the job is lost with its connection: {line}"
    );
    queue.wait_until_gone(job);
    assert_eq!(put_for(&daemon, job).len(), 1, "it ran again and put again");
    Some((line, queue.stat("total-jobs") - 1))
}

#[test]
fn a_put_that_is_lost_with_its_connection_is_unknown_and_the_job_runs_again() {
    let Some((line, put)) = lost_in_a_put(Spoil::CutBehind) else {
        return;
    };
    assert!(line.contains("it is unknown whether the job was put"), "{line}");
    assert_eq!(put, 2, "it had arrived, and nobody could know");
    let Some((line, put)) = lost_in_a_put(Spoil::CutBefore) else {
        return;
    };
    assert!(line.contains("it is unknown whether the job was put"), "{line}");
    assert_eq!(put, 1);
}

#[test]
fn nothing_is_put_for_a_job_whose_handler_was_asked_to_give_up() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, 1).flag("--max-runtime=1").start();
    let line = refused(&queue, &daemon, r#"{"until_cancelled": true, "put": [1]}"#);
    assert!(line.contains("the handler was asked to give up"), "{line}");
    assert_eq!(queue.stat("total-jobs"), 1);
}

#[test]
fn a_job_that_was_deleted_before_it_ran_puts_jobs_that_inherit_from_it() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, 1).start();
    let body = r#"{"noRetry": true, "methodParams": {"put": [1], "put_with": {"delay_ms": 60000}}}"#;
    let job = queue.put_with_ttr("t", 77, body);
    daemon.wait_for_line(&[&format!("job={job}"), "settled=deleted_before_running"]);
    let put = queue.job(put_for(&daemon, job)[0]).expect("it is there");
    assert_eq!((put.tube.as_str(), put.pri, put.ttr), ("t", PRIORITY, 77));
}

#[test]
fn a_handler_that_runs_without_a_queue_server_puts_nothing_and_is_told_so() {
    let host = Host::unconnected();
    let plugin = plugin("echo");
    let file = plugin.to_str().expect("a path");
    let body = host.directory().write("body", r#"{"put": [1]}"#);
    let body = body.to_str().expect("a path");
    let said = host.run_bare(&["plugin", "run", file, "--body", body]);
    assert!(
        said.to_string()
            .contains("cannot put a job: the handler is run without a queue server"),
        "{said}"
    );
}
