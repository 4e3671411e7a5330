//! Jobs that come at a steady pace, one in a hundred of which fails, and 256 slots that are to keep up.

use std::{
    slice,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{SMALL, daemon, flat, plot};
use crate::{
    consumer::Consumer,
    drain::{self, Drained, View, Watcher, in_turn},
    load,
    rows::{Options, Tell},
    support::{Beanstalkd, queue::Listen},
    table::{Row, Target, grouped, median},
};

/// Jobs per second.
const PACE: f64 = 10_000.0;
/// One of so many fails.
const FAILING: u64 = 100;
const SLOTS: u32 = 256;
/// Between two looks at how many jobs are due.
const TURN: Duration = Duration::from_millis(1);
/// How long the consumer runs before it is watched, so that what failed first has come back, and most slots have seen a failure.
const WARM_UP: Duration = Duration::from_secs(10);
/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(20);
/// A failed job comes back after a second, and is buried when it fails again.
const CONFIG: &str = "[[pool]]\nmax_attempts = 2\nbackoff = { first = 1, factor = 1, jitter = 0 }\n";
/// More waiting jobs than come in so many seconds are a queue that grows.
const BEHIND: f64 = 0.1;

pub(super) fn rows(options: &Options, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    let raw = Consumer::raw(SLOTS as usize, "pair");
    let [ours, theirs] = in_turn(
        options.rounds.min(3),
        [&daemon(1, SLOTS, CONFIG), &raw],
        |consumer| keep_up(&queue, consumer),
    );
    let what = format!(
        "{} jobs/s, 1 in {FAILING} fails, 1 × {SLOTS}",
        grouped(PACE as u64)
    );
    let figures = |runs: &[Drained], figure: fn(&Drained) -> f64| runs.iter().map(figure).collect::<Vec<_>>();
    let [done, put] =
        [|run: &Drained| run.rate, |run: &Drained| run.put_rate].map(|rate| figures(&ours, rate));
    let row = Row::pairs(what.clone(), "jobs/s", &done, "put", &put, Target::AtLeast(0.99));
    tell(row.with_plot(plot(&what, &ours, &theirs)));
    let [cpu, raw] = [&ours, &theirs].map(|runs| figures(runs, |run| run.cpu_us));
    tell(Row::pairs(
        what.clone(),
        "CPU µs/job",
        &cpu,
        "raw client, none fails",
        &raw,
        Target::None,
    ));
    tell(Row::alone(
        format!("{what}: jobs that wait, at the end"),
        "jobs",
        &figures(&ours, waiting_at_the_end),
        Target::AtMost(PACE * BEHIND),
    ));
    tell(flat(&what, &ours));
}

/// What waits for a slot in the last quarter.
fn waiting_at_the_end(run: &Drained) -> f64 {
    let quarter = run.looks.len().div_ceil(4);
    let ready = run.looks[run.looks.len() - quarter..]
        .iter()
        .map(|look| look.ready as f64);
    median(&ready.collect::<Vec<_>>())
}

/// Watches a consumer of jobs that are put at that pace. Only the daemon looks into them, so only its jobs fail.
fn keep_up(queue: &Beanstalkd, consumer: &Consumer) -> Drained {
    let tube = drain::tube(queue);
    let running = consumer.start(queue, slice::from_ref(&tube));
    let over = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        scope.spawn(|| put_until(queue, &tube, &over));
        thread::sleep(WARM_UP);
        let mut watcher = Watcher::new(queue, &running, View::Memory);
        let until = Instant::now() + WATCHED;
        let mut looks = Vec::new();
        while Instant::now() < until || looks.len() < 2 {
            looks.push(watcher.look());
            watcher.pause();
        }
        over.store(true, Ordering::Relaxed);
        looks
    });
    let watched = Drained::of(&running, looks);
    drop(running);
    load::clear(queue, &tube);
    watched
}

/// Puts what is due at each turn, until it is over.
fn put_until(queue: &Beanstalkd, tube: &str, over: &AtomicBool) {
    let mut client = queue.client();
    client.use_tube(&load::name(tube)).expect("the tube is used");
    let begun = Instant::now();
    let mut put = 0;
    while !over.load(Ordering::Relaxed) {
        // A machine that held this thread up is not asked for everything at once.
        let due = ((begun.elapsed().as_secs_f64() * PACE) as u64).min(put + FAILING);
        let body = |id: u64| {
            let more = if id.is_multiple_of(FAILING) {
                r#","fails":true"#
            } else {
                ""
            };
            load::body(id, SMALL, more)
        };
        load::put_some(&mut client, (put..due).map(body)).expect("the jobs are put");
        put = due;
        thread::sleep(TURN);
    }
}
