//! What is learnt from a dead worker: its counts, what it was doing, and which job is to blame.
//!
//! A job that was running when its worker died, or being settled by the thread
//! that raised the signal, is blamed for the death, unless the master killed
//! the worker, or another slot of it was at fault. A blamed
//! job gets a *death certificate*: a line in the log and an entry in the state
//! directory ([`super::certificates`]), which the next master reads. The
//! sentence is carried out by the slot that reserves the job next.
//!
//! [`super::blame`] says which jobs those are.

use std::sync::atomic::Ordering;

use jiff::Zoned;
use nix::sys::wait::WaitStatus;
use tracing::{error, info, warn};

use super::{
    Master,
    blame::{Blame, Victim, blame, runs_alone, sentence},
    certificates::Certificate,
    children::{self, Id},
    processes::Process,
};
use crate::{
    ipc::{
        job_key::ServerMark,
        row::{Activity, Counts, Row, State},
        suspects::{Sentence, Suspect},
    },
    isolation::hint::Hints,
};

/// How many workers a job of a handler that no pool has any more may take down.
const MAX_CRASHES: u32 = 3;

impl Master {
    /// Puts the suspects of an earlier master back on the scoreboard.
    pub(super) fn remember_suspects(&mut self) {
        let suspects = self.processes.scoreboard.suspects();
        for certificate in self.certificates.iter() {
            let max_crashes = self.max_crashes(&certificate.handler);
            suspects.put(Suspect {
                job: certificate.key(),
                deaths: certificate.deaths,
                alone: runs_alone(certificate.deaths, max_crashes),
                sentence: sentence(certificate.deaths, max_crashes, certificate.proven, false),
            });
        }
    }

    /// Adds a dead worker's counts to the totals and keeps what it has recorded, logs how it ended, blames its job, and answers with why.
    pub(super) fn account(&mut self, id: Id, process: &Process) -> String {
        let mut counts = Counts::default();
        self.processes
            .rows(process)
            .for_each(|row| counts += row.counts());
        self.totals += counts;
        self.metrics.keep(process.recorded(id));
        let (ended, orderly) = ending(process.exit);
        let Process {
            nr, generation, pid, ..
        } = *process;
        let jobs = counts.executed;
        let apart = self.died_apart(process);
        if let Some(said) = &process.said {
            error!(worker = nr, "gen" = generation, pid, error = said, "cannot start");
        } else if process.killed || (orderly && !apart) {
            info!(worker = nr, "gen" = generation, pid, jobs, "gone");
        } else {
            let what = match apart {
                true => "died of what a handler did apart from jobs",
                false => "died",
            };
            error!(worker = nr, "gen" = generation, pid, ended, jobs, "{what}");
        }
        self.account_for_jobs(id, process, &ended, orderly);
        let worker = self.children.worker(id);
        let how = match worker.map(|worker| worker.state) {
            Some(children::State::Starting) => "ended before it was ready",
            _ => "ended",
        };
        process.said.clone().unwrap_or_else(|| match &process.last_line {
            Some(line) => {
                let hint = self.hint(process).map(|hint| format!("\n  hint: {hint}"));
                let hint = hint.unwrap_or_default();
                format!("the worker {how}: {ended}\n  its last line: {line}{hint}")
            }
            None => format!("the worker {how}: {ended}"),
        })
    }

    /// Whether it was a tick or a goodbye of a handler that took the worker down.
    fn died_apart(&self, process: &Process) -> bool {
        let mut rows = self.processes.rows(process);
        rows.any(|row| row.apart().load(Ordering::Acquire) != 0)
    }

    /// What its pool's limits may have to do with the last words of a dead worker.
    fn hint(&self, process: &Process) -> Option<String> {
        let pool = self.generations.get(&process.generation)?.pool(&process.pool)?;
        Hints::of(pool).to(process.last_line.as_deref()?)
    }

    /// Logs the jobs that a dead worker left behind, and blames the one that took it down.
    fn account_for_jobs(&mut self, id: Id, process: &Process, ended: &str, orderly: bool) {
        let scoreboard = &self.processes.scoreboard;
        let at_work = |row: &Row| matches!(row.activity().state, State::Running | State::Settling);
        let left: Vec<usize> = process
            .rows
            .clone()
            .filter(|index| {
                scoreboard
                    .row(*index)
                    .is_some_and(|row| at_work(row) && row.activity().job != 0)
            })
            .collect();
        let victim = |row: usize| {
            let shown = scoreboard.row(row)?;
            let at_fault = shown.fault().load(Ordering::Acquire) != 0;
            // What a handler has spoilt may show only after it has returned, on the same thread.
            let in_hand = shown.activity().state == State::Running || at_fault;
            in_hand.then(|| Victim {
                row,
                deleted: shown.was_deleted(),
                at_fault,
            })
        };
        let running: Vec<Victim> = left.iter().copied().filter_map(victim).collect();
        // Told to leave, it left: only a handler that ends the process unasked is to blame.
        let was_told = process.killed || (orderly && self.stopping.is_some());
        let apart = self.died_apart(process);
        let Blame { suspects, proven } = blame(if was_told || apart { &[] } else { &running });
        if !was_told && (apart || running.iter().any(|victim| !victim.deleted)) {
            let tube = match suspects.as_slice() {
                [only] => scoreboard.row(*only).and_then(|row| row.activity().tube),
                _ => None,
            };
            let handler = process.assignment.handler(tube);
            let whose = match (handler, apart) {
                (_, true) => "what a handler did apart from jobs".to_owned(),
                (Some(name), _) => format!("handler `{name}`"),
                (None, _) => "it".to_owned(),
            };
            self.on_handler_crash(id, process, &format!("{whose} took its worker down: {ended}"));
        }
        for index in left {
            let Some(activity) = self.processes.scoreboard.row(index).map(Row::activity) else {
                continue;
            };
            self.totals.crashed += 1;
            let tube = process.assignment.tube(activity.tube).unwrap_or("-");
            let handler = process.assignment.handler(activity.tube).unwrap_or("-");
            let Process {
                nr, generation, pid, ..
            } = *process;
            let job = activity.job;
            if suspects.contains(&index) {
                self.certify(process, activity, index, tube, ended, proven);
            } else {
                let deleted = self.processes.scoreboard.row(index).is_some_and(Row::was_deleted);
                let why = match deleted {
                    true => "crashed: the job asked to run at most once and was deleted before",
                    false => "crashed: the queue server hands the job out again",
                };
                error!(
                    worker = nr,
                    "gen" = generation,
                    pid,
                    job,
                    tube,
                    handler,
                    ended,
                    "{why}"
                );
            }
        }
    }

    fn certify(
        &mut self,
        process: &Process,
        activity: Activity,
        row: usize,
        tube: &str,
        ended: &str,
        proven: bool,
    ) {
        let scoreboard = &self.processes.scoreboard;
        let job = activity.job;
        let handler = process.assignment.handler(activity.tube).unwrap_or("-");
        let key = ServerMark::of(&process.assignment.server).key(job);
        let known = scoreboard.suspects().find(key);
        let deaths = known.map_or(0, |suspect| suspect.deaths) + 1;
        let max_crashes = self.max_crashes(handler);
        // A slot that met the job already has served its delay and taken the mark away.
        let passed = sentence(deaths, max_crashes, proven, !scoreboard.is_marked_running(row));
        let alone = runs_alone(deaths, max_crashes);
        scoreboard.suspects().put(Suspect {
            job: key,
            deaths,
            alone,
            sentence: passed,
        });
        let Process {
            nr,
            generation,
            pid,
            ref last_line,
            ..
        } = *process;
        let plugin = self
            .generations
            .get(&generation)
            .and_then(|generation| generation.plugin(handler));
        let sha256 = plugin.map_or_else(String::new, |plugin| plugin.sha256.clone());
        let verdict = match (passed, proven, alone) {
            (Sentence::Bury, _, _) => "crashed, death certificate: the job is to be buried",
            (_, true, _) => "crashed, death certificate: the job is tried again after a delay",
            (_, false, false) => {
                "crashed, suspected with the jobs beside it: the job is tried again after a delay"
            }
            (_, false, true) => {
                "crashed, suspected with the jobs beside it: the job is tried again after a delay, alone"
            }
        };
        let said = last_line.as_deref();
        error!(
            worker = nr,
            "gen" = generation,
            pid,
            job,
            tube,
            handler,
            sha256,
            ended,
            deaths,
            output = said,
            hint = self.hint(process),
            "{verdict}"
        );
        let certificate = Certificate {
            server: process.assignment.server.clone(),
            job,
            deaths,
            proven,
            tube: tube.to_owned(),
            handler: handler.to_owned(),
            sha256,
            pid,
            ended: ended.to_owned(),
            last_line: last_line.clone(),
            at: Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        };
        let suspects = self.processes.scoreboard.suspects();
        self.certificates
            .add(certificate, |key| suspects.find(key).is_some());
        if let Err(error) = self.certificates.save(&self.places.state_dir) {
            warn!(error = %error, "cannot keep the death certificate");
        }
    }

    /// How many workers a job of that handler may take down, by the settings of the newest generation that has it.
    fn max_crashes(&self, handler: &str) -> u32 {
        let with_handler = self.generations.values().rev().find_map(|generation| {
            let pools = generation.config.pools.iter();
            let of_handler =
                pools.filter(|pool| generation.handlers(&pool.name).iter().any(|name| name == handler));
            of_handler.map(|pool| pool.max_crashes).max()
        });
        with_handler.unwrap_or(MAX_CRASHES)
    }
}

/// How a process ended, and whether that was in order.
fn ending(exit: Option<WaitStatus>) -> (String, bool) {
    match exit {
        Some(WaitStatus::Exited(_, 0)) => ("exit code 0".to_owned(), true),
        Some(WaitStatus::Exited(_, code)) => (format!("exit code {code}"), false),
        Some(WaitStatus::Signaled(_, signal, _)) => (signal.as_str().to_owned(), false),
        _ => ("an unknown end".to_owned(), false),
    }
}
