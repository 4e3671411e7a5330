//! Jobs that take their worker down, again and again.

use asynccall_client::protocol::JobState;
use nix::sys::signal::Signal;

use crate::support::{
    Beanstalkd, Host,
    daemon::slots,
    eventually, processes,
    proxy::{Proxy, Spoil},
    queue::PRIORITY,
};

/// One second between two tries, so that three of them fit into a test.
const QUICK: &str = "[[pool]]\nname = 'default'\n[pool.backoff]\nfirst = 1\nfactor = 1\njitter = 0\n";

#[test]
fn a_poison_job_takes_down_three_workers_and_no_more_with_eight_of_them_waiting() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .config(QUICK)
        .plugin("echo")
        .tube("t")
        .workers(8)
        .start();
    daemon.wait_for_status("all are ready", |status| {
        status["pools"][0]["workers"]
            .as_array()
            .is_some_and(|workers| workers.len() == 8)
    });
    let job = queue.put("t", r#"{"abort": true}"#);
    let buried = queue.wait_for(job, JobState::Buried);
    assert_eq!(buried.pri, PRIORITY);
    daemon.wait_for_line(&[
        &format!("job={job}"),
        "settled=bury",
        r#"reason="it took down 3 workers""#,
    ]);
    let certificates = daemon.lines_with(&[&format!("job={job}"), "death certificate"]);
    assert_eq!(certificates.len(), 3, "{certificates:#?}");
    assert!(
        certificates[2].contains("handler=echo sha256="),
        "{}",
        certificates[2]
    );
    assert!(
        certificates[2].contains("ended=SIGABRT deaths=3"),
        "{}",
        certificates[2]
    );
    assert_eq!(daemon.total("crashed"), 3);
    let runs = daemon.lines_with(&[&format!("job={job}"), "bytes="]);
    assert_eq!(runs.len(), 3, "one per delay: {runs:#?}");
}

#[test]
fn the_other_jobs_go_on_beside_a_poison_job() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .config(QUICK)
        .plugin("echo")
        .tube("t")
        .workers(2)
        .start();
    let job = queue.put("t", r#"{"abort": true}"#);
    queue.put_all("t", (0..200).map(|number| number.to_string()));
    daemon.wait_for_total("done", 200);
    queue.wait_for(job, JobState::Buried);
}

#[test]
fn a_bystander_in_the_same_worker_is_neither_blamed_nor_delayed() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--slots=2")
        .flag("--max-crashes=1")
        .start();
    let bystander = queue.put("t", r#"{"sleep_ms": 700}"#);
    daemon.wait_until_running(bystander);
    let poison = queue.put("t", r#"{"abort": true}"#);
    queue.wait_for(poison, JobState::Buried);
    daemon.wait_for_total("done", 1);
    queue.wait_until_gone(bystander);
    let blamed = daemon.lines_with(&["death certificate"]);
    assert_eq!(blamed.len(), 1, "{blamed:?}");
    assert!(blamed[0].contains(&format!("job={poison} ")), "{}", blamed[0]);
    assert!(
        daemon
            .lines_with(&[&format!("job={bystander} "), "not_executed"])
            .is_empty()
    );
}

#[test]
fn a_new_master_remembers_what_its_predecessor_saw() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = || {
        Host::new(&queue)
            .config(QUICK)
            .plugin("echo")
            .tube("t")
            .flag("--max-crashes=2")
    };
    let mut first = host().start();
    let pid_file = first.host().held().to_owned();
    let job = queue.put("t", r#"{"abort": true}"#);
    first.wait_for_line(&[&format!("job={job}"), "deaths=1"]);
    assert_eq!(first.stop(), Some(0));
    let second = host().pid_file(pid_file).start();
    queue.wait_for(job, JobState::Buried);
    second.wait_for_line(&[&format!("job={job}"), "deaths=2"]);
    assert_eq!(second.lines_with(&["death certificate"]).len(), 1);
}

#[test]
fn a_kicked_job_is_tried_again() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .config(QUICK)
        .plugin("echo")
        .tube("t")
        .flag("--max-crashes=1")
        .start();
    let job = queue.put("t", r#"{"abort": true}"#);
    queue.wait_for(job, JobState::Buried);
    queue.kick(job);
    eventually("it is tried once more", || {
        (daemon
            .lines_with(&[&format!("job={job}"), "death certificate"])
            .len()
            == 2)
            .then_some(())
    });
    queue.wait_for(job, JobState::Buried);
}

#[test]
fn a_delay_whose_release_was_lost_is_served_nevertheless() {
    let Some(queue) = Beanstalkd::start() else { return };
    let proxy = Proxy::spoiling(&queue, "release ", Spoil::CutBefore);
    let daemon = proxy
        .host()
        .config(QUICK)
        .plugin("echo")
        .tube("t")
        .workers(4)
        .flag("--max-crashes=2")
        .start();
    let job = queue.put("t", r#"{"abort": true}"#);
    queue.wait_for(job, JobState::Buried);
    let lines = daemon.lines_with(&[&format!("job={job}")]);
    let first = |part: &str| lines.iter().position(|line| line.contains(part));
    let again = lines.iter().rposition(|line| line.contains("bytes="));
    let served = first("settled=release delay=1s");
    assert!(first("settled=unknown").is_some(), "{lines:#?}");
    assert!(served.is_some() && served < again, "{lines:#?}");
    assert_eq!(daemon.lines_with(&["death certificate"]).len(), 2);
}

/// A job that ended the process without a signal beside others was buried, and they were done.
struct FoundOut {
    deaths: Vec<String>,
    certificates: Vec<String>,
}

#[track_caller]
fn end_the_process_beside_others(max_crashes: u32) -> Option<FoundOut> {
    let queue = Beanstalkd::start()?;
    let daemon = Host::new(&queue)
        .config(QUICK)
        .plugin("echo")
        .tube("t")
        .flag("--slots=4")
        .flag(format!("--max-crashes={max_crashes}"))
        .start();
    let beside = |count| (0..count).map(|_| r#"{"sleep_ms": 300}"#);
    queue.put_all("t", beside(3));
    let job = queue.put("t", r#"{"sleep_ms": 100, "exit": 3}"#);
    queue.put_all("t", beside(40));
    queue.wait_for(job, JobState::Buried);
    daemon.wait_for_total("done", 43);
    assert_eq!(daemon.total("buried"), 1, "nobody is buried for it");
    let certificates = daemon.lines_with(&["death certificate"]);
    let is_its_own = |line: &String| line.contains(&format!("job={job} "));
    assert!(certificates.iter().all(is_its_own), "{certificates:#?}");
    Some(FoundOut {
        deaths: daemon.lines_with(&["jobs=", " died"]),
        certificates,
    })
}

#[test]
fn a_job_that_ends_the_process_beside_others_is_found_out_and_they_are_done() {
    let Some(found) = end_the_process_beside_others(3) else {
        return;
    };
    let FoundOut { deaths, certificates } = found;
    assert_eq!(deaths.len(), 3, "no more than `max_crashes`: {deaths:#?}");
    let last = certificates.last().expect("it was proven at last");
    assert!(last.contains("deaths=3"), "{last}");
}

#[test]
fn one_death_beside_others_condemns_nobody_although_one_death_is_enough() {
    let Some(found) = end_the_process_beside_others(1) else {
        return;
    };
    let FoundOut { deaths, certificates } = found;
    assert_eq!(deaths.len(), 2, "one beside others, one alone: {deaths:#?}");
    assert_eq!(certificates.len(), 1, "{certificates:#?}");
}

#[test]
fn a_suspect_waits_for_the_jobs_beside_it_and_keeps_its_reservation_meanwhile() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .config(QUICK)
        .plugin("echo")
        .tube("t")
        .flag("--slots=2")
        .flag("--max-crashes=1")
        .start();
    // Long enough to be killed meanwhile, and a second to spare between two touches.
    let suspects = [(); 2].map(|()| queue.put_with_ttr("t", 2, r#"{"sleep_ms": 2000}"#));
    suspects.iter().for_each(|job| daemon.wait_until_running(*job));
    // It waits behind them already, so that it is the first that runs while they serve their delay.
    let long = queue.put("t", r#"{"sleep_ms": 4000}"#);
    processes::signal(daemon.workers()[0], Signal::SIGKILL);
    for job in suspects {
        daemon.wait_for_line(&[&format!("job={job}"), "suspected with the jobs beside it"]);
    }
    for job in [long, suspects[0], suspects[1]] {
        daemon.wait_for_line(&[&format!("job={job} "), "outcome=done"]);
    }
    let ends = daemon.lines_with(&["outcome=done"]);
    let is_first = ends[0].contains(&format!("job={long} "));
    assert!(is_first, "what ran beside them ended before: {ends:#?}");
    assert_eq!(ends.len(), 3, "{ends:#?}");
    assert_eq!(queue.stat("job-timeouts"), 0);
    queue.put("t", "1");
    daemon.wait_for_status("both slots reserve again", |status| {
        slots(status).all(|slot| slot["state"] == "idle")
    });
}
