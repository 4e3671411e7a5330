//! What a reload and a restart cost while everything works, and how soon a new daemon does its first job.

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use asynccall_client::connection::Connection;

use super::{Options, Tell};
use crate::{
    consumer, drain, load,
    support::{Beanstalkd, Daemon, eventually, queue::Listen},
    table::{Row, Target},
};

/// The size of a job's body, in bytes.
const SIZE: usize = 256;
/// How many times more jobs there are than a drain has: there are to be some left when the reload is over.
const MORE: u64 = 3;
/// How often the queue server is asked how far it is.
const LOOK: Duration = Duration::from_millis(20);
/// What the daemon does undisturbed is measured over so long, before and after.
const UNDISTURBED: Duration = Duration::from_secs(1);
/// The rate is back when it was there for so long.
const BACK_FOR: Duration = Duration::from_millis(200);
/// The part of the undisturbed rate that counts as being back: less than that is what it varies by.
const BACK: f64 = 0.9;
/// How long the daemon may take to tell of the last jobs: a slot reads the answer to a delete a moment after it has come.
const TELLING: Duration = Duration::from_secs(5);
/// Between the looks for a first job.
const GLANCE: Duration = Duration::from_millis(1);

pub(super) fn rows(options: &Options, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    for (what, words) in [
        ("reload", ["reload", "--wait"].as_slice()),
        ("restart", ["restart"].as_slice()),
    ] {
        let runs: Vec<Disturbed> = (0..options.rounds)
            .map(|_| disturb(&queue, options.jobs * MORE, words))
            .collect();
        let row = |name: &str, unit, figure: fn(&Disturbed) -> f64, target| {
            let figures: Vec<f64> = runs.iter().map(figure).collect();
            Row::alone(format!("{what} under full load: {name}"), unit, &figures, target)
        };
        tell(row(
            "jobs lost",
            "jobs",
            |run| run.lost as f64,
            Target::AtMost(0.0),
        ));
        tell(row(
            "jobs done twice or miscounted",
            "jobs",
            |run| run.again as f64,
            Target::AtMost(0.0),
        ));
        tell(row(
            "longest without progress",
            "s",
            |run| run.standstill,
            Target::AtMost(1.0),
        ));
        tell(row("work missed", "s", |run| run.missed, Target::AtMost(0.15)));
        tell(row("the command", "s", |run| run.took, Target::None));
    }
    first_job(&queue, &mut |_| {});
    let mut figures = Vec::new();
    (0..options.rounds * 2).for_each(|_| first_job(&queue, &mut |ms| figures.push(ms)));
    tell(Row::alone(
        "start to first job done, warm",
        "ms",
        &figures,
        Target::AtMost(150.0),
    ));
}

/// How a drain went that was disturbed.
struct Disturbed {
    /// Jobs that nobody deleted and that are not there any more.
    lost: u64,
    /// Jobs that the queue server gave out twice, or that the daemon has counted otherwise than the queue server.
    again: u64,
    /// The longest time between two looks without a job done, in seconds.
    standstill: f64,
    /// What would have been done meanwhile at the undisturbed rate and was not, in seconds of that rate.
    missed: f64,
    /// How long the command ran, in seconds.
    took: f64,
}

/// How many jobs were done at a time, in seconds since the first look.
#[derive(Clone, Copy)]
struct Look {
    at: f64,
    done: u64,
}

/// Runs a command of a daemon in the middle of a drain.
fn disturb(queue: &Beanstalkd, jobs: u64, words: &[&str]) -> Disturbed {
    let tube = drain::tube(queue);
    load::put(queue, &tube, (0..jobs).map(|id| load::body(id, SIZE, "")));
    let came_back = queue.stat("job-timeouts");
    let daemon = consumer::daemon(queue, 4, 1).tube(&tube).start();
    let mut control = queue.client();
    let mut watch = Watch::new(&mut control, &tube, jobs);
    watch.look_for(UNDISTURBED / 2);
    let first = watch.looks.len();
    watch.look_for(UNDISTURBED);
    let from = watch.looks.len() - 1;
    let took = watch.look_until_done(&daemon, words);
    let ended = watch.looks.len() - 1;
    watch.look_for(UNDISTURBED + BACK_FOR);
    let looks = &watch.looks;

    let before = rate(looks[first], looks[from]);
    let back = (ended..looks.len()).find(|at| is_back(looks, *at, BACK * before));
    let to = back.unwrap_or(looks.len() - 1);
    // The machine's own pace changes: what is expected lies between before and after.
    let after = rate(looks[to], looks[looks.len() - 1]);
    let expected = if to + 1 < looks.len() {
        (before + after) / 2.0
    } else {
        before
    };
    let (seconds, done) = (looks[to].at - looks[from].at, looks[to].done - looks[from].done);
    let missed = seconds - done as f64 / expected;
    let standstill = standstill(&looks[from..]);

    eventually("all jobs are done", || {
        (drain::stat(&mut control, &tube, "current-jobs-ready") == 0
            && drain::stat(&mut control, &tube, "current-jobs-reserved") == 0)
            .then_some(())
    });
    let deleted = drain::stat(&mut control, &tube, "cmd-delete");
    let told = told_done(&daemon, jobs);
    Disturbed {
        lost: jobs.saturating_sub(deleted),
        again: told.abs_diff(deleted) + queue.stat("job-timeouts") - came_back,
        standstill,
        missed,
        took,
    }
}

/// How many jobs the daemon says it has done, when it has said `jobs` or had time to.
fn told_done(daemon: &Daemon, jobs: u64) -> u64 {
    let until = Instant::now() + TELLING;
    loop {
        let told = daemon.total("done");
        if told >= jobs || Instant::now() > until {
            return told;
        }
        thread::sleep(LOOK);
    }
}

/// Looks at one tube again and again.
struct Watch<'a> {
    control: &'a mut Connection,
    tube: &'a str,
    jobs: u64,
    begun: Instant,
    looks: Vec<Look>,
}

impl<'a> Watch<'a> {
    fn new(control: &'a mut Connection, tube: &'a str, jobs: u64) -> Watch<'a> {
        Watch {
            control,
            tube,
            jobs,
            begun: Instant::now(),
            looks: Vec::new(),
        }
    }

    /// Looks for so long, or until nothing is left to do.
    fn look_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && self.looks.last().is_none_or(|last| last.done < self.jobs) {
            self.look();
        }
    }

    /// Looks while a command runs; answers how long it did, in seconds.
    #[track_caller]
    fn look_until_done(&mut self, daemon: &Daemon, words: &[&str]) -> f64 {
        let mut command = daemon.command(words);
        let begun = Instant::now();
        let mut child = command.stdout(Stdio::null()).spawn().expect("the command runs");
        loop {
            self.look();
            if let Some(ended) = child.try_wait().expect("it is our child") {
                assert!(ended.success(), "{words:?} failed");
                return begun.elapsed().as_secs_f64();
            }
        }
    }

    fn look(&mut self) {
        thread::sleep(LOOK);
        let done = drain::stat(self.control, self.tube, "cmd-delete");
        let at = self.begun.elapsed().as_secs_f64();
        self.looks.push(Look { at, done });
    }
}

/// Jobs per second between two looks; 0 between a look and itself.
fn rate(from: Look, to: Look) -> f64 {
    let seconds = to.at - from.at;
    if seconds > 0.0 {
        (to.done - from.done) as f64 / seconds
    } else {
        0.0
    }
}

/// Whether from this look on the rate is there.
fn is_back(looks: &[Look], at: usize, wanted: f64) -> bool {
    let until = looks[at].at + BACK_FOR.as_secs_f64();
    let then = looks[at..].iter().find(|look| look.at >= until);
    then.is_some_and(|then| rate(looks[at], *then) >= wanted)
}

/// The longest time from one look with progress to the next, in seconds.
fn standstill(looks: &[Look]) -> f64 {
    let mut longest = 0.0_f64;
    let mut last = looks[0];
    for look in looks {
        if look.done > last.done {
            longest = longest.max(look.at - last.at);
            last = *look;
        }
    }
    longest
}

/// Tells how long after its start a daemon has done a job that was there already, in milliseconds.
fn first_job(queue: &Beanstalkd, tell: &mut impl FnMut(f64)) {
    let tube = drain::tube(queue);
    load::put(queue, &tube, [load::body(0, SIZE, "")]);
    let host = consumer::daemon(queue, 1, 1).tube(&tube);
    let mut control = queue.client();
    let begun = Instant::now();
    let _daemon = host.spawn();
    while drain::stat(&mut control, &tube, "cmd-delete") == 0 {
        thread::sleep(GLANCE);
    }
    tell(begun.elapsed().as_secs_f64() * 1000.0);
}
