//! Connections to the queue server that break at any byte, or fall silent: what became of every job is known, and
//! work goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use asynccall_client::protocol::JobState;

use crate::support::{
    Beanstalkd, Daemon, Host, PATIENCE, Proxy, eventually,
    proxy::{Fate, Judge, Way},
    queue::php_tube,
};

/// Lengths in bytes, of commands and answers in each dialogue.
const WATCHES: usize = "watch t\r\nwatch 1234567890\r\nignore default\r\n".len();
const WATCHED: usize = 3 * "WATCHING 2\r\n".len();
const RESERVE: usize = "reserve-with-timeout 1\r\n".len();
const RESERVED: usize = "RESERVED 1000 13\r\n\r\n".len();
/// Of a job's statistics, about.
const STATS: usize = 360;

/// A daemon that reaches its queue server through a proxy.
fn patient_host(proxy: &Proxy) -> Host {
    Host::unconnected()
        .flag(format!("--port={}", proxy.port()))
        .plugin("echo")
        .tube("t")
        .log_level("info,echo=debug")
}

/// The same with reserves that are over soon.
fn host(proxy: &Proxy) -> Host {
    patient_host(proxy).flag("--reserve-timeout=1")
}

/// Every place in a dialogue of these lengths at which a connection can be cut.
fn places(to_server: usize, to_worker: usize) -> Vec<(Way, usize)> {
    let place = |way, length| (0..=length).map(move |at| (way, at));
    place(Way::ToServer, to_server)
        .chain(place(Way::ToWorker, to_worker))
        .collect()
}

/// A proxy that cuts each of the first connections at a place of its own. Those after them wait until all are cut, so
/// that there are jobs for each.
fn cutting_proxy(queue: &Beanstalkd, places: Vec<(Way, usize)>) -> (Proxy, Arc<AtomicUsize>) {
    let all = places.len();
    let cut = Arc::new(AtomicUsize::new(0));
    let counted = cut.clone();
    let proxy = Proxy::start(queue, move |number| match places.get(number) {
        Some((way, at)) => cut_at(*way, *at, counted.clone()),
        None => pass_after(all, counted.clone()),
    });
    (proxy, cut)
}

fn cut_at(wanted: Way, at: usize, cut: Arc<AtomicUsize>) -> Judge {
    let mut passed = 0;
    Box::new(move |way, bytes| {
        if way != wanted {
            return Fate::Pass;
        }
        let left = at - passed;
        if left > bytes.len() {
            passed += bytes.len();
            return Fate::Pass;
        }
        cut.fetch_add(1, Ordering::SeqCst);
        Fate::Cut(left)
    })
}

fn pass_after(all: usize, cut: Arc<AtomicUsize>) -> Judge {
    Box::new(move |_, _| {
        while cut.load(Ordering::SeqCst) < all {
            thread::sleep(Duration::from_millis(5));
        }
        Fate::Pass
    })
}

/// A daemon whose connections were cut everywhere, and the jobs that it was given meanwhile.
struct Aftermath {
    daemon: Daemon,
    jobs: Vec<u64>,
    _proxy: Proxy,
}

/// Cuts a connection at each of these places while such jobs are done, and waits until there is nothing left to do and
/// everything works again.
#[track_caller]
fn cut_everywhere(queue: &Beanstalkd, places: Vec<(Way, usize)>, body: &str) -> Aftermath {
    let all = places.len();
    let slots = all as u64;
    let jobs = queue.put_all("t", (0..3 * all).map(|_| body));
    let (proxy, cut) = cutting_proxy(queue, places);
    let daemon = host(&proxy).flag(format!("--slots={slots}")).start();
    eventually("every connection is cut", || {
        (cut.load(Ordering::SeqCst) >= all).then_some(())
    });
    eventually("every job is done", || {
        let open = ["ready", "reserved", "delayed"].map(|state| format!("current-jobs-{state}"));
        let open = open.iter().map(|key| queue.tube_stat("t", key)).sum::<u64>();
        (open == 0).then_some(())
    });
    // The first ones had no connection yet that watched anything.
    for tube in ["t", &php_tube("t")] {
        eventually("every slot watches every tube again", || {
            (queue.tube_stat(tube, "current-watching") == slots).then_some(())
        });
        let job = queue.put(tube, body);
        daemon.wait_for_line(&[&format!("job={job}"), "tag="]);
    }
    assert_eq!(daemon.lines_with(&["starting"]).len(), 1, "no worker was lost");
    assert_eq!(daemon.total("crashed"), 0);
    Aftermath {
        daemon,
        jobs,
        _proxy: proxy,
    }
}

impl Aftermath {
    /// How often each job was executed, and how many of `lines` tell of it.
    fn executions_and(&self, lines: &[String]) -> Vec<(u64, usize, usize)> {
        let executions = self.daemon.executions();
        let jobs = self.jobs.iter().map(|job| {
            let id = format!(" job={job} ");
            let told = lines.iter().filter(|line| line.contains(&id)).count();
            (*job, executions.get(job).copied().unwrap_or(0), told)
        });
        jobs.collect()
    }

    /// That each job was executed, more than once only for a cause that is logged, and is where it should be.
    #[track_caller]
    fn assert_accounted_for(&self, queue: &Beanstalkd, end: Option<JobState>) {
        let mut causes = self.daemon.lines_with(&["job=", "the connection was lost"]);
        causes.extend(
            self.daemon
                .lines_with(&["settled=unknown", "handed out again before"]),
        );
        for (job, count, known) in self.executions_and(&causes) {
            assert!(
                (1..=1 + known).contains(&count),
                "job {job} ran {count} times, and the log tells of {known} reasons"
            );
            assert_eq!(queue.job(job).map(|job| job.state), end, "job {job}");
        }
    }
}

#[test]
fn a_connection_may_be_cut_at_every_byte_of_a_jobs_dialogue() {
    let Some(queue) = Beanstalkd::start() else { return };
    let to_server = WATCHES + RESERVE + "delete 100\r\n".len() + RESERVE;
    let to_worker = WATCHED + RESERVED + "1".len() + "DELETED\r\n".len() + RESERVED;
    let aftermath = cut_everywhere(&queue, places(to_server, to_worker), "1");
    aftermath.assert_accounted_for(&queue, None);
}

#[test]
fn a_connection_may_be_cut_at_every_byte_of_a_question_and_a_burial() {
    let Some(queue) = Beanstalkd::start() else { return };
    let body = r#"{"bury": "x"}"#;
    let to_server = WATCHES + RESERVE + "stats-job 1000\r\n".len() + "bury 1000 4242\r\n".len() + RESERVE;
    let to_worker = WATCHED + RESERVED + body.len() + STATS + "BURIED\r\n".len() + RESERVED;
    let aftermath = cut_everywhere(&queue, places(to_server, to_worker), body);
    aftermath.assert_accounted_for(&queue, Some(JobState::Buried));
}

#[test]
fn a_job_that_asks_to_run_at_most_once_does_so_wherever_its_connection_is_cut() {
    let Some(queue) = Beanstalkd::start() else { return };
    let body = r#"{"noRetry": true}"#;
    let to_server = WATCHES + RESERVE + "delete 1000\r\n".len() + RESERVE;
    let to_worker = WATCHED + RESERVED + body.len() + "DELETED\r\n".len() + RESERVED + body.len();
    let aftermath = cut_everywhere(&queue, places(to_server, to_worker), body);
    let refusals = aftermath.daemon.lines_with(&["settled=unknown", "not executed"]);
    let mut left_out = 0;
    for (job, count, told) in aftermath.executions_and(&refusals) {
        assert!(count <= 1, "job {job} ran {count} times");
        assert!(
            count + told >= 1,
            "job {job} was not executed, and the log does not say why"
        );
        left_out += 1 - count;
    }
    assert!(left_out > 0, "none was cut between its delete and the answer");
}

/// A proxy whose first connection falls silent with these bytes of the worker. `passes`: the server still sees them.
fn silent_proxy(queue: &Beanstalkd, at: &'static [u8], passes: bool) -> Proxy {
    Proxy::start(queue, move |number| {
        let mut was_there = false;
        Box::new(move |way, bytes| {
            if number > 0 {
                return Fate::Pass;
            }
            let is_there = way == Way::ToServer && bytes.windows(at.len()).any(|window| window == at);
            let is_silent = was_there || (is_there && !passes);
            was_there |= is_there;
            match is_silent {
                true => Fate::Swallow,
                false => Fate::Pass,
            }
        })
    })
}

/// Waits until the worker has noticed that its connection is silent, by that command.
#[track_caller]
fn wait_until_noticed(daemon: &Daemon, command: &str) {
    let doing = format!("while waiting for the reply to `{command}`");
    daemon.wait_for_line(&[
        " WARN ",
        "connection to the queue server lost",
        "timed out",
        &doing,
    ]);
    daemon.wait_for_line(&["connected again"]);
}

#[test]
fn a_queue_server_that_takes_a_connection_and_says_nothing_is_left_for_another_connection() {
    let Some(queue) = Beanstalkd::start() else { return };
    let proxy = silent_proxy(&queue, b"watch ", false);
    let daemon = host(&proxy).start();
    wait_until_noticed(&daemon, "watch");
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn a_connection_that_falls_silent_while_a_reserve_waits_is_noticed_and_its_job_done() {
    let Some(queue) = Beanstalkd::start() else { return };
    let proxy = silent_proxy(&queue, b"reserve-with-timeout 1", true);
    let daemon = host(&proxy).start();
    eventually("the reserve waits", || {
        (queue.tube_stat("t", "current-waiting") == 1).then_some(())
    });
    // While the reserve lasts, the server hands it to a worker that never hears of it.
    let job = queue.put("t", "1");
    wait_until_noticed(&daemon, "reserve-with-timeout");
    queue.wait_until_gone(job);
    assert_eq!(daemon.executions()[&job], 1);
}

#[test]
fn a_reserve_is_asked_for_in_pieces_that_are_short_enough_to_notice_a_silent_connection() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (asked, reserves) = mpsc::channel();
    let proxy = Proxy::start(&queue, move |_| {
        let asked = asked.clone();
        Box::new(move |way, bytes| {
            if way == Way::ToServer && bytes.starts_with(b"reserve") {
                // Only the first is waited for.
                let _ = asked.send(String::from_utf8_lossy(bytes).into_owned());
            }
            Fate::Pass
        })
    });
    let _daemon = patient_host(&proxy).flag("--reserve-timeout=86400").start();
    let reserve = reserves.recv_timeout(PATIENCE).expect("the worker reserves");
    assert_eq!(reserve, "reserve-with-timeout 30\r\n");
}

#[test]
fn a_connection_that_falls_silent_before_a_touch_costs_no_second_execution_here() {
    let Some(queue) = Beanstalkd::start() else { return };
    let proxy = silent_proxy(&queue, b"touch ", false);
    let daemon = host(&proxy).start();
    let job = queue.put_with_ttr("t", 2, r#"{"sleep_ms": 3000}"#);
    assert_made_up_for(&daemon, &queue, job);
    assert_eq!(daemon.lines_with(&["cannot touch the job", "timed out"]).len(), 1);
}

#[test]
fn a_connection_that_falls_silent_before_a_settlement_is_noticed_and_the_settlement_made_up_for() {
    let Some(queue) = Beanstalkd::start() else { return };
    let proxy = silent_proxy(&queue, b"delete ", false);
    let daemon = host(&proxy).start();
    let job = queue.put("t", "1");
    assert_made_up_for(&daemon, &queue, job);
    wait_until_noticed(&daemon, "delete");
}

/// That a job whose settlement was lost is settled on the next connection, and was executed once.
#[track_caller]
fn assert_made_up_for(daemon: &Daemon, queue: &Beanstalkd, job: u64) {
    let line = daemon.wait_for_settled(job);
    assert!(
        line.ends_with("settled=delete the connection was lost before the answer: it was deleted now"),
        "{line}"
    );
    queue.wait_until_gone(job);
    assert_eq!(daemon.executions()[&job], 1);
    let next = queue.put("t", "1");
    queue.wait_until_gone(next);
}
