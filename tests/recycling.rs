//! `max_request`: workers are replaced after a number of jobs, smoothly.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Child, Stdio},
};

use serde_json::{Value, json};

use crate::support::{Beanstalkd, Daemon, Host, daemon::workers, eventually};

#[test]
fn a_worker_that_reached_max_request_is_replaced_and_no_job_is_lost() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--max-request=100");
    let daemon = host.flag("--min-lifetime=0").log_level("info").start();
    queue.put_all("t", (0..1000).map(|number| number.to_string()));
    daemon.wait_for_total("done", 1000);
    assert_eq!(queue.stat("cmd-delete"), 1000, "each job was deleted once");
    assert_eq!(
        daemon.status()["totals"],
        json!({"done": 1000, "released": 0, "buried": 0, "failed": 0, "crashed": 0})
    );
    let replaced = daemon.lines_with(&["wants a successor"]);
    assert!(!replaced.is_empty(), "after 100 jobs");
    for line in replaced {
        assert!(
            line.contains("gen=1"),
            "a new worker is no new generation: {line}"
        );
    }
}

#[test]
fn a_successor_is_ready_before_its_predecessor_goes_quiet() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--max-request=5");
    let daemon = host.flag("--min-lifetime=0").log_level("info").start();
    for _ in 0..5 {
        let jobs = queue.put_all("t", (0..5).map(|number| number.to_string()));
        jobs.into_iter().for_each(|job| queue.wait_until_gone(job));
    }
    daemon.wait_for_line(&[" gone"]);
    // Of the one seat's workers: who is ready at each moment.
    let mut ready = BTreeSet::new();
    for line in daemon.log().lines() {
        let pid = line.split(" pid=").nth(1).and_then(|rest| rest.split(' ').next());
        let pid = pid.unwrap_or_default().to_owned();
        if line.ends_with(" ready") {
            ready.insert(pid);
        } else if line.ends_with(" quiet") || line.ends_with(" gone") {
            ready.remove(&pid);
            assert!(!ready.is_empty(), "nobody is ready after: {line}");
        }
        assert!(!line.contains("died"), "{line}");
    }
    assert_eq!(daemon.total("done"), 25);
}

#[test]
fn a_worker_is_not_replaced_before_it_has_lived_its_minimum() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--max-request=1");
    let daemon = host.start();
    queue.put_all("t", (0..300).map(|number| number.to_string()));
    daemon.wait_for_total("done", 300);
    let status = daemon.status();
    assert_eq!(
        workers(&status).map(|worker| &worker["jobs"]).collect::<Vec<_>>(),
        [300]
    );
    assert_eq!(daemon.lines_with(&["wants a successor"]), [""; 0]);
}

#[test]
fn a_minimum_that_ends_while_the_worker_is_idle_is_noticed() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--max-request=1");
    let daemon = host.flag("--min-lifetime=1").start();
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    daemon.wait_for_line(&["wants a successor"]);
    daemon.wait_for_line(&["jobs=1", " gone"]);
}

#[test]
fn max_request_of_zero_replaces_nobody() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--max-request=0");
    let daemon = host.flag("--min-lifetime=0").start();
    queue.put_all("t", (0..1500).map(|number| number.to_string()));
    daemon.wait_for_total("done", 1500);
    assert_eq!(daemon.lines_with(&["starting"]).len(), 1);
}

/// Eight workers, replaced one at a time after some 60 jobs each, and a queue that never runs empty.
struct UnderLoad {
    queue: Beanstalkd,
    daemon: Daemon,
    put: u64,
    /// The pids that were seen ready, by worker number.
    seen: BTreeMap<u64, BTreeSet<u64>>,
    fewest_ready: usize,
}

impl UnderLoad {
    fn start() -> Option<UnderLoad> {
        let queue = Beanstalkd::start()?;
        let host = Host::new(&queue).plugin("echo").tube("t").workers(8);
        let daemon = host.flag("--max-request=60").flag("--min-lifetime=0");
        let daemon = daemon.log_level("info").start();
        Some(UnderLoad {
            daemon,
            queue,
            put: 0,
            seen: BTreeMap::new(),
            fewest_ready: 8,
        })
    }

    /// Fills the queue up and looks at the workers once.
    fn look(&mut self) -> Value {
        let waiting = self.queue.tube_stat("t", "current-jobs-ready");
        let missing = 100_u64.saturating_sub(waiting);
        self.queue
            .put_all("t", (0..missing).map(|_| r#"{"sleep_ms": 2}"#));
        self.put += missing;
        let status = self.daemon.status();
        let ready = || workers(&status).filter(|worker| worker["state"] == "ready");
        self.fewest_ready = self.fewest_ready.min(ready().count());
        for worker in ready() {
            let number = |key: &str| worker[key].as_u64().expect("a number");
            self.seen.entry(number("nr")).or_default().insert(number("pid"));
        }
        status
    }

    /// Every job was done once, and at no moment were there fewer than seven ready workers or more than so
    /// many that started.
    fn finish(self, most_starting: usize) {
        let (daemon, put) = (&self.daemon, self.put);
        daemon.wait_for_total("done", put);
        assert_eq!(
            daemon.status()["totals"],
            json!({"done": put, "released": 0, "buried": 0, "failed": 0, "crashed": 0})
        );
        assert_eq!(self.queue.stat("cmd-delete"), put, "each job was deleted once");
        assert!(self.fewest_ready >= 7, "{} were ready", self.fewest_ready);
        let (fewest_ready, most) = extremes(&daemon.log(), 8);
        assert!(fewest_ready >= 7, "{fewest_ready} were ready");
        assert!(most <= most_starting, "{most} started at one time");
    }
}

/// By the log, from the moment on when `full` workers were ready: how many were ready at least, and how many
/// were starting at most.
fn extremes(log: &str, full: usize) -> (usize, usize) {
    let (mut ready, mut starting) = (BTreeSet::new(), BTreeSet::new());
    let (mut fewest_ready, mut most_starting) = (usize::MAX, 0);
    for line in log.lines() {
        let pid = line.split_whitespace().find_map(|word| word.strip_prefix("pid="));
        let Some(pid) = pid.map(str::to_owned) else {
            continue;
        };
        if line.ends_with(" starting") {
            starting.insert(pid);
        } else if line.ends_with(" ready") {
            starting.remove(&pid);
            ready.insert(pid);
        } else if line.ends_with(" quiet") || line.ends_with(" gone") || line.ends_with(" died") {
            starting.remove(&pid);
            ready.remove(&pid);
        }
        if fewest_ready < usize::MAX || ready.len() >= full {
            fewest_ready = fewest_ready.min(ready.len());
            most_starting = most_starting.max(starting.len());
        }
    }
    (fewest_ready, most_starting)
}

#[test]
fn recycling_eight_workers_under_load_never_drops_below_seven_ready() {
    let Some(mut load) = UnderLoad::start() else {
        return;
    };
    eventually("every worker was replaced twice", || {
        load.look();
        let mut pids = load.seen.values().map(BTreeSet::len);
        (load.seen.len() == 8 && pids.all(|pids| pids >= 3)).then_some(())
    });
    load.finish(1);
}

#[test]
fn a_reload_under_load_never_drops_below_seven_of_eight_ready_workers() {
    let Some(mut load) = UnderLoad::start() else {
        return;
    };
    load.look();
    let mut reload = load.daemon.command(&["reload", "--wait"]);
    let mut reload: Child = reload.stdout(Stdio::null()).spawn().expect("it runs");
    let ended = eventually("the reload ends", || {
        load.look();
        reload.try_wait().expect("it is our child")
    });
    assert!(ended.success());
    let status = load.look();
    let mut ready = workers(&status).filter(|worker| worker["state"] == "ready");
    assert!(ready.all(|worker| worker["generation"] == 2), "{status}");
    // The new generation's first worker starts beside one that is being replaced.
    load.finish(2);
}
