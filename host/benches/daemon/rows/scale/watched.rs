//! A drain of one tube or many, with throughput and memory as they were over time.

use std::{
    thread,
    time::{Duration, Instant},
};

use asynccall_client::connection::Connection;

use super::pause;
use crate::{
    consumer::{self, Running},
    process::{cpu_ns, pss_bytes},
    support::{Beanstalkd, eventually},
    table::median,
};

/// How often the queue server is asked how far it is, and the processes how large they are.
const LOOK: Duration = Duration::from_millis(20);
/// A drain without progress for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const MIB: f64 = 1024.0 * 1024.0;

/// Who takes the jobs.
pub(super) enum Who {
    /// The daemon, which replaces no worker: that would hide what grows.
    Daemon { workers: u32, slots: u32 },
    /// The raw client, as one process.
    Raw { connections: usize },
}

impl Who {
    pub(super) fn waiting(&self) -> u64 {
        match self {
            Who::Daemon { workers, slots } => u64::from(workers * slots),
            Who::Raw { connections } => *connections as u64,
        }
    }

    /// Starts it, and answers how long it took until all of its reserves waited.
    pub(super) fn start(&self, queue: &Beanstalkd, tubes: &[String], config: &str) -> (Running, Duration) {
        let mut control = queue.client();
        let waiting = self.waiting();
        let mut wait = || {
            eventually("all reserves wait", || {
                (number(&mut control, "current-waiting") == waiting).then_some(())
            });
        };
        match self {
            Who::Daemon { workers, slots } => {
                let host = consumer::daemon(queue, *workers, *slots).flag("--max-request=0");
                let host = match config {
                    "" => host,
                    config => host.config(config),
                };
                let host = tubes.iter().fold(host, |host, tube| host.tube(tube));
                let begun = Instant::now();
                let daemon = host.spawn();
                wait();
                let took = begun.elapsed();
                (Running::of_daemon(daemon), took)
            }
            Who::Raw { connections } => {
                let mut command = consumer::raw(queue.address(), &tubes[0]);
                command.args(tubes[1..].iter().map(|tube| format!("--tube={tube}")));
                command.arg(format!("--connections={connections}"));
                let begun = Instant::now();
                let running = Running::of_children([command]);
                wait();
                (running, begun.elapsed())
            }
        }
    }
}

/// A moment of a drain.
#[derive(Clone, Copy)]
pub(super) struct Look {
    at: Instant,
    /// Jobs deleted or buried.
    pub(super) done: u64,
    /// Jobs put.
    put: u64,
    pub(super) ready: u64,
    cpu: u64,
    pss: u64,
}

impl Look {
    /// Asks the server and the kernel.
    pub(super) fn now(control: &mut Connection, pids: &[u32]) -> Look {
        let stats = control.stats().expect("beanstalkd answers");
        let number = |key| stats.number(key).expect("a number of this name");
        Look {
            done: number("cmd-delete") + number("cmd-bury"),
            put: number("total-jobs"),
            ready: number("current-jobs-ready"),
            at: Instant::now(),
            cpu: cpu_ns(pids),
            pss: pss_bytes(pids),
        }
    }
}

/// How a drain went.
pub(super) struct Watched {
    /// Seconds from its start until the consumer waited for jobs.
    pub(super) start: f64,
    /// Jobs per second.
    pub(super) rate: f64,
    /// Jobs per second that were put meanwhile.
    pub(super) put_rate: f64,
    /// Processor time of the consumer's processes per job, in microseconds.
    pub(super) cpu_us: f64,
    pub(super) looks: Vec<Look>,
}

impl Watched {
    /// What these looks tell, at least two.
    pub(super) fn of(start: Duration, looks: Vec<Look>) -> Watched {
        let (first, last) = (looks[0], looks[looks.len() - 1]);
        let done = (last.done - first.done) as f64;
        Watched {
            start: start.as_secs_f64(),
            rate: done / (last.at - first.at).as_secs_f64(),
            put_rate: (last.put - first.put) as f64 / (last.at - first.at).as_secs_f64(),
            cpu_us: (last.cpu - first.cpu) as f64 / done / 1000.0,
            looks,
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        let last = self.looks[self.looks.len() - 1];
        (last.at - self.looks[0].at).as_secs_f64()
    }

    /// Jobs per second, from each look to the next.
    pub(super) fn rates(&self) -> Vec<f64> {
        let of =
            |pair: &[Look]| (pair[1].done - pair[0].done) as f64 / (pair[1].at - pair[0].at).as_secs_f64();
        self.looks.windows(2).map(of).collect()
    }

    /// The memory of all processes at each look (PSS).
    pub(super) fn mebibytes(&self) -> Vec<f64> {
        self.looks.iter().map(|look| look.pss as f64 / MIB).collect()
    }

    /// The memory in the last quarter as a part of that in the first.
    pub(super) fn memory_growth(&self) -> f64 {
        let memory = self.mebibytes();
        let quarter = memory.len().div_ceil(4);
        median(&memory[memory.len() - quarter..]) / median(&memory[..quarter])
    }
}

/// Starts the consumer of tubes that are full and paused, and watches them being emptied: from a twentieth of the jobs to
/// all but a twentieth, so that neither the start nor the last jobs count.
pub(super) fn drain(queue: &Beanstalkd, who: &Who, tubes: &[String], jobs: u64) -> Watched {
    let (running, start) = who.start(queue, tubes, "");
    let mut control = queue.client();
    let before = Look::now(&mut control, &running.pids).done;
    pause(&mut queue.client(), tubes, 0);
    let mut looks = Vec::new();
    let mut progress = (before, Instant::now());
    loop {
        let look = Look::now(&mut control, &running.pids);
        let done = look.done - before;
        if look.done > progress.0 {
            progress = (look.done, look.at);
        }
        assert!(progress.1.elapsed() < PATIENCE, "stuck at {done} of {jobs} jobs");
        if done >= jobs / 20 {
            looks.push(look);
        }
        if done >= jobs - jobs / 20 && looks.len() > 1 {
            break;
        }
        thread::sleep(LOOK);
    }
    eventually("nothing is left", || {
        let left = number(&mut control, "current-jobs-ready") + number(&mut control, "current-jobs-reserved");
        (left == 0).then_some(())
    });
    drop(running);
    Watched::of(start, looks)
}

/// A number of the server's statistics.
pub(super) fn number(control: &mut Connection, key: &str) -> u64 {
    let stats = control.stats().expect("beanstalkd answers");
    stats.number(key).expect("a number of this name")
}
