//! Who decides about another try: the message of the PHP library, the pool, or the handler.

use asynccall_client::protocol::JobState;
use serde_json::{Value, json};

use crate::support::{Beanstalkd, Daemon, Host, php, queue::PRIORITY};

/// What is to become of a job.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// After a delay between these, in seconds.
    Released(u64, u64),
    Buried,
    Deleted,
}
use Fate::{Buried, Deleted, Released};

impl Fate {
    #[track_caller]
    fn assert_of(self, job: u64, message: &Value, queue: &Beanstalkd, daemon: &Daemon) {
        let line = daemon.wait_for_settled(job);
        let settled = match self {
            Released(..) => "settled=release",
            Buried => "settled=bury",
            Deleted => "settled=delete ",
        };
        assert!(
            line.contains(settled) && line.contains(" WARN "),
            "{message} led to: {line}"
        );
        match self {
            Released(least, most) => {
                let job = queue.wait_for(job, JobState::Delayed);
                assert!((least..=most).contains(&job.delay), "{message} led to {job:?}");
            }
            Buried => drop(queue.wait_for(job, JobState::Buried)),
            Deleted => queue.wait_until_gone(job),
        }
    }
}

/// The rows of the PHP library's table, as far as a job that fails or panics is concerned.
fn table() -> Vec<(Value, Fate)> {
    let backoff = Released(8, 12);
    vec![
        (json!({"fail": true}), backoff),
        (json!({"fail": true, "retryIntervalTime": 0}), Buried),
        (json!({"fail": true, "retryIntervalTime": 70}), Released(70, 70)),
        (
            json!({"fail": true, "retryIntervalTime": 70, "retryStopAt": "2099-12-31 23:59:59"}),
            Released(70, 70),
        ),
        (
            json!({"fail": true, "retryIntervalTime": 70, "retryStopAt": "2001-01-01 00:00:00"}),
            Deleted,
        ),
        (
            json!({"fail": true, "retryIntervalTime": 70, "retryStopAt": ""}),
            Deleted,
        ),
        (
            json!({"fail": true, "retryIntervalTime": 70, "retryStopAt": "2099-13-45"}),
            Deleted,
        ),
        (json!({"fail": true, "errorRetry": true}), backoff),
        (json!({"panic": "no", "errorRetry": false}), Buried),
        (json!({"panic": "no", "errorRetry": true}), Released(10, 10)),
        (json!({"panic": "no", "errorRetry": 1}), Released(10, 10)),
        (json!({"panic": "no", "retryIntervalTime": 70}), backoff),
        // A handler's own wish wins over the message.
        (json!({"retry_in": 33, "retryIntervalTime": 70}), Released(33, 33)),
        (json!({"bury": "no", "retryIntervalTime": 70}), Buried),
    ]
}

#[test]
fn the_messages_retry_fields_decide_where_a_json_message_has_them() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    for (message, fate) in table() {
        let job = queue.put("t", message.to_string());
        fate.assert_of(job, &message, &queue, &daemon);
    }
}

#[test]
fn the_messages_retry_fields_decide_where_a_php_message_has_them() {
    let Some(queue) = Beanstalkd::start() else { return };
    if !php::installed() {
        return;
    }
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    for (message, fate) in table() {
        let job = php::put(&queue, "t", &json!({"plain": message}));
        fate.assert_of(job, &message, &queue, &daemon);
    }
    let once = json!({"call": {"fail": true, "noRetry": true}});
    let line = daemon.wait_for_settled(php::put(&queue, "t", &once));
    assert!(line.contains("settled=deleted_before_running"), "{line}");
    // With the client's own nine keys: no interval means bury, an exception without errorRetry as well.
    for wish in [json!({"fail": true}), json!({"panic": "no"})] {
        let job = php::put(&queue, "t", &json!({"call": wish}));
        Buried.assert_of(job, &wish, &queue, &daemon);
    }
}

#[test]
fn a_pool_may_ignore_the_messages_retry_fields() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--retry=pool");
    let daemon = host.start();
    let messages = [
        json!({"fail": true, "retryIntervalTime": 0}),
        json!({"fail": true, "retryIntervalTime": 70, "retryStopAt": ""}),
        json!({"panic": "no", "errorRetry": false}),
        json!({"fail": true, "noRetry": true}),
    ];
    for message in messages {
        let job = queue.put("t", message.to_string());
        Released(8, 12).assert_of(job, &message, &queue, &daemon);
    }
}

#[test]
fn a_message_that_wants_no_retry_is_deleted_before_it_runs() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let message = json!({"sleep_ms": 1500, "fail": "too late", "noRetry": true});
    let job = queue.put("t", message.to_string());
    daemon.wait_until_running(job);
    assert!(queue.job(job).is_none(), "it is deleted while its handler runs");
    let line = daemon.wait_for_settled(job);
    assert!(line.contains("settled=deleted_before_running"), "{line}");
    assert!(line.contains("too late"), "{line}");
    assert_eq!(
        daemon.status()["totals"],
        json!({"done": 1, "released": 0, "buried": 0, "failed": 1, "crashed": 0})
    );
}

#[test]
fn a_crash_does_not_bring_back_a_message_that_wants_no_retry() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", json!({"abort": true, "noRetry": true}).to_string());
    daemon.wait_for_line(&[&format!("job={job}"), "crashed"]);
    let next = queue.put("t", "1");
    queue.wait_until_gone(next);
    assert_eq!(daemon.total("crashed"), 1, "it ran once");
}

#[test]
fn a_job_that_goes_on_failing_is_buried_after_max_attempts() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = "[[pool]]\nmax_attempts = 3\nbackoff = { first = 0, max = 0 }\n";
    let host = Host::new(&queue).plugin("echo").tube("t").config(config);
    let daemon = host.start();
    let job = queue.put("t", r#"{"fail": "always"}"#);
    let job_state = queue.wait_for(job, JobState::Buried);
    assert_eq!(
        (job_state.reserves, job_state.releases, job_state.pri),
        (3, 2, PRIORITY)
    );
    let id = format!("job={job}");
    let line = daemon.wait_for_line(&[&id, "settled=bury"]);
    assert!(line.contains(r#"reason="max_attempts (3) is reached""#), "{line}");
    assert_eq!(daemon.lines_with(&[&id, "settled=release"]).len(), 2);
}

#[test]
fn the_delay_grows_with_each_attempt_up_to_its_limit() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = "[[pool]]\n[pool.backoff]\nfirst = 100\nfactor = 3\nmax = 500\njitter = 0\n";
    let host = Host::new(&queue).plugin("echo").tube("t").config(config);
    let daemon = host.start();
    let job = queue.put("t", r#"{"fail": true}"#);
    let id = format!("job={job}");
    for delay in ["delay=100s", "delay=300s", "delay=500s"] {
        daemon.wait_for_line(&[&id, delay]);
        queue.wait_for(job, JobState::Delayed);
        queue.kick(job);
    }
}

#[test]
fn a_handler_that_asks_for_another_try_is_not_cut_off_by_max_attempts() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--max-attempts=1");
    let daemon = host.start();
    let wish = json!({"retry_in": 50});
    let job = queue.put("t", wish.to_string());
    Released(50, 50).assert_of(job, &wish, &queue, &daemon);
}

/// Settles one job of a daemon of its own as a row of the PHP library's table says, with the priority that it had.
#[track_caller]
fn row(flags: &[&str], message: Value, fate: Fate) {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t");
    let daemon = flags.iter().fold(host, |host, flag| host.flag(flag)).start();
    let job = queue.put("t", message.to_string());
    fate.assert_of(job, &message, &queue, &daemon);
    if let Some(job) = queue.job(job) {
        assert_eq!(job.pri, PRIORITY, "{message}");
    }
}

#[test]
fn a_result_is_deleted() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put(
        "t",
        r#"{"retryIntervalTime": 70, "retryStopAt": "2001-01-01 00:00:00"}"#,
    );
    let line = daemon.wait_for_settled(job);
    assert!(line.contains("outcome=done settled=delete "), "{line}");
    queue.wait_until_gone(job);
}

#[test]
fn a_failure_without_an_interval_is_buried() {
    row(&[], json!({"fail": true, "retryIntervalTime": 0}), Buried);
}

#[test]
fn a_failure_with_an_interval_is_released_with_it_where_there_is_no_end() {
    row(
        &[],
        json!({"fail": true, "retryIntervalTime": 70}),
        Released(70, 70),
    );
}

#[test]
fn a_failure_with_an_interval_is_released_with_it_until_the_end() {
    let message = json!({"fail": true, "retryIntervalTime": 70, "retryStopAt": "2099-12-31 23:59:59"});
    row(&[], message, Released(70, 70));
}

/// An end that is over, and what PHP takes for one.
const OVER: [&str; 3] = ["2001-01-01 00:00:00", "", "2099-13-45"];

#[test]
fn a_failure_behind_the_end_is_deleted_with_a_warning() {
    for end in OVER {
        row(
            &[],
            json!({"fail": true, "retryIntervalTime": 70, "retryStopAt": end}),
            Deleted,
        );
    }
}

#[test]
fn a_failure_behind_the_end_is_buried_where_the_pool_wants_that() {
    for end in OVER {
        let message = json!({"fail": true, "retryIntervalTime": 70, "retryStopAt": end});
        row(&["--retry-expired=bury"], message, Buried);
    }
}

#[test]
fn an_exception_without_error_retry_is_buried() {
    row(&[], json!({"panic": "no", "errorRetry": false}), Buried);
}

#[test]
fn an_exception_with_error_retry_is_released_for_ten_seconds_for_ever() {
    let flags = ["--max-attempts=1"];
    row(
        &flags,
        json!({"panic": "no", "errorRetry": true}),
        Released(10, 10),
    );
    row(&flags, json!({"panic": "no", "errorRetry": 1}), Released(10, 10));
}

#[test]
fn a_body_that_is_empty_or_cannot_be_read_is_buried() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    for body in ["", "a:1:{i:0;", "neither JSON nor serialize()"] {
        let job = queue.put("t", body);
        let line = daemon.wait_for_settled(job);
        assert!(line.contains("settled=bury"), "{body}: {line}");
        assert_eq!(queue.wait_for(job, JobState::Buried).pri, PRIORITY);
    }
}
