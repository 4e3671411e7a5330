//! How long a job takes to its handler, and its answer to the queue server: one at a time, and under load.
//!
//! Nothing is asked of the server meanwhile: whoever asks for a job until it is gone keeps a processor busy that the
//! consumer would have. That a job is deleted is seen on the loopback device.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use asynccall_client::connection::Connection;
use asynccall_host::ipc::row::monotonic_ns;

use super::{Options, Tell};
use crate::{
    consumer::{self, Consumer},
    drain, load,
    support::{Beanstalkd, Daemon, Directory, Host, eventually, queue::Listen},
    table::{Row, Target, quantile},
    tap::Tap,
};

/// The jobs of a run with nothing else to do.
const IDLE_JOBS: u64 = 200;
/// How many runs each consumer has in a round: where the scheduler puts the processes of a run decides about more than the
/// consumers do.
const RUNS: usize = 8;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(2);
/// How long a run under load is.
const LOADED: Duration = Duration::from_millis(500);
/// Under load, between two looks at how many jobs are due.
const TURN: Duration = Duration::from_micros(500);
/// The parts of all jobs that a figure is the most of.
const PARTS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)];

/// The handler of whom the stamps are.
#[derive(Clone, Copy)]
enum Who {
    Daemon,
    Raw,
    /// The raw client as a process for each connection: each waits for its own, as the daemon's slots do.
    RawProcesses,
}

impl Who {
    fn name(self, slots: u32) -> String {
        match self {
            Who::Daemon => "daemon".to_owned(),
            Who::Raw => "raw client".to_owned(),
            Who::RawProcesses => format!("raw client, {slots} processes"),
        }
    }
}

/// What is timed.
#[derive(Clone, Copy)]
enum Way {
    /// From before a job's put to its handler.
    ToHandler,
    /// From its handler's answer until the server has answered its delete.
    ToDeleted,
}

/// How jobs are put.
#[derive(Clone, Copy)]
enum Load {
    OneByOne,
    /// So many per second.
    Rate(f64),
}

pub(super) fn rows(options: &Options, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    let rate = half_load(&queue, options);
    let cases = [
        ("idle, 1 × 1".to_owned(), 1, Load::OneByOne),
        ("idle, 1 × 4".to_owned(), 4, Load::OneByOne),
        (format!("{rate:.0} jobs/s, 1 × 4"), 4, Load::Rate(rate)),
    ];
    for (case, slots, load) in cases {
        for (what, way) in [
            ("put to handler", Way::ToHandler),
            ("answer to deleted", Way::ToDeleted),
        ] {
            if matches!(way, Way::ToDeleted) && !can_tap(&queue, what) {
                continue;
            }
            let others = match slots {
                1 => &[Who::Raw][..],
                _ => &[Who::Raw, Who::RawProcesses],
            };
            let rounds: Vec<_> = (0..options.rounds)
                .map(|_| in_turn(&queue, others, slots, load, way))
                .collect();
            for (part, at) in PARTS {
                let target = if part == "p50" {
                    Target::AtMost(1.1)
                } else {
                    Target::None
                };
                let ours: Vec<f64> = rounds.iter().map(|(ours, _)| quantile(ours, at)).collect();
                for (index, who) in others.iter().enumerate() {
                    let theirs = rounds.iter().map(|(_, theirs)| quantile(&theirs[index], at));
                    let theirs: Vec<f64> = theirs.collect();
                    let what = format!("{what}, {case}, {part}");
                    tell(Row::pairs(what, "µs", &ours, who.name(slots), &theirs, target));
                }
            }
        }
    }
}

#[allow(clippy::print_stderr, reason = "for whoever runs it")]
fn can_tap(queue: &Beanstalkd, what: &str) -> bool {
    let tap = Tap::on(queue.port());
    if let Err(error) = &tap {
        eprintln!("left out: {what}, since only root sees packets of the loopback device ({error})");
    }
    tap.is_ok()
}

/// Half of what the queue server can do where every job is put and taken, in jobs per second: of the raw client's drain and of
/// puts in bulk.
fn half_load(queue: &Beanstalkd, options: &Options) -> f64 {
    let raw = Consumer::raw(4, "pair");
    let drained = drain::drain(queue, &raw, options.jobs, 256).rate;
    let tube = drain::tube(queue);
    let begun = Instant::now();
    load::put(queue, &tube, (0..options.jobs).map(|id| load::body(id, 256, "")));
    let put = options.jobs as f64 / begun.elapsed().as_secs_f64();
    load::clear(queue, &tube);
    0.5 / (1.0 / put + 1.0 / drained)
}

/// What each job of a round took with the daemon and with each of the others, whose runs take turns, in microseconds.
fn in_turn(
    queue: &Beanstalkd,
    others: &[Who],
    slots: u32,
    load: Load,
    way: Way,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (mut ours, mut theirs) = (Vec::new(), vec![Vec::new(); others.len()]);
    for _ in 0..RUNS {
        ours.extend(measure(queue, Who::Daemon, slots, load, way));
        for (who, took) in others.iter().zip(&mut theirs) {
            took.extend(measure(queue, *who, slots, load, way));
        }
    }
    (ours, theirs)
}

/// What each job of a run took, in microseconds.
fn measure(queue: &Beanstalkd, who: Who, slots: u32, load: Load, way: Way) -> Vec<f64> {
    let tube = drain::tube(queue);
    let directory = Directory::new();
    let tap = match way {
        Way::ToHandler => None,
        Way::ToDeleted => Some(Tap::on(queue.port()).expect("it was allowed before")),
    };
    let mut consumer = Stamping::start(queue.port(), &tube, who, slots, &directory);
    let mut client = queue.client();
    client.use_tube(&load::name(&tube)).expect("the tube is used");
    eventually("all reserves wait", || {
        (drain::stat(&mut client, &tube, "current-waiting") == u64::from(slots)).then_some(())
    });
    let put = match load {
        Load::OneByOne => one_by_one(&mut client),
        Load::Rate(rate) => at_rate(&mut client, rate),
    };
    eventually("all jobs are done", || {
        let left = ["current-jobs-ready", "current-jobs-reserved"];
        let left = left.map(|key| drain::stat(&mut client, &tube, key));
        (left == [0, 0]).then_some(())
    });
    let stamps = consumer.end(&directory);
    let us = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1000.0;
    let Some(tap) = tap else {
        return put.iter().map(|(id, at)| us(*at, stamps[id][0])).collect();
    };
    let deletes = tap.deletes();
    assert_eq!(
        deletes.len(),
        put.len(),
        "all deletes are seen on the loopback device"
    );
    deletes.iter().map(|(id, at)| us(stamps[id][1], *at)).collect()
}

/// Puts jobs with a pause after each: their ids, and when each was about to be put.
fn one_by_one(client: &mut Connection) -> Vec<(u64, u64)> {
    let put = |_| {
        thread::sleep(PAUSE);
        let at = monotonic_ns();
        let id = client
            .put(0, 0, 600, &load::body(0, 256, ""))
            .expect("the job is put");
        (id.0, at)
    };
    (0..IDLE_JOBS).map(put).collect()
}

/// Puts jobs as they come due; those of one turn go out together.
fn at_rate(client: &mut Connection, rate: f64) -> Vec<(u64, u64)> {
    let body = load::body(0, 256, "");
    let begun = Instant::now();
    let mut put = Vec::new();
    while begun.elapsed() < LOADED {
        thread::sleep(TURN);
        let due = (begun.elapsed().as_secs_f64() * rate) as usize;
        let at = monotonic_ns();
        let ids = load::put_some(client, (put.len()..due).map(|_| body.clone()));
        put.extend(ids.expect("the jobs are put").into_iter().map(|id| (id.0, at)));
    }
    put
}

/// A consumer that notes when jobs came and were answered.
enum Stamping {
    Daemon(Box<Daemon>),
    Raw(Vec<Child>),
}

impl Stamping {
    fn start(port: u16, tube: &str, who: Who, slots: u32, directory: &Directory) -> Stamping {
        match who {
            Who::Daemon => {
                let config = format!("[handler.stopwatch]\nstamps = {:?}\n", directory.root());
                let host = Host::unconnected().flag(format!("--port={port}"));
                let host = consumer::with_stopwatch(host, 1, slots).config(&config);
                Stamping::Daemon(Box::new(host.tube(tube).start()))
            }
            Who::Raw => Stamping::Raw(vec![start_raw(port, tube, slots, &directory.path("raw"))]),
            Who::RawProcesses => {
                let start = |number| start_raw(port, tube, 1, &directory.path(format!("raw{number}")));
                Stamping::Raw((0..slots).map(start).collect())
            }
        }
    }

    /// Ends it, and reads what it noted: for each id, when it came and when it was answered.
    fn end(&mut self, directory: &Directory) -> HashMap<u64, [u64; 2]> {
        match self {
            Stamping::Daemon(daemon) => {
                daemon.stop();
            }
            Stamping::Raw(children) => {
                for child in children {
                    drop(child.stdin.take());
                    child.wait().expect("it is our child");
                }
            }
        }
        let files = fs::read_dir(directory.root()).expect("a directory");
        let texts = files.map(|file| fs::read_to_string(file.expect("a file").path()).expect("a text"));
        let texts: Vec<String> = texts.collect();
        let stamp = |line: &str| {
            let mut numbers = line.split(' ').map(|word| word.parse().expect("a number"));
            let mut next = || numbers.next().expect("three numbers");
            (next(), [next(), next()])
        };
        texts.iter().flat_map(|text| text.lines()).map(stamp).collect()
    }
}

/// A process of the raw client that notes its stamps in that file.
fn start_raw(port: u16, tube: &str, connections: u32, stamps: &Path) -> Child {
    let address = format!("127.0.0.1:{port}").parse().expect("an address");
    let mut command = consumer::raw(&address, tube);
    command.arg(format!("--connections={connections}"));
    command.arg("--stamps").arg(stamps);
    command.stdin(Stdio::piped()).spawn().expect("this program")
}
