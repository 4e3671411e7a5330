//! `status`: what it prints, for programs and for people.

use serde_json::{Value, json};

use crate::support::{Beanstalkd, Host, eventually};

/// A document with its texts and numbers replaced by their types, to compare shapes.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        other => other.clone(),
    }
}

#[test]
fn the_status_has_exactly_the_documented_shape() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--slots=2")
        .start();
    let job = queue.put("t", r#"{"sleep_ms": 3000}"#);
    daemon.wait_until_running(job);
    let mut status = daemon.status();
    let slots = status["pools"][0]["workers"][0]["slots"]
        .as_array_mut()
        .expect("slots");
    slots.sort_by_key(|slot| slot["job"].is_null());
    let slot = |busy: Value| json!({"state": "text", "job": busy, "tube": busy, "handler": busy, "for_ms": "number"});
    let mut busy = slot(json!("text"));
    busy["job"] = json!("number");
    let expected = json!({
        "pid": "number",
        "version": "text",
        "uptime_s": "number",
        "generation": "number",
        "plugins": [
            {"name": "text", "version": "text", "path": "text", "sha256": "text", "abi": "text", "handlers": ["text"]},
        ],
        "pools": [{
            "name": "text",
            "server": "text",
            "tubes": ["text"],
            "handler": "text",
            "handlers": {"t": "text"},
            "workers": [{
                "nr": "number",
                "pid": "number",
                "generation": "number",
                "state": "text",
                "jobs": "number",
                "slots": [busy, slot(Value::Null)],
            }],
            "waiting": [],
            "breaker": {"state": "text", "failures": "number", "rests": "number", "probe_in_s": null, "error": null},
        }],
        "totals": {"done": "number", "released": "number", "buried": "number", "failed": "number", "crashed": "number"},
        "metrics": [],
    });
    assert_eq!(shape(&status), expected);
}

#[test]
fn the_status_tells_what_is_true() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").workers(2).start();
    let running = queue.put("t", r#"{"sleep_ms": 3000}"#);
    daemon.wait_until_running(running);
    queue.put_all(
        "t",
        [
            "1",
            r#"{"fail": true}"#,
            r#"{"bury": "no"}"#,
            r#"{"retry_in": 60}"#,
        ],
    );
    let status = daemon.wait_for_status("all but one are settled", |status| {
        status["totals"] == json!({"done": 1, "released": 2, "buried": 1, "failed": 1, "crashed": 0})
    });
    assert_eq!(status["pid"], daemon.pid());
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["plugins"][0]["name"], "zoo-echo");
    assert_eq!(status["plugins"][0]["handlers"], json!(["echo"]));
    assert_eq!(status["plugins"][0]["sha256"].as_str().map(str::len), Some(64));
    let pool = &status["pools"][0];
    assert_eq!(
        (&pool["name"], &pool["tubes"], &pool["handler"]),
        (&json!("default"), &json!(["t"]), &json!("echo"))
    );
    let workers = pool["workers"].as_array().expect("workers");
    let mut pids: Vec<u64> = workers
        .iter()
        .filter_map(|worker| worker["pid"].as_u64())
        .collect();
    pids.sort_unstable();
    let mut children: Vec<u64> = daemon.workers().into_iter().map(u64::from).collect();
    children.sort_unstable();
    assert_eq!(pids, children);
    let jobs: u64 = workers.iter().filter_map(|worker| worker["jobs"].as_u64()).sum();
    assert_eq!(jobs, 5);
    let slot = |state: &str| {
        workers
            .iter()
            .map(|worker| &worker["slots"][0])
            .find(|slot| slot["state"] == state)
    };
    let busy = slot("running").expect("one is at work");
    assert_eq!(
        (&busy["job"], &busy["tube"], &busy["handler"]),
        (&json!(running), &json!("t"), &json!("echo"))
    );
    let idle = slot("idle").expect("one waits");
    assert_eq!(
        (&idle["job"], &idle["tube"], &idle["handler"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}

#[test]
fn totals_outlive_the_workers_that_earned_them() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    queue.put_all("t", ["1", "2", r#"{"bury": "no"}"#]);
    daemon.wait_for_total("buried", 1);
    let before = daemon.status()["totals"].clone();
    daemon.run(&["reload", "--wait"]).succeeded();
    eventually("the old worker leaves", || {
        (daemon.workers().len() == 1).then_some(())
    });
    assert_eq!(daemon.status()["totals"], before);
}

#[test]
fn the_status_for_people_names_plugins_pools_workers_and_jobs() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let job = queue.put("t", r#"{"sleep_ms": 3000}"#);
    daemon.wait_until_running(job);
    let text = daemon.run(&["status"]).succeeded();
    for part in [
        format!("pid {} ", daemon.pid()),
        "generation 1".to_owned(),
        "plugin zoo-echo ".to_owned(),
        "pool default tubes t handler echo".to_owned(),
        "worker 0 pid ".to_owned(),
        "slot running ".to_owned(),
        format!(" job {job} tube t"),
        "totals done 0 released 0 buried 0 failed 0 crashed 0".to_owned(),
    ] {
        assert!(text.contains(&part), "`{part}` is missing in:\n{text}");
    }
}
