//! Tubes full of jobs are emptied: how fast, at what cost, and how it went over time.

use std::{
    slice, thread,
    time::{Duration, Instant},
};

use asynccall_client::connection::Connection;

use crate::{
    consumer::{Consumer, Running},
    load,
    process::{cpu_ns, pss_bytes},
    support::Beanstalkd,
    table::median,
};

/// A drain without progress for so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the kernel is asked for memory: it holds the processes up while it counts their pages.
const WEIGH: Duration = Duration::from_millis(200);
const MIB: f64 = 1024.0 * 1024.0;

/// How one drain went.
pub(crate) struct Drained {
    /// Seconds from the consumer's start until it waited for jobs.
    pub(crate) start: f64,
    /// Jobs per second.
    pub(crate) rate: f64,
    /// Jobs per second that were put meanwhile.
    pub(crate) put_rate: f64,
    /// Processor time of the consumer's processes per job, in microseconds.
    pub(crate) cpu_us: f64,
    /// The same of the queue server.
    pub(crate) server_us: f64,
    pub(crate) looks: Vec<Look>,
}

/// A moment of a drain.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    at: Instant,
    /// Jobs deleted or buried.
    done: u64,
    /// Jobs put.
    put: u64,
    pub(crate) ready: u64,
    cpu: u64,
    server_cpu: u64,
    /// The memory of the consumer's processes in bytes, as it was when it was last looked at; 0 where it is not.
    pss: u64,
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// How far it is, and what that has cost.
    Progress,
    /// Memory as well.
    Memory,
}

/// Looks at a consumer and its queue server, again and again.
pub(crate) struct Watcher<'a> {
    control: Connection,
    server: u32,
    running: &'a Running,
    view: View,
    /// When memory was last looked at, and what it was.
    weighed: Option<(Instant, u64)>,
}

impl Watcher<'_> {
    pub(crate) fn new<'a>(queue: &Beanstalkd, running: &'a Running, view: View) -> Watcher<'a> {
        Watcher {
            control: queue.client(),
            server: queue.stat("pid") as u32,
            running,
            view,
            weighed: None,
        }
    }

    /// Asks the server and the kernel.
    pub(crate) fn look(&mut self) -> Look {
        let stats = self.control.stats().expect("beanstalkd answers");
        let number = |key| stats.number(key).expect("a number of this name");
        Look {
            at: Instant::now(),
            done: number("cmd-delete") + number("cmd-bury"),
            put: number("total-jobs"),
            ready: number("current-jobs-ready"),
            cpu: cpu_ns(&self.running.pids),
            server_cpu: cpu_ns(&[self.server]),
            pss: self.weigh(),
        }
    }

    fn weigh(&mut self) -> u64 {
        match self.weighed {
            _ if self.view == View::Progress => 0,
            Some((at, pss)) if at.elapsed() < WEIGH => pss,
            _ => {
                let pss = pss_bytes(&self.running.pids);
                self.weighed = Some((Instant::now(), pss));
                pss
            }
        }
    }

    /// Lets some time pass until the next look.
    pub(crate) fn pause(&self) {
        thread::sleep(Duration::from_millis(match self.view {
            View::Progress => 5,
            View::Memory => 20,
        }));
    }
}

/// Fills a tube, starts the consumer, and watches the tube being emptied: see [`drain_filled`].
pub(crate) fn drain(queue: &Beanstalkd, consumer: &Consumer, jobs: u64, size: usize) -> Drained {
    let tube = tube(queue);
    load::put(queue, &tube, (0..jobs).map(|id| load::body(id, size, "")));
    drain_filled(queue, consumer, slice::from_ref(&tube), jobs, View::Progress)
}

/// Starts the consumer of tubes that are filled already, and watches them being emptied.
///
/// The tubes are paused until every connection of the consumer waits. Only the drain from a twentieth of the jobs to all but a
/// twentieth is measured, so neither the start nor the last jobs count.
pub(crate) fn drain_filled(
    queue: &Beanstalkd,
    consumer: &Consumer,
    tubes: &[String],
    jobs: u64,
    view: View,
) -> Drained {
    load::pause(queue, tubes, 3600);
    let running = consumer.start(queue, tubes);
    let mut watcher = Watcher::new(queue, &running, view);
    let before = watcher.look().done;
    load::pause(queue, tubes, 0);
    let mut looks = Vec::new();
    let mut progress = (before, Instant::now());
    loop {
        let look = watcher.look();
        let done = look.done - before;
        if look.done > progress.0 {
            progress = (look.done, look.at);
        }
        let name = &consumer.name;
        assert!(
            progress.1.elapsed() < PATIENCE,
            "{name} is stuck at {done} of {jobs} jobs"
        );
        if done >= jobs / 20 {
            looks.push(look);
        }
        if done >= jobs - jobs / 20 && looks.len() > 1 {
            break;
        }
        watcher.pause();
    }
    let drained = Drained::of(&running, looks);
    drop(running);
    tubes.iter().for_each(|tube| load::clear(queue, tube));
    drained
}

impl Drained {
    /// What these looks tell, at least two.
    pub(crate) fn of(running: &Running, looks: Vec<Look>) -> Drained {
        let (first, last) = (looks[0], looks[looks.len() - 1]);
        let seconds = (last.at - first.at).as_secs_f64();
        let done = (last.done - first.done) as f64;
        let per_job_us = |from: u64, to: u64| (to - from) as f64 / done / 1000.0;
        Drained {
            start: running.start.as_secs_f64(),
            rate: done / seconds,
            put_rate: (last.put - first.put) as f64 / seconds,
            cpu_us: per_job_us(first.cpu, last.cpu),
            server_us: per_job_us(first.server_cpu, last.server_cpu),
            looks,
        }
    }

    pub(crate) fn seconds(&self) -> f64 {
        let last = self.looks[self.looks.len() - 1];
        (last.at - self.looks[0].at).as_secs_f64()
    }

    /// Jobs per second, from each look to the next.
    pub(crate) fn rates(&self) -> Vec<f64> {
        let of =
            |pair: &[Look]| (pair[1].done - pair[0].done) as f64 / (pair[1].at - pair[0].at).as_secs_f64();
        self.looks.windows(2).map(of).collect()
    }

    /// The memory of all processes at each look (PSS).
    pub(crate) fn mebibytes(&self) -> Vec<f64> {
        self.looks.iter().map(|look| look.pss as f64 / MIB).collect()
    }

    /// The memory in the last quarter as a part of that in the first.
    pub(crate) fn memory_growth(&self) -> f64 {
        let memory = self.mebibytes();
        let quarter = memory.len().div_ceil(4);
        median(&memory[memory.len() - quarter..]) / median(&memory[..quarter])
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

/// A number of a tube's statistics.
pub(crate) fn stat(control: &mut Connection, tube: &str, key: &str) -> u64 {
    let stats = control.stats_tube(&load::name(tube)).expect("beanstalkd answers");
    stats.map_or(0, |stats| stats.number(key).expect("a number of this name"))
}
