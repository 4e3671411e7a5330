//! 100,000 jobs of 256 bytes: how fast they are done, and what each costs.

use super::{Options, Tell};
use crate::{
    consumer::Consumer,
    drain::{self, Drained, drain},
    process::Pinned,
    support::{Beanstalkd, queue::Listen},
    table::{Row, Target},
};

/// The size of a job's body, in bytes.
pub(super) const SIZE: usize = 256;

pub(super) fn rows(options: &Options, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    for (workers, slots) in [(4, 1), (1, 4)] {
        let raw = Consumer::raw(4, "pair");
        let processes = Consumer::raw_processes(4);
        let batch = Consumer::raw(4, "batch");
        let us = Consumer::daemon(workers, slots);
        let runs = in_turn(&queue, options, [&us, &raw, &processes, &batch]);
        let [us, raw, processes, batch] = &runs;
        let what = format!("drain, {workers} × {slots}");
        for (name, raw) in [("raw client", raw), ("raw client, 4 processes", processes)] {
            tell(rate(&what, us, name, raw, Target::AtLeast(0.95)));
        }
        tell(rate(&what, us, "batch ceiling", batch, Target::AtLeast(0.82)));
        // What it costs to be several processes is the layout's price, which the raw client pays as well.
        let targets = match workers {
            1 => [Target::AtMost(1.15), Target::None],
            _ => [Target::None, Target::AtMost(1.15)],
        };
        let [one, several] = targets;
        tell(cpu(&what, us, "raw client", raw, one));
        tell(cpu(&what, us, "raw client, 4 processes", processes, several));
        let unit = "server's CPU µs/job";
        tell(row(
            &what,
            unit,
            |run| run.server_us,
            [us, raw],
            "raw client",
            Target::None,
        ));
    }
    let at_four = {
        let _pinned = Pinned::to(0);
        let queue = Beanstalkd::start_in_memory(Listen::Tcp).expect("there is one already");
        let runs = in_turn(
            &queue,
            options,
            [&Consumer::daemon(1, 1), &Consumer::raw(1, "pair")],
        );
        let [us, raw] = &runs;
        let what = "drain, 1 × 1, on the server's core";
        tell(rate(what, us, "raw client", raw, Target::AtLeast(0.95)));
        tell(cpu(what, us, "raw client", raw, Target::AtMost(1.15)));
        Consumer::daemon(1, 4)
    };
    for slots in [16, 64, 256] {
        let us = Consumer::daemon(1, slots);
        let raw = Consumer::raw(slots as usize, "pair");
        let runs = in_turn(&queue, options, [&us, &at_four, &raw]);
        let [us, four, raw] = &runs;
        let what = format!("drain, 1 × {slots}");
        tell(rate(&what, us, "daemon, 1 × 4", four, Target::AtLeast(1.0)));
        tell(rate(&what, us, "raw client", raw, Target::None));
    }
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Unix) else {
        return;
    };
    for slots in [4, 16] {
        let us = Consumer::daemon(1, slots);
        let raw = Consumer::raw(slots as usize, "pair");
        let runs = in_turn(&queue, options, [&us, &raw]);
        let [us, raw] = &runs;
        let what = format!("drain, 1 × {slots}, Unix socket");
        tell(rate(&what, us, "raw client", raw, Target::AtLeast(0.9)));
        tell(cpu(&what, us, "raw client", raw, Target::None));
    }
}

/// What a raw client wins that reads ahead, as the daemon does not.
pub(super) fn ahead(options: &Options, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    for connections in [1, 4] {
        let ahead = Consumer::raw(connections, "ahead");
        let [ahead, batch] = &in_turn(&queue, options, [&ahead, &Consumer::raw(4, "batch")]);
        let what = format!("raw client with four jobs in flight on each of {connections} connections");
        tell(rate(&what, ahead, "batch ceiling", batch, Target::None));
    }
}

/// The drains of each, in turn, and as often as asked for.
fn in_turn<const N: usize>(
    queue: &Beanstalkd,
    options: &Options,
    consumers: [&Consumer; N],
) -> [Vec<Drained>; N] {
    drain::in_turn(options.rounds, consumers, |consumer| {
        drain(queue, consumer, options.jobs, SIZE)
    })
}

pub(super) fn rate(what: &str, ours: &[Drained], than: &str, theirs: &[Drained], target: Target) -> Row {
    row(what, "jobs/s", |run| run.rate, [ours, theirs], than, target)
}

pub(super) fn cpu(what: &str, ours: &[Drained], than: &str, theirs: &[Drained], target: Target) -> Row {
    row(what, "CPU µs/job", |run| run.cpu_us, [ours, theirs], than, target)
}

fn row(
    what: &str,
    unit: &'static str,
    pick: fn(&Drained) -> f64,
    runs: [&[Drained]; 2],
    than: &str,
    target: Target,
) -> Row {
    let [ours, theirs] = runs.map(|runs| runs.iter().map(pick).collect::<Vec<_>>());
    Row::pairs(what, unit, &ours, than, &theirs, target)
}
