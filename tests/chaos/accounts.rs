//! The audit of a storm: every job that was put is accounted for, or a problem.
//!
//! Pure: a [`History`] goes in, an [`Account`] comes out. A job is in order when
//!
//! - it was executed to its end once,
//! - or more often, and every execution but one is *excused*: the log says, of this job and of the process that
//!   executed it, that it could not be settled; or that process was killed before it could say anything,
//! - or it lies buried, and the log says why, or its last process was killed, or taken down by another job, before it
//!   could say so,
//! - or its message asks for at most one run, and it did not run twice.
//!
//! Nothing but buried jobs may be left in the queue.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::{self, Display, Formatter},
};

use super::{
    history::{Blow, BlowKind, Execution, History, Put, Remaining, Remark},
    jobs::Deed,
};

/// How long a worker may take, in milliseconds, until it knows or says what became of a job that it has done: the
/// connection's time-outs, and the wait before it connects again.
const LIMBO: u64 = 40_000;
/// By how much two readings of the clock may differ, in milliseconds, that processes take of one moment.
const SLACK: u64 = 200;

/// Why a job was executed to its end although that did not settle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    Unknown,
    Lost,
    ConnectionLost,
    GivenBack,
    Crashed,
    Killed,
    BroughtDown,
}

impl Display for Cause {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Unknown => "log: settled=unknown",
            Cause::Lost => "log: settled=lost",
            Cause::ConnectionLost => "log: connection lost before the answer",
            Cause::GivenBack => "log: given back under its handler",
            Cause::Crashed => "log: its worker crashed",
            Cause::Killed => "its worker was killed before it could say",
            Cause::BroughtDown => "its worker, orphaned, was taken down by another job",
        })
    }
}

/// What is not in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Neither executed to its end nor in the queue.
    Lost { number: u64, job: u64, deed: Deed },
    /// Executed to its end more often than it was settled, and nothing says why.
    UnexplainedDuplicate { number: u64, job: u64, pids: Vec<u32> },
    /// It asks for at most one run.
    RanTwice { number: u64, job: u64 },
    /// Buried, and nothing says why.
    UnexplainedBurial { number: u64, job: u64 },
    /// Still ready, delayed or reserved.
    Left { number: u64, job: u64, stats: String },
    /// In the diary or in the queue, and nobody has put it.
    Unheard { number: u64, job: u64 },
}

impl Problem {
    fn job(&self) -> u64 {
        match self {
            Problem::Lost { job, .. }
            | Problem::UnexplainedDuplicate { job, .. }
            | Problem::RanTwice { job, .. }
            | Problem::UnexplainedBurial { job, .. }
            | Problem::Left { job, .. }
            | Problem::Unheard { job, .. } => *job,
        }
    }
}

/// A problem, and all that is known of its job, for whoever looks into a failure.
pub(super) fn story(history: &History, problem: &Problem) -> String {
    let job = problem.job();
    let runs: Vec<_> = history.executions.iter().filter(|run| run.job == job).collect();
    let remarks: Vec<_> = history
        .remarks
        .iter()
        .filter(|remark| remark.job == job)
        .collect();
    let is_its = |blow: &&Blow| runs.iter().any(|run| run.pid == blow.pid);
    let blows: Vec<_> = history.blows.iter().filter(is_its).collect();
    format!("{problem:?}\n{runs:#?}\n{remarks:#?}\n{blows:#?}")
}

/// The figures.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) put: usize,
    pub(super) executed: usize,
    /// Executions that did not come to their end.
    pub(super) unfinished: usize,
    pub(super) duplicates: BTreeMap<Cause, usize>,
    /// By the reason in the log, without its numbers.
    pub(super) buried: BTreeMap<String, usize>,
    pub(super) at_most_once: usize,
    pub(super) at_most_once_not_executed: usize,
    pub(super) problems: Vec<Problem>,
}

/// What there is about one job.
#[derive(Default)]
struct File<'a> {
    put: Option<&'a Put>,
    executions: Vec<&'a Execution>,
    remaining: Option<&'a Remaining>,
}

/// The audit.
pub(super) fn audit(history: &History) -> Account {
    let evidence = Evidence::of(history);
    let mut account = Account {
        put: history.puts.len(),
        ..Account::default()
    };
    for ((number, job), file) in files(history) {
        let unfinished = file.executions.iter().filter(|run| run.ended.is_none());
        account.unfinished += unfinished.count();
        let known = file.put.is_some() || history.doubtful.contains(&number);
        if !known {
            account.problems.push(Problem::Unheard { number, job });
        }
        account.executed += usize::from(file.executions.iter().any(|run| run.ended.is_some()));
        match file.put {
            Some(put) if put.at_most_once => at_most_once(&mut account, &file, put),
            _ => at_least_once(&mut account, &file, &evidence, (number, job)),
        }
        match file.remaining {
            Some(left) if left.is_buried => match evidence.burial(job, &file.executions) {
                Some(reason) => *account.buried.entry(reason).or_default() += 1,
                None => account.problems.push(Problem::UnexplainedBurial { number, job }),
            },
            Some(left) => {
                let stats = left.stats.clone();
                account.problems.push(Problem::Left { number, job, stats });
            }
            None => {}
        }
    }
    account
}

/// Jobs by number and id: an id may come again after a restart of the queue server, a number where a put's answer
/// was lost.
fn files(history: &History) -> BTreeMap<(u64, u64), File<'_>> {
    let mut files: BTreeMap<_, File<'_>> = BTreeMap::new();
    for put in &history.puts {
        files.entry((put.number, put.job)).or_default().put = Some(put);
    }
    for run in &history.executions {
        let file = files.entry((run.number, run.job)).or_default();
        file.executions.push(run);
    }
    for left in &history.remaining {
        files.entry((left.number, left.job)).or_default().remaining = Some(left);
    }
    files
}

fn at_most_once(account: &mut Account, file: &File<'_>, put: &Put) {
    let Put { number, job, .. } = *put;
    account.at_most_once += 1;
    match file.executions.len() {
        0 if file.remaining.is_none() => account.at_most_once_not_executed += 1,
        0 | 1 => {}
        _ => account.problems.push(Problem::RanTwice { number, job }),
    }
}

fn at_least_once(account: &mut Account, file: &File<'_>, evidence: &Evidence<'_>, (number, job): (u64, u64)) {
    let ends: Vec<_> = file.executions.iter().filter(|run| run.ended.is_some()).collect();
    if ends.is_empty() {
        if let (Some(put), None) = (file.put, file.remaining) {
            let deed = put.deed;
            account.problems.push(Problem::Lost { number, job, deed });
        }
        return;
    }
    let mut used = BTreeSet::new();
    let causes: Vec<_> = ends.iter().map(|run| evidence.excuse(run, &mut used)).collect();
    // The execution that settled the job needs no excuse. Where the job is still there, none did.
    let settled = usize::from(file.remaining.is_none());
    if causes.iter().filter(|cause| cause.is_none()).count() > settled {
        let pids = ends.iter().map(|run| run.pid).collect();
        let problem = Problem::UnexplainedDuplicate { number, job, pids };
        account.problems.push(problem);
    }
    for cause in causes.into_iter().flatten().take(ends.len() - 1) {
        *account.duplicates.entry(cause).or_default() += 1;
    }
}

/// What the log, the storm and the diary say, by job and by process.
struct Evidence<'a> {
    remarks: HashMap<u64, Vec<&'a Remark>>,
    blows: HashMap<u32, Vec<&'a Blow>>,
    /// The jobs that took a process down.
    downfalls: HashMap<u32, Vec<&'a Execution>>,
}

impl<'a> Evidence<'a> {
    fn of(history: &'a History) -> Evidence<'a> {
        let mut evidence = Evidence {
            remarks: HashMap::new(),
            blows: HashMap::new(),
            downfalls: HashMap::new(),
        };
        for remark in &history.remarks {
            evidence.remarks.entry(remark.job).or_default().push(remark);
        }
        for blow in &history.blows {
            evidence.blows.entry(blow.pid).or_default().push(blow);
        }
        let deadly: BTreeSet<u64> = history
            .puts
            .iter()
            .filter(|put| put.deed.is_deadly())
            .map(|put| put.number)
            .collect();
        let downfalls = history.executions.iter();
        for run in downfalls.filter(|run| run.ended.is_none() && deadly.contains(&run.number)) {
            evidence.downfalls.entry(run.pid).or_default().push(run);
        }
        evidence
    }

    /// Why an execution that came to its end did not settle its job. A remark excuses one execution only: `used`
    /// keeps those of this job that have served.
    fn excuse(&self, run: &Execution, used: &mut BTreeSet<usize>) -> Option<Cause> {
        let remarks = self.remarks.get(&run.job).into_iter().flatten().enumerate();
        let of_run = remarks.filter(|(_, remark)| remark.pid == run.pid && remark.at + SLACK >= run.begun);
        for (index, remark) in of_run {
            if let Some(cause) = excuses(remark)
                && used.insert(index)
            {
                return Some(cause);
            }
        }
        self.silenced(run)
    }

    /// Why the process could not say what became of the job, where it could not.
    fn silenced(&self, run: &Execution) -> Option<Cause> {
        if self.was_killed(run) {
            return Some(Cause::Killed);
        }
        let ended = run.ended.unwrap_or(run.begun);
        let when = ended.saturating_sub(SLACK)..ended + LIMBO;
        let downfalls = self.downfalls.get(&run.pid).into_iter().flatten();
        let mut by_others = downfalls.filter(|other| other.job != run.job);
        by_others
            .any(|other| when.contains(&other.begun))
            .then_some(Cause::BroughtDown)
    }

    /// Whether the storm killed the process before it must have known what became of the job.
    fn was_killed(&self, run: &Execution) -> bool {
        let last = run.ended.unwrap_or(run.begun);
        let all = self.blows.get(&run.pid).map_or(&[][..], Vec::as_slice);
        let at_work = run.begun.saturating_sub(SLACK)..last + LIMBO;
        // A stopped process says nothing, however long it lives.
        let was_stopped = all
            .iter()
            .any(|blow| blow.kind == BlowKind::Stop && at_work.contains(&blow.at));
        all.iter()
            .filter(|blow| blow.kind == BlowKind::Kill && blow.at + SLACK >= last)
            .any(|blow| was_stopped || blow.at <= last + LIMBO)
    }

    /// Why a job lies buried: the reason in the log, or that whoever buried it could not say so any more.
    fn burial(&self, job: u64, executions: &[&Execution]) -> Option<String> {
        let remarks = self.remarks.get(&job).map_or(&[][..], Vec::as_slice);
        let says_why = |remark: &&&Remark| remark.settled == "bury" && !remark.reason.is_empty();
        if let Some(remark) = remarks.iter().rfind(says_why) {
            return Some(without_numbers(&remark.reason));
        }
        let is_silent = |remark: &&Remark| matches!(excuses(remark), Some(Cause::Unknown | Cause::Crashed));
        let last = executions.iter().max_by_key(|run| run.begun);
        let is_excused =
            remarks.iter().any(is_silent) || last.is_some_and(|run| self.silenced(run).is_some());
        is_excused.then(|| "(whoever buried it could not say why any more)".to_owned())
    }
}

/// What a remark says about the settlement of an execution, if it says that there was none that counts.
fn excuses(remark: &Remark) -> Option<Cause> {
    let message = remark.message.as_str();
    if message.starts_with("crashed") {
        return Some(Cause::Crashed);
    }
    if matches!(
        remark.outcome.as_str(),
        "unfinished" | "timed_out" | "out_of_memory"
    ) || message == "the handler ended after its job was given back"
    {
        return Some(Cause::GivenBack);
    }
    match remark.settled.as_str() {
        "unknown" => Some(Cause::Unknown),
        "lost" => Some(Cause::Lost),
        _ if message.starts_with("the connection was lost before the answer") => Some(Cause::ConnectionLost),
        _ => None,
    }
}

fn without_numbers(reason: &str) -> String {
    let mut short = String::new();
    for character in reason.chars() {
        match character {
            '0'..='9' if short.ends_with('N') => {}
            '0'..='9' => short.push('N'),
            other => short.push(other),
        }
    }
    short
}

#[cfg(test)]
mod tests;
