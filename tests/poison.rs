//! Jobs that take their worker down, again and again.

use asynccall_client::protocol::JobState;

use crate::support::{
    Beanstalkd, Host, eventually,
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
    let (lost, served) = (first("settled=unknown"), first("settled=release delay=1s"));
    assert!(
        lost.is_some() && served.is_some() && lost < served && served < again,
        "{lines:#?}"
    );
    assert_eq!(daemon.lines_with(&["death certificate"]).len(), 2);
}
