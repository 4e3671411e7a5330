//! Many short jobs in a worker of several slots, which one thread then serves: nothing else may be different.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use asynccall_client::{protocol::JobState, tube::TubeName};
use nix::sys::signal::Signal;

use crate::support::{
    Beanstalkd, Daemon, Host, eventually, plugins, processes,
    proxy::{Fate, Proxy, Way},
};

/// A job that takes no time.
const SHORT: &str = r#"{"id": 1, "to": "a", "text": ""}"#;
/// A job that has failed does not come again while the test lasts.
const PATIENT: &str = "[[pool]]\nname = 'default'\n[pool.backoff]\nfirst = 600\n";
/// In the log where one thread begins to serve all slots.
const BURST: &str = "one thread serves all slots";

/// A worker of four slots whose handler is as quick as its jobs let it be.
fn host(queue: &Beanstalkd) -> Host {
    with_stopwatch(Host::new(queue), 4)
}

fn with_stopwatch(host: Host, slots: u32) -> Host {
    let host = host.tube("t").log_level("info,asynccall_host=debug");
    host.load(plugins::built("zoo-stopwatch", "stopwatch"))
        .flag(format!("--slots={slots}"))
        .flag("--max-request=0")
}

/// A job that does what `wish` says.
fn job(wish: &str) -> String {
    format!(r#"{{"id": 1, "to": "a", "text": "", {wish}}}"#)
}

/// Puts short jobs until there has been a burst once more; how many it were.
fn put_until_burst(queue: &Beanstalkd, daemon: &Daemon) -> u64 {
    let bursts = || daemon.lines_with(&[BURST]).len();
    let (before, mut count) = (bursts(), 0);
    eventually("there is a burst", || {
        if bursts() > before {
            return Some(());
        }
        if queue.stat("current-jobs-ready") == 0 {
            count += put_at_once(queue, daemon, shorts(5000)).len() as u64;
        }
        None
    });
    count
}

/// Waits until no job is left but `left`.
fn wait_until_done(queue: &Beanstalkd, left: u64) {
    eventually("all jobs are done", || {
        (queue.stat("current-jobs-ready") == 0
            && queue.stat("current-jobs-delayed") == 0
            && queue.stat("current-jobs-reserved") == left)
            .then_some(())
    });
}

/// Has the daemon take these jobs all at once.
fn put_at_once(queue: &Beanstalkd, daemon: &Daemon, jobs: impl IntoIterator<Item = String>) -> Vec<u64> {
    daemon.run(&["pause"]).succeeded();
    let ids = queue.put_all("t", jobs);
    daemon.run(&["resume"]).succeeded();
    ids
}

/// Puts a job that comes before all others.
fn put_first(queue: &Beanstalkd, body: &str) -> u64 {
    let mut client = queue.client();
    client
        .use_tube(&TubeName::new("t").expect("a name"))
        .expect("the tube is used");
    client.put(0, 0, 600, body.as_bytes()).expect("the job is put").0
}

fn shorts(count: usize) -> impl Iterator<Item = String> {
    std::iter::repeat_n(SHORT.to_owned(), count)
}

/// Does the same again, with the number of the time, until it was in a burst: bursts end as they please.
fn until_in_a_burst(times: usize, was_in_one: impl FnMut(usize) -> bool) {
    assert!((1..=times).any(was_in_one), "no burst was on in time");
}

/// Whether a job of a burst has kept the others waiting.
fn kept_the_others(daemon: &Daemon) -> bool {
    !daemon.lines_with(&["keeps the others waiting"]).is_empty()
}

/// Each job was done once, and said so by its own id.
fn assert_each_was_done_once(daemon: &Daemon, count: u64) {
    let done = |line: &String| {
        let id = line.split(" job=").nth(1)?.split(' ').next()?;
        id.parse::<u64>().ok()
    };
    // They are written when the server has deleted the job.
    let lines = eventually("all are said to be done", || {
        let lines = daemon.lines_with(&["outcome=done", "settled=delete"]);
        (lines.len() as u64 >= count).then_some(lines)
    });
    let mut ids: Vec<u64> = lines.iter().filter_map(done).collect();
    assert_eq!(ids.len() as u64, count);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, count, "some have said so twice");
}

#[test]
fn each_of_many_short_jobs_is_done_once_and_says_so() {
    for queue in [Beanstalkd::start(), Beanstalkd::start_on_unix()] {
        let Some(queue) = queue else { return };
        let daemon = host(&queue).start();
        let count = put_until_burst(&queue, &daemon);
        wait_until_done(&queue, 0);
        daemon.wait_for_total("done", count);
        assert_each_was_done_once(&daemon, count);
        assert_eq!(queue.stat("cmd-delete"), count);
        assert_eq!(daemon.total("failed"), 0);
    }
}

#[test]
fn a_job_that_takes_long_keeps_no_other_waiting() {
    const SLOTS: u32 = 16;
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_stopwatch(Host::new(&queue), SLOTS).start();
    until_in_a_burst(SLOTS as usize - 1, |long| {
        put_until_burst(&queue, &daemon);
        put_first(&queue, &job(r#""sleep_ms": 600000"#));
        wait_until_done(&queue, long as u64);
        eventually("the long ones run", || {
            (daemon.running().len() == long).then_some(())
        });
        kept_the_others(&daemon)
    });
}

#[test]
fn a_job_that_takes_its_worker_down_in_a_burst_is_the_one_that_is_blamed() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).flag("--max-crashes=1").start();
    until_in_a_burst(15, |deaths| {
        put_until_burst(&queue, &daemon);
        let job = put_first(&queue, &job(r#""aborts": true"#));
        wait_until_done(&queue, 0);
        assert_eq!(queue.job(job).map(|job| job.state), Some(JobState::Buried));
        assert_eq!(queue.stat("current-jobs-buried"), deaths as u64);
        let certificates = daemon.lines_with(&["death certificate"]);
        assert_eq!(certificates.len(), deaths, "{certificates:#?}");
        // Its last burst has not ended.
        let pid = certificates[deaths - 1]
            .split(' ')
            .find(|word| word.starts_with("pid="));
        let of_bursts = daemon.lines_with(&[pid.expect("its pid"), "burst"]);
        of_bursts.last().is_some_and(|line| line.contains(BURST))
    });
}

#[test]
fn nothing_is_lost_when_workers_are_replaced_in_a_burst() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).start();
    let mut count = put_until_burst(&queue, &daemon);
    let mut replaced_by = |replace: &dyn Fn()| {
        count += put_at_once(&queue, &daemon, shorts(6000)).len() as u64;
        replace();
        count += put_until_burst(&queue, &daemon);
    };
    replaced_by(&|| drop(daemon.run(&["reload", "--wait"]).succeeded()));
    replaced_by(&|| drop(daemon.run(&["restart"]).succeeded()));
    let last = || daemon.workers().into_iter().last().expect("somebody works");
    replaced_by(&|| processes::signal(last(), Signal::SIGTERM));
    wait_until_done(&queue, 0);
    assert_each_was_done_once(&daemon, count);
}

#[test]
fn a_paused_pool_takes_no_job_although_a_burst_was_on() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).start();
    let mut count = put_until_burst(&queue, &daemon);
    count += put_at_once(&queue, &daemon, shorts(6000)).len() as u64;
    daemon.run(&["pause"]).succeeded();
    eventually("no job is in hand", || {
        (queue.stat("current-jobs-reserved") == 0).then_some(())
    });
    let left = queue.stat("current-jobs-ready");
    count += queue.put_all("t", shorts(100)).len() as u64;
    assert_eq!(queue.stat("current-jobs-ready"), left + 100);
    daemon.run(&["resume"]).succeeded();
    wait_until_done(&queue, 0);
    assert_each_was_done_once(&daemon, count);
}

#[test]
fn all_connections_are_made_again_after_they_were_cut_in_a_burst() {
    let Some(queue) = Beanstalkd::start() else { return };
    let to_cut = Arc::new(AtomicUsize::new(0));
    let shared = to_cut.clone();
    let proxy = Proxy::start(&queue, move |_| {
        let shared = shared.clone();
        Box::new(move |way, _| {
            let one_less = |left: usize| left.checked_sub(1);
            let is_cut = way == Way::ToWorker
                && shared
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                    .is_ok();
            // In the middle of an answer.
            if is_cut { Fate::Cut(5) } else { Fate::Pass }
        })
    });
    let daemon = with_stopwatch(proxy.host(), 4).start();
    let again = || daemon.lines_with(&["connected again"]).len();
    let mut count = put_until_burst(&queue, &daemon);
    let before = again();
    to_cut.store(4, Ordering::SeqCst);
    count += queue.put_all("t", shorts(3000)).len() as u64;
    eventually("four have connected again", || {
        (again() >= before + 4).then_some(())
    });
    wait_until_done(&queue, 0);
    // A delete whose connection was cut has arrived, or is made up for.
    daemon.wait_for_total("done", count);
    assert_each_was_done_once(&daemon, count);
}

#[test]
fn a_stop_in_a_burst_leaves_each_job_done_or_ready() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = host(&queue).start();
    let mut count = put_until_burst(&queue, &daemon);
    count += queue.put_all("t", shorts(10_000)).len() as u64;
    assert_eq!(daemon.stop(), Some(0));
    let (done, ready) = (queue.stat("cmd-delete"), queue.stat("current-jobs-ready"));
    assert_eq!(done + ready, count);
    assert_each_was_done_once(&daemon, done);
}

#[test]
fn the_worker_of_a_killed_master_ends_its_burst_and_leaves() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).start();
    let mut count = put_until_burst(&queue, &daemon);
    count += queue.put_all("t", shorts(10_000)).len() as u64;
    let worker = daemon.workers()[0];
    daemon.signal(Signal::SIGKILL);
    processes::wait_until_gone(worker);
    assert_eq!(queue.stat("current-jobs-reserved"), 0);
    let (done, ready) = (queue.stat("cmd-delete"), queue.stat("current-jobs-ready"));
    assert_eq!(done + ready, count);
    assert_each_was_done_once(&daemon, done);
}

#[test]
fn jobs_that_fail_in_a_burst_are_released_like_all_that_fail() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).config(PATIENT).start();
    let count = put_until_burst(&queue, &daemon);
    let failing = |number: usize| match number % 20 {
        0 => job(r#""fails": true"#),
        _ => SHORT.to_owned(),
    };
    put_at_once(&queue, &daemon, (0..4000).map(failing));
    eventually("the others are done", || {
        (queue.stat("cmd-delete") == count + 3800).then_some(())
    });
    eventually("those that failed wait for their next try", || {
        (queue.stat("current-jobs-delayed") == 200).then_some(())
    });
    daemon.wait_for_total("failed", 200);
    assert_each_was_done_once(&daemon, count + 3800);
}

#[test]
fn jobs_that_run_at_most_once_are_deleted_before_they_run_in_a_burst_too() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).config(PATIENT).start();
    let count = put_until_burst(&queue, &daemon);
    let once = |number: usize| match number % 20 {
        0 => job(r#""noRetry": true"#),
        10 => job(r#""noRetry": true, "fails": true"#),
        _ => SHORT.to_owned(),
    };
    put_at_once(&queue, &daemon, (0..4000).map(once));
    wait_until_done(&queue, 0);
    assert_eq!(queue.stat("cmd-delete"), count + 4000);
    let before = |outcome: &str| {
        let ended = [outcome, "settled=deleted_before_running"];
        eventually("the jobs say how they ended", || {
            (daemon.lines_with(&ended).len() == 200).then_some(())
        });
    };
    before("outcome=done");
    before("outcome=failed");
    assert_each_was_done_once(&daemon, count + 3600);
}

#[test]
fn a_job_past_max_runtime_in_a_burst_is_given_back_and_the_others_go_on() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue)
        .flag("--max-runtime=1")
        .flag("--cancel-grace=0")
        .start();
    let mut count = 0;
    until_in_a_burst(10, |replaced| {
        count += put_until_burst(&queue, &daemon);
        let long = put_first(&queue, &job(r#""sleep_ms": 600000"#));
        daemon.wait_for_line(&[&format!("job={long} "), "outcome=timed_out"]);
        eventually("the others are done", || {
            (queue.stat("cmd-delete") == count).then_some(())
        });
        // The slot leaves with its worker, and another takes its place.
        eventually("the worker is replaced", || {
            (daemon.lines_with(&["ready"]).len() > replaced).then_some(())
        });
        kept_the_others(&daemon)
    });
}

#[test]
fn a_queue_server_that_stands_still_in_a_burst_loses_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue).start();
    let mut count = put_until_burst(&queue, &daemon);
    count += queue.put_all("t", shorts(10_000)).len() as u64;
    queue.freeze();
    eventually("no burst is on", || {
        let count = |line| daemon.lines_with(&[line]).len();
        (count(BURST) == count("the burst is over")).then_some(())
    });
    queue.thaw();
    wait_until_done(&queue, 0);
    assert_each_was_done_once(&daemon, count);
}
