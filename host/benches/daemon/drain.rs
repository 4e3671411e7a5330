//! A tube full of jobs is emptied, and how fast, and at what cost.

use std::{
    thread,
    time::{Duration, Instant},
};

use asynccall_client::connection::Connection;

use crate::{
    consumer::Consumer,
    load,
    process::cpu_ns,
    support::{Beanstalkd, eventually},
};

/// How often the queue server is asked how far it is.
const LOOK: Duration = Duration::from_millis(5);
/// A drain without progress for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How one drain went.
#[derive(Clone, Copy)]
pub(crate) struct Drained {
    /// Jobs per second.
    pub(crate) rate: f64,
    /// Processor time of the consumer's processes per job, in microseconds.
    pub(crate) cpu_us: f64,
    /// The same of the queue server.
    pub(crate) server_us: f64,
}

struct Look {
    at: Instant,
    deleted: u64,
    cpu: u64,
    server_cpu: u64,
}

/// Fills a tube, starts the consumer, and watches the tube being emptied.
///
/// The tube is paused until every connection of the consumer waits. Only the drain from a twentieth of the jobs to all but a
/// twentieth is measured, so neither the start nor the last jobs count.
pub(crate) fn drain(queue: &Beanstalkd, consumer: &Consumer, jobs: u64, size: usize) -> Drained {
    let tube = tube(queue);
    load::put(queue, &tube, (0..jobs).map(|id| load::body(id, size, "")));
    drain_filled(queue, consumer, &tube, jobs)
}

/// The same of a tube that is filled already.
pub(crate) fn drain_filled(queue: &Beanstalkd, consumer: &Consumer, tube: &str, jobs: u64) -> Drained {
    let mut control = queue.client();
    control
        .pause_tube(&load::name(tube), 3600)
        .expect("the tube is paused");
    let server = queue.stat("pid") as u32;
    let running = consumer.start(queue, tube);
    eventually("all reserves wait", || {
        (stat(&mut control, tube, "current-waiting") == consumer.waiting as u64).then_some(())
    });
    control
        .pause_tube(&load::name(tube), 0)
        .expect("the tube goes on");
    let mut look = || {
        let deleted = stat(&mut control, tube, "cmd-delete");
        Look {
            at: Instant::now(),
            deleted,
            cpu: cpu_ns(&running.pids),
            server_cpu: cpu_ns(&[server]),
        }
    };
    let begin = wait_for(&mut look, jobs / 20, &consumer.name);
    let end = wait_for(&mut look, jobs - jobs / 20, &consumer.name);
    drop(running);
    load::clear(queue, tube);
    let done = (end.deleted - begin.deleted) as f64;
    let per_job_us = |from: u64, to: u64| (to - from) as f64 / done / 1000.0;
    Drained {
        rate: done / (end.at - begin.at).as_secs_f64(),
        cpu_us: per_job_us(begin.cpu, end.cpu),
        server_us: per_job_us(begin.server_cpu, end.server_cpu),
    }
}

/// Drains of each consumer, in turn, and so many rounds of them.
pub(crate) fn in_turn<const N: usize>(
    rounds: usize,
    consumers: [&Consumer; N],
    mut drain: impl FnMut(&Consumer) -> Drained,
) -> [Vec<Drained>; N] {
    let mut runs = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (consumer, runs) in consumers.iter().zip(&mut runs) {
            runs.push(drain(consumer));
        }
    }
    runs
}

/// A tube that there was never before.
pub(crate) fn tube(queue: &Beanstalkd) -> String {
    format!("t{}", queue.stat("total-connections"))
}

fn wait_for(look: &mut impl FnMut() -> Look, count: u64, who: &str) -> Look {
    let mut progress = (0, Instant::now());
    loop {
        let now = look();
        if now.deleted >= count {
            return now;
        }
        if now.deleted > progress.0 {
            progress = (now.deleted, now.at);
        }
        assert!(
            progress.1.elapsed() < PATIENCE,
            "{who} is stuck at {} of {count} jobs",
            now.deleted
        );
        thread::sleep(LOOK);
    }
}

/// A number of a tube's statistics.
pub(crate) fn stat(control: &mut Connection, tube: &str, key: &str) -> u64 {
    let stats = control.stats_tube(&load::name(tube)).expect("beanstalkd answers");
    stats.map_or(0, |stats| stats.number(key).expect("a number of this name"))
}
