//! Handlers that spoil what their process shares with the host, while it serves.

use asynccall_client::protocol::JobState;

use crate::support::{Beanstalkd, Host, eventually, processes};

#[test]
fn a_handler_that_spoils_its_process_harms_no_later_job_and_no_reload() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = Host::new(&queue).plugin("vandal").tube("t").start();
    let settled = |deed: &str| daemon.wait_for_settled(queue.put("t", format!("\"{deed}\"")));
    assert!(settled("panic_in_a_thread").contains("outcome=done"));
    daemon.wait_for_line(&["panicked at ", "nobody waits for me"]);
    assert!(settled("leave").contains("outcome=done"));
    let panicked = settled("panic");
    assert!(
        panicked.contains("outcome=exception") && panicked.contains("the job gave up"),
        "{panicked}"
    );
    // Without the hook nobody knows the line any more; the panic is an answer all the same.
    assert!(settled("silence_panics").contains("outcome=done"));
    let panicked = settled("panic");
    assert!(
        panicked.contains("outcome=exception") && panicked.contains("the job gave up"),
        "{panicked}"
    );
    daemon.run(&["reload", "--wait"]).succeeded();
    assert!(settled("panic_in_a_thread").contains("outcome=done"));
    assert_eq!(daemon.status()["totals"]["crashed"], 0);
    // The handlers' goodbyes, and their last words when they are dropped, keep nobody from leaving in order.
    daemon.run(&["stop"]).succeeded();
    assert_eq!(daemon.wait_for_end(), Some(0));
    assert_eq!(
        daemon
            .lines_with(&["handler=vandal", "not without a goodbye"])
            .len(),
        2
    );
}

#[test]
fn a_handler_that_closes_what_it_has_not_opened_costs_its_worker_and_no_other_job() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = Host::new(&queue).plugin("vandal").tube("t").start();
    let (master, worker) = (daemon.pid(), daemon.workers()[0]);
    let closes = queue.put("t", "\"close_descriptors\"");
    eventually("the job does no more harm", || {
        let job = queue.job(closes);
        job.is_none_or(|job| job.state == JobState::Buried).then_some(())
    });
    processes::wait_until_gone(worker);
    let others: Vec<u64> = (0..20).map(|_| queue.put("t", "\"leave\"")).collect();
    for other in others {
        queue.wait_until_gone(other);
    }
    assert_eq!(daemon.pid(), master);
    daemon.run(&["reload", "--wait"]).succeeded();
    daemon.run(&["stop"]).succeeded();
    assert_eq!(daemon.wait_for_end(), Some(0));
}

#[test]
fn a_handler_that_takes_signals_away_keeps_no_worker_from_leaving() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = Host::new(&queue).plugin("vandal").tube("t").workers(2).start();
    let ignores = queue.put("t", "\"ignore_signals\"");
    daemon.wait_for_settled(ignores);
    let workers = daemon.workers();
    daemon.run(&["reload", "--wait"]).succeeded();
    workers.iter().copied().for_each(processes::wait_until_gone);
    daemon.wait_for_settled(queue.put("t", "\"ignore_signals\""));
    assert_eq!(daemon.stop(), Some(0));
    // Nobody had to be killed.
    assert!(daemon.lines_with(&["killed"]).is_empty(), "{}", daemon.log());
}
