//! Stopping: running jobs end, or are given back; nobody is left behind.

use asynccall_client::protocol::JobState;
use nix::{
    sys::signal::Signal,
    unistd::{Pid, getpgid},
};
use serde_json::json;

use crate::support::{Beanstalkd, Daemon, Host, daemon::slots, plugin, processes, queue::PRIORITY};

/// A daemon with a handler at work on a job that takes `sleep_ms`.
#[track_caller]
fn at_work(queue: &Beanstalkd, sleep_ms: u32, flag: &str) -> (Daemon, u64) {
    let daemon = Host::new(queue).plugin("echo").tube("t").flag(flag).start();
    let job = queue.put("t", json!({"sleep_ms": sleep_ms}).to_string());
    daemon.wait_until_running(job);
    (daemon, job)
}

#[test]
fn term_and_int_let_a_running_job_end() {
    let Some(queue) = Beanstalkd::start() else { return };
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut daemon, job) = at_work(&queue, 1500, "--worker-num=1");
        let left = queue.put("t", "1");
        daemon.signal(signal);
        assert_eq!(daemon.wait_for_end(), Some(0));
        assert!(queue.job(job).is_none(), "it was deleted");
        assert_eq!(
            daemon
                .lines_with(&[&format!("job={job}"), "settled=delete"])
                .len(),
            1
        );
        assert_eq!(
            queue.job(left).map(|job| job.reserves),
            Some(0),
            "nothing more was reserved"
        );
        queue.delete(left);
        assert!(!daemon.host().held().exists(), "the pid file is gone");
    }
}

#[test]
fn a_second_term_gives_a_running_job_back() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (mut daemon, job) = at_work(&queue, 600_000, "--grace=3600");
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_line(&["stopping: running jobs may finish"]);
    assert_eq!(daemon.running(), [job]);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_for_end(), Some(0));
    let given_back = queue.job(job).expect("it is not deleted");
    assert_eq!((given_back.state, given_back.pri), (JobState::Ready, PRIORITY));
    assert_eq!((given_back.reserves, given_back.releases), (1, 1));
}

#[test]
fn a_job_that_outlives_the_grace_time_is_given_back() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, job) = at_work(&queue, 600_000, "--grace=1");
    let pid = daemon.pid();
    assert_eq!(daemon.run(&["stop"]).succeeded(), format!("stopped pid {pid}\n"));
    assert_eq!(queue.wait_for(job, JobState::Ready).releases, 1);
    daemon.wait_for_line(&[&format!("job={job}"), "settled=release"]);
}

#[test]
fn jobs_whose_handlers_give_up_at_once_when_the_grace_time_is_over_have_not_failed() {
    const JOBS: usize = 32;
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag(format!("--slots={JOBS}"))
        .flag("--grace=0")
        .start();
    let jobs = queue.put_all("t", (0..JOBS).map(|_| r#"{"until_cancelled": true}"#));
    daemon.wait_for_status("all run", |status| {
        slots(status).filter(|slot| slot["state"] == "running").count() == JOBS
    });
    daemon.stop();
    for job in jobs {
        let given_back = queue.job(job).expect("it is not deleted");
        assert_eq!((given_back.state, given_back.releases), (JobState::Ready, 1));
    }
}

#[test]
fn a_job_that_was_given_back_runs_again() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, job) = at_work(&queue, 600_000, "--grace=0");
    daemon.run(&["stop"]).succeeded();
    let again = Host::new(&queue).plugin("echo").tube("t").start();
    again.wait_until_running(job);
}

#[test]
fn the_stop_command_waits_for_running_jobs() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (mut daemon, job) = at_work(&queue, 1500, "--grace=60");
    daemon.run(&["stop"]).succeeded();
    assert!(
        queue.job(job).is_none(),
        "the job has ended when the command returns"
    );
    assert_eq!(daemon.wait_for_end(), Some(0));
}

#[test]
fn an_idle_daemon_does_not_wait_for_its_reserves_to_stop() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--slots=8");
    let mut daemon = host.flag("--reserve-timeout=86400").flag("--grace=86400").start();
    daemon.wait_for_status("all slots wait", |status| {
        crate::support::daemon::slots(status).all(|slot| slot["state"] == "idle")
    });
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_daemon_that_cannot_reach_its_queue_server_stops_as_well() {
    let host = Host::unconnected().flag(format!("--port={}", crate::support::queue::free_port()));
    let mut daemon = host.plugin("echo").tube("t").start();
    daemon.wait_for_line(&["cannot reach the queue server"]);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn workers_of_a_killed_master_end_their_jobs_and_leave_and_a_new_master_starts_at_once() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (mut daemon, job) = at_work(&queue, 2000, "--worker-num=2");
    let workers = daemon.workers();
    assert_eq!(workers.len(), 2);
    daemon.signal(Signal::SIGKILL);
    assert_eq!(daemon.wait_for_end(), None, "a signal ended it");

    let pid_file = daemon.host().held().to_owned();
    assert!(pid_file.exists(), "nobody was there to remove it");
    let next = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .pid_file(&pid_file)
        .start();

    workers.into_iter().for_each(processes::wait_until_gone);
    assert!(queue.job(job).is_none(), "the job was done");
    assert_eq!(
        daemon
            .lines_with(&[&format!("job={job}"), "settled=delete"])
            .len(),
        1
    );
    assert_eq!(next.total("done"), 0);
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn a_killed_worker_is_replaced_and_its_job_comes_back() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, job) = at_work(&queue, 2000, "--worker-num=1");
    let worker = daemon.workers()[0];
    processes::signal(worker, Signal::SIGKILL);
    // A job that was running is under suspicion, and comes back after a delay.
    let line = daemon.wait_for_line(&["ended=SIGKILL", "crashed"]);
    assert!(line.contains(&format!("job={job} ")), "{line}");
    queue.wait_until_gone(job);
    assert_ne!(daemon.workers()[0], worker);
    assert_eq!(
        daemon.status()["totals"],
        json!({"done": 1, "released": 1, "buried": 0, "failed": 0, "crashed": 1})
    );
}

#[test]
fn a_worker_that_is_told_to_end_by_a_signal_ends_its_job_first() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (daemon, job) = at_work(&queue, 1500, "--worker-num=1");
    let worker = daemon.workers()[0];
    processes::signal(worker, Signal::SIGTERM);
    processes::wait_until_gone(worker);
    assert!(queue.job(job).is_none(), "the job was done");
    let next = queue.put("t", "1");
    queue.wait_until_gone(next);
    assert_eq!(daemon.total("crashed"), 0);
}

#[test]
fn workers_lead_process_groups_of_their_own() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").workers(2).start();
    for worker in daemon.workers() {
        let pid = Pid::from_raw(worker.cast_signed());
        assert_eq!(getpgid(Some(pid)), Ok(pid), "a ^C reaches the master alone");
    }
}

#[test]
fn a_daemon_that_still_loads_its_plugins_stops() {
    let host = Host::unconnected()
        .load(plugin("stillborn"))
        .config("[handler.stillborn]\nhow = \"hang\"\n");
    let mut daemon = host.spawn();
    daemon.wait_for_line(&["worker=0", "starting"]);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_worker_that_does_not_react_is_killed_and_its_job_comes_back() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (mut daemon, job) = at_work(&queue, 600_000, "--grace=0");
    let worker = daemon.workers()[0];
    processes::signal(worker, Signal::SIGSTOP);
    assert_eq!(daemon.stop(), Some(0));
    daemon.wait_for_line(&["killing: it did not leave"]);
    assert!(!processes::lives(worker));
    queue.wait_for(job, JobState::Ready);
}
