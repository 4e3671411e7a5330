//! `call`: a row of the PHP library's client table is a test, named after it.
//!
//! What was put is read back from beanstalkd, and in PHP's format by PHP itself; what becomes of it is seen on a daemon.

use std::time::{SystemTime, UNIX_EPOCH};

use asynccall_client::protocol::JobState;
use serde_json::{Value, json};

use crate::support::{Beanstalkd, Daemon, Ended, Host, php, plugin, queue::php_tube};

/// The tube of these tests.
const TUBE: &str = "orders";

/// Runs `call` against a server, on the tube of these tests.
#[track_caller]
pub(crate) fn call(queue: &Beanstalkd, words: &[&str]) -> Ended {
    run(&Host::unconnected(), queue, words)
}

/// The same in a directory of the test's own.
#[track_caller]
pub(crate) fn run(host: &Host, queue: &Beanstalkd, words: &[&str]) -> Ended {
    let flags = queue.flags();
    let mut all = vec!["call", "--tube", TUBE];
    all.extend(flags.iter().map(String::as_str));
    all.extend(words);
    host.run_bare(&all)
}

/// Calls `Order::cancel` with more flags; the ids of the jobs.
#[track_caller]
fn put(queue: &Beanstalkd, more: &[&str]) -> Vec<u64> {
    let mut words = vec!["--model", "Order", "--method", "cancel"];
    words.extend(more);
    let out = call(queue, &words).succeeded();
    let id = |line: &str| line.strip_prefix("INSERTED ").and_then(|id| id.parse().ok());
    out.lines().map(|line| id(line).expect("an id")).collect()
}

/// Calls it in both formats; the message, which both have to say alike, and which PHP reads alike.
#[track_caller]
fn message(queue: &Beanstalkd, more: &[&str]) -> Value {
    let of = |encoding: &str| {
        let mut words = vec!["--encoding", encoding];
        words.extend(more);
        let [id] = put(queue, &words)[..] else {
            panic!("one job")
        };
        queue.body(id)
    };
    let mut of_json: Value = serde_json::from_slice(&of("json")).expect("JSON");
    let serialized = of("php");
    if php::installed() {
        let mut of_php = php::unserialized(&serialized);
        // Each is the time of its own call.
        of_php["priority"] = Value::Null;
        of_json["priority"] = Value::Null;
        assert_eq!(of_php, of_json);
    }
    of_json
}

fn daemon(queue: &Beanstalkd) -> Daemon {
    Host::new(queue).plugin("echo").tube(TUBE).start()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}

#[test]
fn model() {
    let Some(queue) = Beanstalkd::start() else { return };
    let before = now();
    let [id] = put(&queue, &[])[..] else {
        panic!("one job")
    };
    let job = queue.job(id).expect("it is there");
    assert_eq!((job.tube.as_str(), job.ttr, job.delay), (TUBE, 60, 0));
    assert!(
        (before..=now()).contains(&u64::from(job.pri)),
        "the time is the priority"
    );
    assert_eq!(
        String::from_utf8_lossy(&queue.body(id)),
        format!(
            r#"{{"model":"Order","method":"cancel","modelParams":"","methodParams":[],"errorRetry":false,"noRetry":false,"priority":{},"retryIntervalTime":0,"retryStopAt":""}}"#,
            job.pri
        )
    );
    let out = call(&queue, &["--model", r"\App\Order", "--method", "cancel"]).succeeded();
    let id = out.trim().strip_prefix("INSERTED ").expect("an id");
    let body: Value = serde_json::from_slice(&queue.body(id.parse().expect("an id"))).expect("JSON");
    assert_eq!(body["model"], r"\App\Order");
}

#[test]
fn model_params_empty_a_key_or_criteria() {
    let Some(queue) = Beanstalkd::start() else { return };
    let criteria = r#"{"conditions": "id = :id:", "bind": {"id": 5}}"#;
    for (typed, wanted) in [
        ("", json!("")),
        ("null", json!("")),
        ("42", json!(42)),
        ("-42", json!(-42)),
        (r#""42""#, json!("42")),
        (
            "6f1c0a4e-8a3e-4a57-9a5b-0a4d5ad0f9aa",
            json!("6f1c0a4e-8a3e-4a57-9a5b-0a4d5ad0f9aa"),
        ),
        (criteria, json!({"conditions": "id = :id:", "bind": {"id": 5}})),
    ] {
        let message = message(&queue, &["--model-params", typed]);
        assert_eq!(message["modelParams"], wanted, "{typed}");
    }
}

#[test]
fn method() {
    let Some(queue) = Beanstalkd::start() else { return };
    assert_eq!(message(&queue, &[])["method"], "cancel");
}

#[test]
fn method_params() {
    let Some(queue) = Beanstalkd::start() else { return };
    for (typed, wanted) in [
        ("[]", json!([])),
        (
            r#"[1, "two", 3.5, true, null]"#,
            json!([1, "two", 3.5, true, null]),
        ),
        (r#"{"why": "客户取消"}"#, json!({"why": "客户取消"})),
    ] {
        let message = message(&queue, &["--method-params", typed]);
        assert_eq!(message["methodParams"], wanted, "{typed}");
    }
}

#[test]
fn delay() {
    let Some(queue) = Beanstalkd::start() else { return };
    let [id] = put(&queue, &["--delay", "300", "--ttr", "7"])[..] else {
        panic!("one job")
    };
    let job = queue.wait_for(id, JobState::Delayed);
    assert_eq!((job.delay, job.ttr), (300, 7));
    let daemon = daemon(&queue);
    let [id] = put(&queue, &["--delay", "1"])[..] else {
        panic!("one job")
    };
    daemon.wait_for_settled(id);
    queue.wait_until_gone(id);
}

#[test]
fn retry_time_table() {
    let Some(queue) = Beanstalkd::start() else { return };
    let begun = now();
    let table = format!("{},{}, {}", begun + 1000, begun + 2000, begun + 3000);
    let ids = put(&queue, &["--retry-time-table", &table, "--delay", "500"]);
    assert_eq!(ids.len(), 3);
    for (id, most) in ids.iter().zip([1500, 2500, 3500]) {
        let job = queue.wait_for(*id, JobState::Delayed);
        // As much as the clock has gone on before the call, and no more.
        let least = most - (now() - begun);
        assert!((least..=most).contains(&job.delay), "{job:?}");
        assert_eq!(queue.body(*id), queue.body(ids[0]));
    }
}

#[test]
fn retry_interval_time() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = daemon(&queue);
    let failing = [
        "--method-params",
        r#"{"fail": "not yet"}"#,
        "--retry-interval-time",
        "70",
        "--retry-stop-at",
        "2099-12-31 23:59:59",
    ];
    let [id] = put(&queue, &failing)[..] else {
        panic!("one job")
    };
    let line = daemon.wait_for_settled(id);
    assert!(line.contains("settled=release delay=70s"), "{line}");
    let first = queue.wait_for(id, JobState::Delayed);
    assert_eq!(first.delay, 70);
    let [id] = put(&queue, &["--method-params", r#"{"fail": true}"#])[..] else {
        panic!("one job")
    };
    queue.wait_for(id, JobState::Buried);
}

#[test]
fn retry_stop_at_in_the_time_zone_of_the_daemon() {
    let Some(queue) = Beanstalkd::start() else { return };
    let end = "2030-01-02 03:04:05";
    let words = ["--retry-interval-time", "5", "--retry-stop-at", end];
    assert_eq!(message(&queue, &words)["retryStopAt"], end);

    // One text: an hour ahead on the one clock, eleven hours ago on the other.
    let queue_of = |zone: &str| {
        let queue = Beanstalkd::start()?;
        let host = Host::new(&queue).plugin("echo").tube(TUBE).variable("TZ", zone);
        Some((host.start(), queue))
    };
    let in_an_hour = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    let end = in_an_hour.saturating_add(jiff::SignedDuration::from_hours(1));
    let end = end.strftime("%Y-%m-%d %H:%M:%S").to_string();
    for (zone, settled) in [("UTC0", "settled=release"), ("EAST-12", "settled=delete")] {
        let Some((daemon, queue)) = queue_of(zone) else {
            return;
        };
        let words = [
            "--method-params",
            r#"{"fail": true}"#,
            "--retry-interval-time",
            "70",
            "--retry-stop-at",
            &end,
        ];
        let [id] = put(&queue, &words)[..] else {
            panic!("one job")
        };
        let line = daemon.wait_for_settled(id);
        assert!(line.contains(settled), "{zone}: {line}");
    }
}

#[test]
fn error_retry_and_no_retry() {
    let Some(queue) = Beanstalkd::start() else { return };
    let message = message(&queue, &["--error-retry", "--no-retry"]);
    assert_eq!(
        (&message["errorRetry"], &message["noRetry"]),
        (&json!(true), &json!(true))
    );
    let daemon = daemon(&queue);
    let panicking = ["--method-params", r#"{"panic": "oh"}"#];
    for (more, settled) in [
        (None, "settled=bury"),
        (Some("--error-retry"), "settled=release delay=10s"),
        (Some("--no-retry"), "settled=deleted_before_running"),
    ] {
        let words: Vec<&str> = panicking.into_iter().chain(more).collect();
        let [id] = put(&queue, &words)[..] else {
            panic!("one job")
        };
        let line = daemon.wait_for_settled(id);
        assert!(line.contains(settled), "{more:?}: {line}");
    }
}

#[test]
fn force_sync_runs_the_real_handler_here_and_touches_no_queue() {
    let Some(queue) = Beanstalkd::start() else { return };
    let echo = plugin("echo");
    let echo = echo.to_str().expect("a path");
    let sync = |more: &[&str]| {
        let words = [
            "--model",
            "Order",
            "--method",
            "cancel",
            "--force-sync",
            "--plugin",
            echo,
        ];
        call(&queue, &[&words, more].concat())
    };
    for encoding in ["json", "php"] {
        let out = sync(&["--model-params", "42", "--encoding", encoding]).succeeded();
        let result: Value = serde_json::from_str(&out).expect("the handler's result");
        assert_eq!(
            (&result["model"], &result["modelParams"]),
            (&json!("Order"), &json!(42))
        );
    }
    let out = sync(&["--json"]).succeeded();
    let result: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(result["result"]["method"], "cancel");
    let failing = |wish: &str| sync(&["--method-params", wish, "--no-retry"]).failed(1);
    insta::assert_snapshot!(
        [
            failing(r#"{"fail": "no such order"}"#),
            failing(r#"{"retry_in": 5}"#),
            failing(r#"{"bury": "look at it"}"#),
        ]
        .concat(),
        @"
        error: the handler failed: no such order
        error: the handler asked for another try, which `forceSync` does not give: the payload asked for a retry
        error: the handler asked for the job to be buried: look at it
        "
    );
    let panicked = failing(r#"{"panic": "oh"}"#);
    assert!(
        panicked.starts_with("error: the handler threw: panicked at ") && panicked.ends_with(": oh\n"),
        "{panicked}"
    );
    assert_eq!(queue.stat("total-jobs"), 0);
    assert_eq!(queue.stat("cmd-use"), 0);
}

#[test]
fn force_sync_takes_handler_and_configuration_from_the_file() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::unconnected();
    let directory = plugin("echo")
        .parent()
        .expect("a directory")
        .display()
        .to_string();
    let text = format!(
        "[plugins]\nload = [\"echo\", \"pair\"]\ndirs = [\"{directory}\"]\n[handler.echo]\nself_check = \"fail\"\n\
         [[pool]]\nname = \"echoes\"\ntubes = [\"{TUBE}\"]\nhandler = \"echo\"\n"
    );
    let file = host.directory().write("host.toml", &text);
    let file = file.to_str().expect("a path");
    let words = [
        "-c",
        file,
        "--model",
        "Order",
        "--method",
        "cancel",
        "--force-sync",
    ];
    insta::assert_snapshot!(run(&host, &queue, &words), @"
    exit 1
    error: handler `echo` failed its self-check: there is nobody to answer to
    ");
}

#[test]
fn a_call_in_phps_format_goes_to_the_tube_of_the_php_library_and_a_daemon_runs_it() {
    let Some(queue) = Beanstalkd::start() else { return };
    let ids = put(&queue, &["--encoding", "php", "--tube-naming", "crc32"]);
    let job = queue.job(ids[0]).expect("it is there");
    assert_eq!(job.tube, php_tube(TUBE));
    let daemon = daemon(&queue);
    daemon.wait_for_settled(ids[0]);
    queue.wait_until_gone(ids[0]);
    let line = daemon.wait_for_line(&[&format!("job={} ", ids[0]), "outcome=done"]);
    assert!(line.contains("tube=orders"), "{line}");
}

#[test]
fn a_body_is_put_as_it_is() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::unconnected();
    let file = host.directory().write("body", "any\r\nbytes\0");
    let file = file.to_str().expect("a path");
    let words = [
        "--body",
        file,
        "--priority",
        "7",
        "--delay",
        "90",
        "--ttr",
        "5",
        "--json",
    ];
    let out = run(&host, &queue, &words).succeeded();
    assert_eq!(out, "{\"inserted\":[1]}\n");
    let job = queue.job(1).expect("it is there");
    assert_eq!((job.pri, job.delay, job.ttr), (7, 90, 5));
    assert_eq!(queue.body(1), b"any\r\nbytes\0");

    let mut words = vec!["call".to_owned(), "--body=-".to_owned(), format!("--tube={TUBE}")];
    words.extend(queue.flags());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(host.run_with_input(&words, b"piped").succeeded(), "INSERTED 2\n");
    let job = queue.job(2).expect("it is there");
    assert_eq!((queue.body(2), job.pri), (b"piped".to_vec(), 1024));
}

#[test]
fn the_destination_comes_from_the_file() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::unconnected();
    let text = format!(
        "[queue]\nport = {}\n[[pool]]\nname = \"a\"\ntubes = [\"mail\"]\n[[pool]]\nname = \"b\"\n\
         tubes = [\"x\", \"y\"]\ntube_naming = \"crc32\"\n",
        queue.port()
    );
    let file = host.directory().write("host.toml", &text);
    let file = file.to_str().expect("a path");
    let tube_of = |more: &[&str]| {
        let words = [
            "call", "-c", file, "--model", "Order", "--method", "cancel", "--json",
        ];
        let out = host.run_bare(&[&words, more].concat()).succeeded();
        let inserted: Value = serde_json::from_str(&out).expect("JSON");
        let id = inserted["inserted"][0].as_u64().expect("an id");
        queue.job(id).expect("it is there").tube
    };
    assert_eq!(tube_of(&["--pool", "a"]), "mail");
    assert_eq!(tube_of(&["--tube", "mail"]), "mail");
    assert_eq!(tube_of(&["--tube", "y"]), php_tube("y"));
    assert_eq!(tube_of(&["--tube", "y", "--tube-naming", "plain"]), "y");
    assert_eq!(tube_of(&["--tube", "elsewhere"]), "elsewhere");
    assert_eq!(tube_of(&["--tube", "订单"]), php_tube("订单"));
}
