//! What it costs to keep a thousand long jobs from being given to somebody else.

use std::{
    slice, thread,
    time::{Duration, Instant},
};

use super::daemon;
use crate::{
    drain, load,
    process::cpu_ns,
    rows::Tell,
    support::{Beanstalkd, eventually, queue::Listen},
    table::{Row, Target, grouped},
};

const WORKERS: u32 = 4;
const SLOTS: u32 = 250;
/// The jobs' time to run in seconds: a third of the PHP library's, so that there are three times its touches.
const TTR: u32 = 20;
/// How long the jobs take, in milliseconds: more than all of the measuring.
const LONG: u32 = 120_000;
/// A job is touched when half of its time to run is over. Between two touches nothing is on the edge of being counted.
const BETWEEN: Duration = Duration::from_secs(TTR as u64 / 4);
/// How long they are watched: the time to run, so that each job is touched twice.
const WATCHED: Duration = Duration::from_secs(TTR as u64);

pub(super) fn rows(tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    let jobs = WORKERS * SLOTS;
    let tube = drain::tube(&queue);
    let running = daemon(WORKERS, SLOTS, "").start(&queue, slice::from_ref(&tube));
    let mut control = queue.client();
    control.use_tube(&load::name(&tube)).expect("the tube is used");
    for id in 0..jobs {
        let body = load::body(u64::from(id), 256, &format!(r#","sleep_ms":{LONG}"#));
        control.put(0, 0, TTR, &body).expect("the job is put");
    }
    eventually("all jobs run", || {
        (queue.stat("current-jobs-reserved") == u64::from(jobs)).then_some(())
    });
    thread::sleep(BETWEEN);
    let look = || (queue.stat("cmd-touch"), cpu_ns(&running.pids), Instant::now());
    let before = look();
    thread::sleep(WATCHED);
    let after = look();
    let seconds = (after.2 - before.2).as_secs_f64();
    let touches = (after.0 - before.0) as f64 / seconds;
    let cpu = (after.1 - before.1) as f64 / 1e9 / seconds * 100.0;
    let timeouts = queue.stat("job-timeouts");
    let what = format!(
        "{} long jobs with a TTR of {TTR} s, {WORKERS} × {SLOTS}",
        grouped(u64::from(jobs))
    );
    tell(Row::alone(
        format!("{what}: touches"),
        "per s",
        &[touches],
        Target::None,
    ));
    tell(Row::alone(
        format!("{what}: processor time, with the master"),
        "% of a core",
        &[cpu],
        Target::AtMost(2.0),
    ));
    tell(Row::alone(
        format!("{what}: jobs that the server took back"),
        "jobs",
        &[timeouts as f64],
        Target::AtMost(0.0),
    ));
}
