//! Much of everything: many jobs, large ones, many tubes, many slots, jobs that take long. What the daemon delivers then,
//! and whether its memory grows meanwhile.

mod steady;
mod touches;

use super::{Options, Tell};
use crate::{
    consumer::Consumer,
    drain::{Drained, View, drain_filled, in_turn},
    load,
    plot::{Curve, Plot},
    support::{Beanstalkd, queue::Listen},
    table::{Row, Target, grouped},
};

/// The size of a small job's body, in bytes.
const SMALL: usize = 256;
/// The size of a large one: a little less than what the queue server takes.
const LARGE: usize = 60_000;
/// How many jobs in a row go into the same tube.
const IN_A_ROW: u64 = 50;
/// What memory may grow by while it counts as flat.
const FLAT: f64 = 1.1;

/// Jobs that are there already, and who does them.
struct Scene {
    what: String,
    tubes: usize,
    jobs: u64,
    size: usize,
    workers: u32,
    slots: u32,
    rounds: usize,
}

pub(super) fn rows(options: &Options, tell: Tell<'_>) {
    let scenes = [
        Scene {
            what: "many jobs".to_owned(),
            tubes: 1,
            jobs: options.jobs * 10,
            size: SMALL,
            workers: 4,
            slots: 1,
            rounds: 1,
        },
        Scene {
            what: "large jobs".to_owned(),
            tubes: 1,
            jobs: options.jobs / 10,
            size: LARGE,
            workers: 4,
            slots: 1,
            rounds: options.rounds,
        },
        Scene {
            what: "1,000 tubes".to_owned(),
            tubes: 1_000,
            jobs: options.jobs,
            size: SMALL,
            workers: 1,
            slots: 16,
            rounds: options.rounds.min(3),
        },
    ];
    for scene in &scenes {
        drain(scene, tell);
    }
    steady::rows(options, tell);
    touches::rows(tell);
}

/// The rows of a scene. It has a queue server of its own, which has no memory of the one before.
fn drain(scene: &Scene, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    let Scene {
        what,
        tubes,
        jobs,
        size,
        workers,
        slots,
        rounds,
    } = scene;
    let tubes: Vec<String> = (0..*tubes).map(|number| format!("t{number}")).collect();
    let raw = Consumer::raw((workers * slots) as usize, "pair");
    let [ours, theirs] = &in_turn(*rounds, [&daemon(*workers, *slots, ""), &raw], |consumer| {
        fill(&queue, &tubes, *jobs, *size);
        drain_filled(&queue, consumer, &tubes, *jobs, View::Memory)
    });
    let jobs = grouped(*jobs);
    let what = format!("{what}: {jobs} × {size} B, {workers} × {slots}");
    let pair = |what: String, unit, figure: fn(&Drained) -> f64, target| {
        let [ours, theirs] = [ours, theirs].map(|runs| runs.iter().map(figure).collect::<Vec<_>>());
        Row::pairs(what, unit, &ours, "raw client", &theirs, target)
    };
    tell(pair(what.clone(), "jobs/s", |run| run.rate, Target::None).with_plot(plot(&what, ours, theirs)));
    tell(pair(what.clone(), "CPU µs/job", |run| run.cpu_us, Target::None));
    if tubes.len() > 1 {
        let what = format!("{what}: start until all wait");
        tell(pair(what, "s", |run| run.start, Target::None));
    }
    tell(flat(&what, ours));
}

/// The daemon, which replaces no worker: that would hide what grows.
fn daemon(workers: u32, slots: u32, config: &'static str) -> Consumer {
    Consumer::daemon_with(workers, slots, move |host| {
        host.flag("--max-request=0").config(config)
    })
}

/// The memory at the end as a part of that at the beginning.
fn flat(what: &str, runs: &[Drained]) -> Row {
    let growth: Vec<f64> = runs.iter().map(Drained::memory_growth).collect();
    Row::alone(
        format!("{what}: memory, last quarter / first"),
        "ratio",
        &growth,
        Target::AtMost(FLAT),
    )
}

/// The last round of each.
fn plot(what: &str, ours: &[Drained], theirs: &[Drained]) -> Plot {
    let mut curves = Vec::new();
    for (who, runs) in [("daemon", ours), ("raw client", theirs)] {
        let Some(run) = runs.last() else { continue };
        let curve = |unit, figures| Curve {
            name: format!("{who}, {unit}"),
            figures,
            seconds: run.seconds(),
        };
        curves.push(curve("jobs/s", run.rates()));
        curves.push(curve("MiB PSS", run.mebibytes()));
    }
    Plot {
        title: what.to_owned(),
        curves,
    }
}

/// Puts jobs into tubes, some in a row into each.
fn fill(queue: &Beanstalkd, tubes: &[String], jobs: u64, size: usize) {
    let mut client = queue.client();
    let share = jobs / tubes.len() as u64;
    for tube in tubes {
        client.use_tube(&load::name(tube)).expect("the tube is used");
        for begun in (0..share).step_by(IN_A_ROW as usize) {
            let ids = begun..share.min(begun + IN_A_ROW);
            let bodies = ids.map(|id| load::body(id, size, ""));
            load::put_some(&mut client, bodies).expect("the jobs are put");
        }
    }
}
