//! The proof that nothing is lost: a daemon, its queue server and the network between them in a storm.
//!
//! A producer puts jobs at a steady rate, among them such as panic, abort, overflow, exit, hang, leak or ask for
//! another try. Meanwhile workers, masters and the queue server are killed and stopped, connections are cut and
//! stalled, plugins and settings are replaced by good and broken ones, and an operator reloads, restarts, rolls back,
//! scales and pauses. When the storm is over and the queue has come to rest, every job has to be accounted for, and
//! nothing may be left behind.
//!
//! - [`jobs`]: what jobs ask for, [`producer`]: who puts them and knows which were put,
//! - [`proxy`]: the network, [`subject`]: the daemon, [`storm`]: what happens to them,
//! - [`history`]: what is known afterwards, [`accounts`]: the audit,
//! - [`dice`]: chance from one number, which is printed: the same number gives the same jobs and the same blows, as far
//!   as the machine's own timing allows.
//!
//! The queue server writes every change to its binlog before it answers. What was written outlives a `kill -9` of the
//! process, synced to the disk or not (`-f` matters for a machine that loses its power), so it may forget nothing that
//! it has confirmed.
//!
//! A longer storm, or another one:
//!
//! ```console
//! $ CHAOS_SECONDS=600 CHAOS_WORKERS=8 CHAOS_RATE=500 CHAOS_SEED=7 \
//!       cargo test -p asynccall-host --test daemon no_job_is_lost_in_a_storm
//! ```

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    io::{self, Write as _},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use asynccall_client::{
    connection::Address,
    protocol::{JobId, JobState},
};

use crate::support::{Beanstalkd, PATIENCE, eventually, plugin, plugins::library};
use accounts::Account;
use dice::Dice;
use history::{History, Put, Remaining};
use producer::Producer;
use proxy::Proxy;
use storm::Storm;
use subject::{POOLS, Subject};

mod accounts;
mod dice;
mod history;
mod jobs;
mod producer;
mod proxy;
mod storm;
mod subject;

/// The parameters of a storm. What CI runs is the default.
struct Plan {
    seconds: u64,
    /// Worker processes, three at least. One in four has four slots, and the others one.
    workers: usize,
    /// Jobs a second.
    rate: u64,
    seed: u64,
}

impl Plan {
    fn from_environment() -> Plan {
        let number = |name: &str, default: u64| match env::var(name) {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("`{name}`: found `{text}`, wanted a whole number")),
            Err(_) => default,
        };
        Plan {
            seconds: number("CHAOS_SECONDS", 30),
            workers: number("CHAOS_WORKERS", 6).max(3) as usize,
            rate: number("CHAOS_RATE", 40).max(1),
            seed: number("CHAOS_SEED", 1),
        }
    }
}

/// What a storm has left.
struct Aftermath {
    account: Account,
    /// What is known of the jobs that are a problem.
    stories: Vec<String>,
    doubtful: usize,
    tally: BTreeMap<String, usize>,
    complaints: Vec<String>,
    /// The master's open descriptors before the storm and after it.
    descriptors: [BTreeMap<String, usize>; 2],
    exit: Option<i32>,
    /// Their files are kept where the test fails.
    subject: Subject,
    _queue: Beanstalkd,
}

#[test]
fn no_job_is_lost_in_a_storm() {
    let Some(queue) = Beanstalkd::start_on_unix() else {
        return;
    };
    // Built before the clock runs.
    plugin("diary");
    let plan = Plan::from_environment();
    let (seconds, workers, rate, seed) = (plan.seconds, plan.workers, plan.rate, plan.seed);
    say(&format!(
        "chaos: {seconds} s, {workers} workers, {rate} jobs a second, CHAOS_SEED={seed}\n"
    ));
    let begun = Instant::now();
    let mut dice = Dice::new(plan.seed);
    let Address::Unix(socket) = queue.address().clone() else {
        panic!("it listens on a Unix socket");
    };
    let proxy = Proxy::start(socket, dice.split());
    let left = weather(&plan, queue, &proxy, dice);
    say(&format!(
        "chaos: over after {:.0?}\n{}",
        begun.elapsed(),
        table(&left, &proxy)
    ));

    assert!(left.stories.is_empty(), "{}", left.stories.join("\n"));
    assert!(left.account.executed > 0, "jobs flow");
    assert!(left.complaints.is_empty(), "{:#?}", left.complaints);
    assert_eq!(left.exit, Some(0), "it stops in order");
    let files = left.subject.leftovers();
    assert!(files.is_empty(), "{files:?}");
    assert_no_growth(&left.descriptors);
}

/// Lets the storm rage over a new daemon, waits until all has come to rest, stops the daemon, and looks at what is left.
#[track_caller]
fn weather(plan: &Plan, mut queue: Beanstalkd, proxy: &Proxy, mut dice: Dice) -> Aftermath {
    let mut subject = Subject::new(plan, proxy.port());
    subject.start();
    let before = settled(&mut subject, plan);
    let producer = Producer::start(queue.address().clone(), &POOLS, plan, dice.split());
    let mut storm = Storm::new(&mut subject, &mut queue, proxy, dice);
    storm.rage(Duration::from_secs(plan.seconds));
    let Storm {
        blows,
        tally,
        complaints,
        ..
    } = storm;
    let produced = producer.stop();
    subject.wait_until_serving();
    // Nothing is paused or scaled any more, and no seat waits because its workers died.
    subject.command_succeeds(&["resume"]);
    subject.command_succeeds(&["reload"]);
    wait_until_at_rest(&queue);
    let remaining = remaining(&queue, &produced.puts);
    let after = settled(&mut subject, plan);
    let exit = subject.stop();
    eventually("no process of the daemon is left", || {
        subject.workers().is_empty().then_some(())
    });
    let doubtful = produced.doubtful.len();
    let history = History {
        puts: produced.puts,
        doubtful: produced.doubtful,
        executions: history::read_diary(&subject.read("diary")),
        remarks: history::read_log(&subject.read("log")),
        blows,
        remaining,
    };
    let account = accounts::audit(&history);
    let problems = account.problems.iter();
    Aftermath {
        stories: problems
            .map(|problem| accounts::story(&history, problem))
            .collect(),
        account,
        doubtful,
        tally,
        complaints,
        descriptors: [before, after],
        exit,
        subject,
        _queue: queue,
    }
}

/// Reloads, waits until all is as the settings say, and answers with the master's open descriptors: those of a master
/// that serves one generation and remembers another.
#[track_caller]
fn settled(subject: &mut Subject, plan: &Plan) -> BTreeMap<String, usize> {
    subject.wait_until_serving();
    subject.command_succeeds(&["reload", "--wait"]);
    subject.settled_descriptors(plan)
}

#[track_caller]
fn assert_no_growth([before, after]: &[BTreeMap<String, usize>; 2]) {
    let count = |kind: &str| before.get(kind).copied().unwrap_or(0);
    let grown: Vec<_> = after.iter().filter(|(kind, now)| **now > count(kind)).collect();
    assert!(grown.is_empty(), "more than before: {grown:?}, of {before:#?}");
    let is_plugin = |kind: &str| kind.starts_with(&format!("memfd:{}", library("diary")));
    let plugins: usize = after
        .iter()
        .filter(|(kind, _)| is_plugin(kind))
        .map(|(_, now)| now)
        .sum();
    assert!(
        (1..=2).contains(&plugins),
        "the one that serves and the one before: {after:#?}"
    );
}

/// Waits until nothing but buried jobs is in the queue. What does not come to rest is found by the audit.
fn wait_until_at_rest(queue: &Beanstalkd) {
    let begun = Instant::now();
    let is_at_rest = || {
        let states = ["ready", "reserved", "delayed"];
        states.map(|state| queue.stat(&format!("current-jobs-{state}"))) == [0; 3]
    };
    while !is_at_rest() && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Which of these jobs the queue server still has.
fn remaining(queue: &Beanstalkd, puts: &[Put]) -> Vec<Remaining> {
    let mut client = queue.client();
    let mut remaining = Vec::new();
    for job in puts.iter().map(|put| put.job) {
        let stats = client.stats_job(JobId(job)).expect("beanstalkd answers");
        let Some(state) = stats.map(|stats| (stats.state, format!("{stats:?}"))) else {
            continue;
        };
        // One that is not at rest may be gone by now.
        let peeked = client.peek(JobId(job)).expect("beanstalkd answers");
        let Some(number) = peeked.and_then(|job| jobs::number(job.body)) else {
            continue;
        };
        remaining.push(Remaining {
            number,
            job,
            is_buried: state.0 == JobState::Buried,
            stats: state.1,
        });
    }
    remaining
}

fn table(left: &Aftermath, proxy: &Proxy) -> String {
    let account = &left.account;
    let mut text = String::new();
    let mut row = |name: &str, count: usize| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {count:>7}  {name}");
    };
    row("jobs put", account.put);
    row("puts whose answer was lost, put again", left.doubtful);
    row("jobs executed to their end", account.executed);
    row("executions that did not come to their end", account.unfinished);
    for (cause, count) in &account.duplicates {
        row(&format!("executed once more; {cause}"), *count);
    }
    for (reason, count) in &account.buried {
        row(&format!("buried; {reason}"), *count);
    }
    row("at most once", account.at_most_once);
    row("  of these not executed", account.at_most_once_not_executed);
    row("problems", account.problems.len());
    for (what, count) in &left.tally {
        row(what, *count);
    }
    let counts = proxy.counts();
    for (name, count) in [
        ("connections", &counts.connections),
        ("  cut", &counts.cuts),
        ("  stalled for a while", &counts.stalls),
        ("  stalled for ever", &counts.half_open),
    ] {
        row(name, count.load(Ordering::Relaxed));
    }
    text
}

/// Shown whether the test passes or fails: the harness keeps only what the printing macros print.
fn say(text: &str) {
    // A terminal that is gone is no reason to fail.
    let _ = io::stderr().write_all(text.as_bytes());
}
