//! What is known of a storm when it is over: what was put, what ran, what the log says, what was done to whom.
//!
//! Parsed from the diary and the log; no I/O. All times are in milliseconds since 1970.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::jobs::Deed;

/// A job that the queue server has confirmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Put {
    pub(super) number: u64,
    pub(super) job: u64,
    pub(super) deed: Deed,
    /// The message asks to be deleted before it runs.
    pub(super) at_most_once: bool,
}

/// One time that a handler was given a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Execution {
    pub(super) number: u64,
    pub(super) job: u64,
    pub(super) pid: u32,
    pub(super) begun: u64,
    /// When it was executed to its end, if it was.
    pub(super) ended: Option<u64>,
}

/// A line of the log that names a job.
#[derive(Clone, Debug, Default)]
pub(super) struct Remark {
    pub(super) at: u64,
    /// The worker that says it, or that the master says it of.
    pub(super) pid: u32,
    pub(super) job: u64,
    pub(super) outcome: String,
    pub(super) settled: String,
    pub(super) reason: String,
    pub(super) message: String,
}

/// What the storm did to a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blow {
    pub(super) at: u64,
    pub(super) pid: u32,
    pub(super) kind: BlowKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlowKind {
    Kill,
    Stop,
}

/// A job that is in the queue at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Remaining {
    pub(super) number: u64,
    pub(super) job: u64,
    pub(super) is_buried: bool,
    /// What `stats-job` says of it, for whoever looks into a failure.
    pub(super) stats: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) puts: Vec<Put>,
    /// Numbers of jobs that may have been put once more than is known: the answer to a put was lost.
    pub(super) doubtful: BTreeSet<u64>,
    pub(super) executions: Vec<Execution>,
    pub(super) remarks: Vec<Remark>,
    pub(super) blows: Vec<Blow>,
    pub(super) remaining: Vec<Remaining>,
}

/// Reads the diary: begins with their ends.
#[track_caller]
pub(super) fn read_diary(text: &str) -> Vec<Execution> {
    let mut executions: Vec<Execution> = Vec::new();
    let mut open: BTreeMap<(u64, u64, u32), Vec<usize>> = BTreeMap::new();
    for line in text.lines() {
        let (what, [number, job, pid, at]) = entry(line).unwrap_or_else(|| panic!("a torn line: `{line}`"));
        let pid = u32::try_from(pid).expect("a pid");
        let running = open.entry((number, job, pid)).or_default();
        if what == "begin" {
            running.push(executions.len());
            executions.push(Execution {
                number,
                job,
                pid,
                begun: at,
                ended: None,
            });
        } else {
            assert!(!running.is_empty(), "an end without a begin: `{line}`");
            executions[running.remove(0)].ended = Some(at);
        }
    }
    executions
}

fn entry(line: &str) -> Option<(&str, [u64; 4])> {
    let (what, rest) = line.split_once(' ')?;
    let numbers: Vec<u64> = rest.split(' ').map_while(|word| word.parse().ok()).collect();
    matches!(what, "begin" | "end").then_some(())?;
    Some((what, numbers.try_into().ok()?))
}

/// Reads the log's lines, JSON objects, as far as they name a job. Other lines are somebody's last words.
pub(super) fn read_log(text: &str) -> Vec<Remark> {
    text.lines()
        .filter(|line| line.contains(r#""job":"#))
        .filter_map(|line| remark(&serde_json::from_str(line).ok()?))
        .collect()
}

fn remark(line: &Value) -> Option<Remark> {
    let at: Timestamp = line["time"].as_str()?.parse().ok()?;
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    Some(Remark {
        at: at.as_millisecond().try_into().ok()?,
        pid: line["pid"].as_u64()?.try_into().ok()?,
        job: line["job"].as_u64()?,
        outcome: text("outcome"),
        settled: text("settled"),
        reason: text("reason"),
        message: text("message"),
    })
}

#[test]
fn a_diary_is_read_as_executions_of_which_some_have_an_end() {
    let diary = "begin 1 10 100 5\nbegin 2 11 100 6\nend 2 11 100 7\nbegin 1 10 101 8\nend 1 10 101 9\n";
    let read: Vec<_> = read_diary(diary)
        .iter()
        .map(|execution| (execution.number, execution.pid, execution.ended))
        .collect();
    assert_eq!(read, [(1, 100, None), (2, 100, Some(7)), (1, 101, Some(9))]);
}

#[test]
fn lines_of_the_log_that_name_a_job_are_remarks() {
    let log = concat!(
        r#"{"time":"1970-01-01T00:00:01.500+00:00","level":"warn","pid":100,"job":10,"#,
        r#""outcome":"done","settled":"unknown","reason":"r","message":""}"#,
        "\n{\"message\":\"ready\"}\nlast words\n"
    );
    let remarks = read_log(log);
    assert_eq!(remarks.len(), 1);
    assert_eq!((remarks[0].at, remarks[0].pid, remarks[0].job), (1500, 100, 10));
    assert_eq!(remarks[0].settled, "unknown");
}
