//! What a daemon costs that has nothing to do, and how soon many workers are there.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Options, Tell};
use crate::{
    drain,
    process::{cpu_ns, pss_bytes},
    support::{Beanstalkd, Daemon, Host, eventually, plugins, processes, queue::Listen},
    table::{Row, Target},
};

/// How long idle processes are watched.
const WATCHED: Duration = Duration::from_secs(20);
/// How long a daemon is let alone before that.
const SETTLED: Duration = Duration::from_secs(3);
/// The workers of the pool that is watched.
const WORKERS: u32 = 8;
/// The workers of the pool whose start is timed.
const MANY: u32 = 64;
const MIB: f64 = 1024.0 * 1024.0;

pub(super) fn rows(options: &Options, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    let (_, one) = mailing(&queue, 1);
    thread::sleep(SETTLED);
    let pss_of_one = pss_bytes(&all(&one));
    drop(one);
    let (_, pool) = mailing(&queue, WORKERS);
    thread::sleep(SETTLED);
    let pids = all(&pool);
    let woken = || {
        let workers = pool.workers().into_iter();
        workers.map(processes::wake_ups).sum::<u64>()
    };
    let before = (woken(), cpu_ns(&pids), Instant::now());
    thread::sleep(WATCHED);
    let seconds = before.2.elapsed().as_secs_f64();
    let woken = (woken() - before.0) as f64 / f64::from(WORKERS) / seconds;
    let cpu_ms = (cpu_ns(&pids) - before.1) as f64 / 1e6 / seconds;
    let pss = (pss_bytes(&pids) as f64 - pss_of_one as f64) / f64::from(WORKERS - 1) / MIB;
    drop(pool);
    let what = format!("idle pool of {WORKERS} workers with the mailer");
    tell(Row::alone(
        format!("{what}: wake-ups of a worker"),
        "per s",
        &[woken],
        Target::AtMost(1.0),
    ));
    tell(Row::alone(
        format!("{what}: processor time, with the master"),
        "ms per s",
        &[cpu_ms],
        Target::AtMost(1.0),
    ));
    tell(Row::alone(
        format!("{what}: memory of each but the first"),
        "MiB PSS",
        &[pss],
        Target::AtMost(3.0),
    ));
    let ready = (0..options.rounds).map(|_| mailing(&queue, MANY).0.as_secs_f64());
    let ready: Vec<f64> = ready.collect();
    tell(Row::alone(
        format!("{MANY} workers with the mailer wait for jobs after"),
        "s",
        &ready,
        Target::AtMost(2.0),
    ));
}

/// A daemon with the mailer, and how long after its start all of its workers waited for a job.
fn mailing(queue: &Beanstalkd, workers: u32) -> (Duration, Daemon) {
    let tube = drain::tube(queue);
    let host = Host::new(queue).log_level("info").flag("--tube-naming=plain");
    let host = host
        .load(plugins::built("asynccall-mailer", "mailer"))
        .tube(&tube);
    let config = format!("[handler.mailer.file]\ndir = {:?}\n", host.directory().root());
    let host = host.config(&config).workers(workers);
    let mut control = queue.client();
    let begun = Instant::now();
    let daemon = host.spawn();
    eventually("all workers wait", || {
        let waiting = drain::stat(&mut control, &tube, "current-waiting");
        (waiting == u64::from(workers)).then_some(())
    });
    (begun.elapsed(), daemon)
}

/// The master and its workers.
fn all(daemon: &Daemon) -> Vec<u32> {
    let mut pids = daemon.workers();
    pids.push(daemon.pid());
    pids
}
