//! Jobs of the PHP library, run by PHP: through the handler `exec`, beside what the library itself does with them.

use std::slice;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{
    Options, Tell,
    drains::{cpu, rate},
    peers,
};
use crate::{
    consumer::{Consumer, Processes},
    drain::{self, Drained, View, drain_filled, in_turn},
    load,
    support::{Beanstalkd, Host, author::repository, php, plugins, processes, queue::Listen},
    table::{Row, Target},
};

/// Bodies that PHP wrote; the first is the smallest call of a command.
const GOLDEN: &str = include_str!("../../../../tests/fixtures/php/golden.jsonl");

/// What the PHP library does with 2 workers at `cron` 1, in jobs per second.
const LIBRARY_RATE: f64 = 1_300.0;
/// What that costs it, in microseconds of processor time per job.
const LIBRARY_CPU_US: f64 = 240.0;
/// Its workers, and ours.
const WORKERS: u32 = 2;
/// PHP does less in the same time: so much fewer jobs give it enough to do.
const FEWER: u64 = 4;

pub(super) fn rows(options: &Options, tell: Tell<'_>) {
    if !php::installed() {
        return;
    }
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    let body = body();
    let jobs = options.jobs / FEWER;
    let drain = |consumer: &Consumer| -> Drained {
        let tube = drain::tube(&queue);
        load::put(&queue, &tube, (0..jobs).map(|_| body.clone()));
        drain_filled(&queue, consumer, slice::from_ref(&tube), jobs, View::Progress)
    };
    let us = exec();
    let what = "PHP commands, 2 workers";
    let ours = match peers::pheanstalk() {
        Some(peer) => {
            let them = peer.consumer(WORKERS as usize);
            let [ours, theirs] = in_turn(options.rounds, [&us, &them], drain);
            tell(rate(what, &ours, &them.name, &theirs, Target::None));
            tell(cpu(what, &ours, &them.name, &theirs, Target::None));
            ours
        }
        None => {
            let [ours] = in_turn(options.rounds, [&us], drain);
            ours
        }
    };
    let rates: Vec<f64> = ours.iter().map(|run| run.rate).collect();
    let costs: Vec<f64> = ours.iter().map(|run| run.cpu_us).collect();
    let library = |what: &str| format!("PHP commands, 2 workers ({what} of the PHP library at cron 1)");
    tell(Row::alone(
        library("6 × the 1,300"),
        "jobs/s",
        &rates,
        Target::AtLeast(6.0 * LIBRARY_RATE),
    ));
    tell(Row::alone(
        library("half of the 240"),
        "CPU µs/job",
        &costs,
        Target::AtMost(0.5 * LIBRARY_CPU_US),
    ));
}

/// The daemon whose workers have a PHP child each, which calls a command that does nothing.
fn exec() -> Consumer {
    Consumer::new("daemon with exec", WORKERS as usize, |queue, tubes| {
        let host = Host::new(queue).log_level("info").flag("--tube-naming=plain");
        let host = host.load(plugins::built("asynccall-exec", "exec"));
        let (worker, noop) = (
            repository().join("examples/php/worker.php"),
            peers::script("noop.php"),
        );
        let config = format!(
            "[handler.exec]\ncommand = [\"php\", {worker:?}]\nmode = \"persistent\"\nclass = '\\Bench\\Noop'\n\
             options = {{ include = {noop:?} }}\n"
        );
        let host = host.config(&config).workers(WORKERS).flag("--slots=1");
        let daemon = host.flag("--handler=exec").tube(&tubes[0]).start();
        let children = daemon.workers().into_iter().flat_map(processes::children);
        assert_eq!(children.count(), WORKERS as usize, "each worker has its child");
        Processes::Daemon(Box::new(daemon))
    })
}

/// The body of the smallest job of the PHP library.
fn body() -> Vec<u8> {
    let first = GOLDEN.lines().next().unwrap_or_default();
    let case: Value = serde_json::from_str(first).expect("a JSON document");
    let body = case["body_base64"].as_str().expect("a text");
    BASE64_STANDARD.decode(body).expect("base64")
}
