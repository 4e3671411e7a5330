//! What is learnt from a dead worker: its counts, what it was doing, and which job is to blame.
//!
//! A job that was running when its worker died is blamed for the death, unless
//! the master killed the worker, or another slot of it was at fault. A blamed
//! job gets a *death certificate*: a line in the log and an entry in the state
//! directory, which the next master reads. The sentence is carried out by the
//! slot that reserves the job next.
//!
//! [`super::blame`] says which jobs those are.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::Ordering,
};

use jiff::Zoned;
use nix::{libc, sys::wait::WaitStatus};
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::{
    Master,
    blame::{Blame, Victim, blame, runs_alone, sentence},
    children::{self, Id},
    pidfile,
    processes::Process,
};
use crate::ipc::{
    job_key::ServerMark,
    row::{Activity, Counts, Row, State},
    suspects::{Sentence, Suspect},
};

/// How many workers a job of a handler that no pool has any more may take down.
const MAX_CRASHES: u32 = 3;
/// The name of the file of certificates in the state directory.
const FILE: &str = "deaths.json";

/// Why a job is under suspicion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Certificate {
    /// The address of its queue server.
    pub(super) server: String,
    /// The job's id.
    pub(super) job: u64,
    /// How many workers it has taken down, or was running in when they died, this one included.
    pub(super) deaths: u32,
    /// Nothing else can have taken the last of them down.
    pub(super) proven: bool,
    /// The logical tube, `-` where it was not known.
    pub(super) tube: String,
    /// The handler that executed it.
    pub(super) handler: String,
    /// Hash of the plugin that the handler came from.
    pub(super) sha256: String,
    /// Pid of the worker.
    pub(super) pid: u32,
    /// Signal or exit code.
    pub(super) ended: String,
    /// The last line that the worker wrote to standard output or error.
    pub(super) last_line: Option<String>,
    /// When the master saw it, RFC 3339.
    pub(super) at: String,
}

impl Certificate {
    /// What the job is called on the scoreboard.
    fn key(&self) -> u64 {
        ServerMark::of(&self.server).key(self.job)
    }
}

/// The certificates of the jobs that are under suspicion now.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    list: Vec<Certificate>,
}

impl Certificates {
    /// Reads what an earlier master left. An unreadable file is as good as none.
    pub(super) fn load(state_dir: &Path) -> Certificates {
        let text = read(&state_dir.join(FILE)).unwrap_or_default();
        Certificates {
            list: serde_json::from_slice(&text).unwrap_or_default(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.list.iter()
    }

    fn add(&mut self, certificate: Certificate, is_suspect: impl Fn(u64) -> bool) {
        self.list
            .retain(|known| known.key() != certificate.key() && is_suspect(known.key()));
        self.list.push(certificate);
    }

    /// Replaces the file as a whole.
    fn save(&self, state_dir: &Path) -> io::Result<()> {
        // Somebody may have removed it.
        pidfile::make_private(state_dir).map_err(io::Error::other)?;
        let fresh = state_dir.join(format!("{FILE}.new"));
        // What is there was left by a write that was cut short, and is not followed wherever it may lead.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(&self.list)?)?;
        fs::rename(fresh, state_dir.join(FILE))
    }
}

/// Reads a file, and neither follows a symbolic link nor waits for the other end of a pipe.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?
        .read_to_end(&mut text)?;
    Ok(text)
}

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

    /// Adds a dead worker's counts to the totals, logs how it ended, blames its job, and answers with why.
    pub(super) fn account(&mut self, id: Id, process: &Process) -> String {
        let mut counts = Counts::default();
        self.processes
            .rows(process)
            .for_each(|row| counts += row.counts());
        self.totals += counts;
        let (ended, orderly) = ending(process.exit);
        let Process {
            nr, generation, pid, ..
        } = *process;
        let jobs = counts.executed;
        if let Some(said) = &process.said {
            error!(worker = nr, "gen" = generation, pid, error = said, "cannot start");
        } else if orderly || process.killed {
            info!(worker = nr, "gen" = generation, pid, jobs, "gone");
        } else {
            error!(worker = nr, "gen" = generation, pid, ended, jobs, "died");
        }
        self.account_for_jobs(id, process, &ended, orderly);
        let worker = self.children.worker(id);
        let how = match worker.map(|worker| worker.state) {
            Some(children::State::Starting) => "ended before it was ready",
            _ => "ended",
        };
        process.said.clone().unwrap_or_else(|| match &process.last_line {
            Some(line) => format!("the worker {how}: {ended}\n  its last line: {line}"),
            None => format!("the worker {how}: {ended}"),
        })
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
            let running = shown.activity().state == State::Running;
            running.then(|| Victim {
                row,
                deleted: shown.was_deleted(),
                at_fault: shown.fault().load(Ordering::Acquire) != 0,
            })
        };
        let running: Vec<Victim> = left.iter().copied().filter_map(victim).collect();
        // Told to leave, it left: only a handler that ends the process unasked is to blame.
        let was_told = process.killed || (orderly && self.stopping.is_some());
        let Blame { suspects, proven } = blame(if was_told { &[] } else { &running });
        if !was_told && running.iter().any(|victim| !victim.deleted) {
            let tube = match suspects.as_slice() {
                [only] => scoreboard.row(*only).and_then(|row| row.activity().tube),
                _ => None,
            };
            let handler = process.assignment.handler(tube);
            let whose = handler.map_or_else(|| "it".to_owned(), |name| format!("handler `{name}`"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(job: u64, deaths: u32) -> Certificate {
        Certificate {
            server: "127.0.0.1:11300".into(),
            job,
            deaths,
            proven: true,
            tube: "mail".into(),
            handler: "mailer".into(),
            sha256: "00".into(),
            pid: 1,
            ended: "SIGSEGV".into(),
            last_line: None,
            at: "2026-11-22T12:00:00+00:00".into(),
        }
    }

    #[test]
    fn certificates_survive_the_master_and_forget_jobs_that_are_settled() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = directory.path().join("removed meanwhile");
        let mut certificates = Certificates::default();
        certificates.add(certificate(1, 1), |_| true);
        let first = certificate(1, 1).key();
        certificates.add(certificate(2, 1), |key| key != first);
        certificates.add(certificate(2, 2), |_| true);
        certificates.save(&state).expect("a file");
        let loaded = Certificates::load(&state);
        assert_eq!(loaded.list, [certificate(2, 2)]);
        assert!(
            Certificates::load(&directory.path().join("nowhere"))
                .list
                .is_empty()
        );
    }

    #[test]
    fn symbolic_links_are_replaced_and_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (state, precious) = (directory.path().join("state"), directory.path().join("precious"));
        pidfile::make_private(&state).expect("a new directory");
        fs::write(&precious, "[]").expect("a file");
        for name in [FILE.to_owned(), format!("{FILE}.new")] {
            std::os::unix::fs::symlink(&precious, state.join(name)).expect("a link");
        }
        read(&state.join(FILE)).expect_err("a link is not read");
        let mut certificates = Certificates::default();
        certificates.add(certificate(1, 1), |_| true);
        certificates.save(&state).expect("the links are in nobody's way");
        assert_eq!(fs::read_to_string(&precious).expect("a file"), "[]");
        assert_eq!(Certificates::load(&state).list, [certificate(1, 1)]);
    }
}
