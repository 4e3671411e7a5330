//! What plugins record, in the status and for Prometheus.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    restart::restarted,
    support::{
        Beanstalkd, Daemon, Host,
        daemon::workers,
        exposition::{Page, Sample},
        processes,
    },
};

/// A metric of a status document.
fn metric<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    let metrics = status["metrics"].as_array()?;
    metrics.iter().find(|metric| metric["name"] == name)
}

/// The sum of a metric's values over pools and labels.
fn value(status: &Value, name: &str) -> Option<f64> {
    let series = metric(status, name)?["series"].as_array()?;
    series.iter().map(|series| series["value"].as_f64()).sum()
}

/// Waits until a metric shows that value.
#[track_caller]
fn wait_for_value(daemon: &Daemon, name: &str, wanted: f64) -> Value {
    daemon.wait_for_status(&format!("{name} is {wanted}"), |status| {
        value(status, name) == Some(wanted)
    })
}

fn page(daemon: &Daemon) -> Page {
    Page::read(&daemon.run(&["status", "--metrics"]).succeeded())
}

#[test]
fn a_counter_is_the_sum_of_all_workers_and_says_whose_it_is() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").workers(3);
    let daemon = host.flag("--slots=2").start();
    assert_eq!(daemon.status()["metrics"], json!([]));
    queue.put_all("t", [r#"{"count": 2.5}"#; 40]);
    let status = wait_for_value(&daemon, "zoo_echo_counted", 100.0);
    let expected = json!({
        "name": "zoo_echo_counted",
        "kind": "counter",
        "help": "What payloads have asked to be counted",
        "plugin": "zoo-echo",
        "series": [{"pool": "default", "labels": {}, "value": 100.0}],
    });
    assert_eq!(status["metrics"], json!([expected]));
    let text = daemon.run(&["status"]).succeeded();
    assert!(
        text.contains("\nmetric zoo_echo_counted{pool=\"default\"} 100\n"),
        "{text}"
    );
}

#[test]
fn no_counter_goes_back_when_workers_are_killed_recycled_reloaded_or_handed_over() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").workers(2);
    let host = host.flag("--max-request=20").flag("--min-lifetime=0");
    let daemon = host.log_level("info").start();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let (mut last, mut looks) = (0.0, 0);
            while !over.load(Ordering::Relaxed) {
                let now = value(&daemon.status(), "zoo_echo_counted").unwrap_or(0.0);
                assert!(now >= last, "it was {last} and is {now}");
                (last, looks) = (now, looks + 1);
            }
            looks
        });
        // In tenths, which floats cannot hold.
        let count_fifty = |all: f64| {
            queue.put_all("t", [r#"{"count": 0.1}"#; 50]);
            daemon.wait_for_status("all are counted", |status| {
                value(status, "zoo_echo_counted").is_some_and(|value| value > all - 0.01)
            });
        };
        count_fifty(5.0);
        daemon.wait_for_line(&["wants a successor: max_request"]);
        let victim = daemon.workers()[0];
        processes::signal(victim, Signal::SIGKILL);
        processes::wait_until_gone(victim);
        count_fifty(10.0);
        daemon.run(&["reload", "--wait"]).succeeded();
        count_fifty(15.0);
        restarted(&daemon);
        count_fifty(20.0);
        over.store(true, Ordering::Relaxed);
        assert!(watching.join().expect("it never went back") > 0);
    });
    // A job whose worker was killed before it was settled ran twice.
    let counted = value(&daemon.status(), "zoo_echo_counted").expect("it is there");
    assert!((19.99..20.11).contains(&counted), "{counted}");
}

#[test]
fn what_workers_have_counted_outlives_all_of_them() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("tally").tube("t").start();
    queue.put("t", r#"{"mails": 1, "open": 7, "seconds": [0.5]}"#);
    daemon.wait_for_total("done", 1);
    let before = daemon.status();
    for way in ["killed", "reload", "restart"] {
        let old = daemon.workers();
        match way {
            "killed" => old
                .iter()
                .for_each(|pid| processes::signal(*pid, Signal::SIGKILL)),
            _ => drop(daemon.run(&[way]).succeeded()),
        }
        let after = daemon.wait_for_status("only another worker is left", |status| {
            let mut left = workers(status).map(|worker| (&worker["state"], worker["pid"].as_u64()));
            let (first, others) = (left.next(), left.count());
            let is_new = |pid: u64| !old.iter().any(|old| u64::from(*old) == pid);
            others == 0 && first.is_some_and(|(state, pid)| state == "ready" && pid.is_some_and(is_new))
        });
        for name in ["zoo_tally_mails", "zoo_tally_seconds"] {
            assert_eq!(metric(&after, name), metric(&before, name), "{way}");
        }
        assert_eq!(metric(&after, "zoo_tally_connections_open"), None, "{way}");
    }
}

#[test]
fn a_gauge_is_the_sum_of_the_workers_that_live() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("tally").tube("t").workers(2);
    let until = host.path("until");
    let daemon = host.start();
    let job = |open: f64| json!({"open": open, "until": until}).to_string();
    let jobs = queue.put_all("t", [job(3.0), job(4.5)]);
    jobs.iter().for_each(|job| daemon.wait_until_running(*job));
    let status = wait_for_value(&daemon, "zoo_tally_connections_open", 7.5);
    assert_eq!(
        metric(&status, "zoo_tally_connections_open"),
        Some(&json!({
            "name": "zoo_tally_connections_open",
            "kind": "gauge",
            "help": "",
            "plugin": "zoo-tally",
            "series": [{"pool": "default", "labels": {}, "value": 7.5}],
        }))
    );
    let busy = |worker: &&Value| worker["slots"][0]["job"] == jobs[0];
    let pid = workers(&status).find(busy).expect("it runs")["pid"].clone();
    processes::signal(
        pid.as_u64().expect("a pid").try_into().expect("a pid"),
        Signal::SIGKILL,
    );
    wait_for_value(&daemon, "zoo_tally_connections_open", 4.5);
    // A value takes the place of the one before.
    fs::write(&until, "").expect("the directory is ours");
    jobs.into_iter()
        .skip(1)
        .for_each(|job| queue.wait_until_gone(job));
}

#[test]
fn pools_with_the_same_handler_are_told_apart() {
    let Some(queue) = Beanstalkd::start() else { return };
    let pools = "[[pool]]\nname = \"fast\"\ntubes = [\"a\"]\n[[pool]]\nname = \"slow\"\ntubes = [\"b\"]\n";
    let daemon = Host::new(&queue).plugin("echo").config(pools).start();
    queue.put("a", r#"{"count": 1}"#);
    queue.put("b", r#"{"count": 2}"#);
    let status = wait_for_value(&daemon, "zoo_echo_counted", 3.0);
    let counted = metric(&status, "zoo_echo_counted").expect("it is there");
    assert_eq!(
        counted["series"],
        json!([
            {"pool": "fast", "labels": {}, "value": 1.0},
            {"pool": "slow", "labels": {}, "value": 2.0},
        ])
    );
}

#[test]
fn the_page_for_prometheus_has_host_and_plugins() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("tally").tube("t").workers(2);
    let daemon = host.start();
    queue.put_all(
        "t",
        [r#"{"mails": 1, "open": -2.5, "seconds": [0.05, 0.1, 0.5, 5]}"#; 3],
    );
    daemon.wait_for_total("done", 3);
    let page = page(&daemon);
    let value = |name: &str, labels: &[(&str, &str)]| page.value(name, labels);
    assert_eq!(
        value("asynccall_host_jobs_settled_total", &[("settlement", "delete")]),
        Some(3.0)
    );
    assert_eq!(
        value(
            "asynccall_host_workers",
            &[("pool", "default"), ("state", "ready")]
        ),
        Some(2.0)
    );
    assert_eq!(page.kind("zoo_tally_mails"), Some("counter"));
    for (form, mails) in [("plain", 3.0), ("\"html\"", 6.0)] {
        let labels = [("pool", "default"), ("form", form)];
        assert_eq!(value("zoo_tally_mails", &labels), Some(mails));
    }
    assert_eq!(page.kind("zoo_tally_connections_open"), Some("gauge"));
    assert_eq!(page.kind("zoo_tally_seconds"), Some("histogram"));
    let buckets: Vec<(&str, f64)> = page
        .samples("zoo_tally_seconds_bucket")
        .filter_map(|Sample { labels, value, .. }| Some((labels.get("le")?.as_str(), *value)))
        .collect();
    // A bound belongs to its bucket.
    assert_eq!(buckets, [("0.1", 6.0), ("1", 9.0), ("+Inf", 12.0)]);
    let pool = [("pool", "default")];
    assert_eq!(value("zoo_tally_seconds_count", &pool), Some(12.0));
    let sum = value("zoo_tally_seconds_sum", &pool).expect("it is there");
    assert!((sum - 16.95).abs() < 1e-9, "{sum}");
}

#[test]
fn what_is_no_metric_is_refused_once_in_the_log() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("tally").tube("t").start();
    for _ in 0..3 {
        let job = queue.put("t", r#"{"seconds": [0.2], "refused": 1}"#);
        queue.wait_until_gone(job);
    }
    let refused = daemon.lines_with(&["metric refused"]);
    assert_eq!(refused.len(), 2, "{refused:?}");
    daemon.wait_for_line(&[
        "metric refused",
        "plugin=zoo-tally",
        "metric=no-good",
        "`no-good` is no name of a metric",
    ]);
    daemon.wait_for_line(&[
        "metric refused",
        "metric=seconds",
        "with the bounds [0.1, 1.0], this one is",
    ]);
    let status = daemon.status();
    let seen = &metric(&status, "zoo_tally_seconds").expect("the first one goes on")["series"][0];
    assert_eq!(
        (&seen["count"], &seen["buckets"][1]["le"]),
        (&json!(3), &json!(1.0))
    );
}

#[test]
fn a_worker_keeps_128_metrics_and_says_so_when_there_are_more() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("tally").tube("t").start();
    for _ in 0..2 {
        let job = queue.put("t", r#"{"many": 200}"#);
        queue.wait_until_gone(job);
    }
    let status = daemon.status();
    let metrics = status["metrics"].as_array().expect("a list");
    let kept = metrics
        .iter()
        .map(|metric| metric["series"].as_array().map_or(0, Vec::len));
    assert_eq!(kept.sum::<usize>(), 128);
    // Two of them count mails.
    assert_eq!(value(&status, "zoo_tally_one_of_many_125"), Some(2.0));
    assert_eq!(value(&status, "zoo_tally_one_of_many_126"), None);
    let refused = daemon.lines_with(&["metric refused"]);
    let [refused] = refused.as_slice() else {
        panic!("once: {refused:?}")
    };
    for part in ["metric=one_of_many_126", "a worker keeps 128 metrics"] {
        assert!(refused.contains(part), "{refused}");
    }
    // The page is whole nevertheless.
    page(&daemon);
}
