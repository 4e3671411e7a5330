//! The worker processes: their pids, links and rows of the scoreboard.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::{
    Event, Master,
    assignment::Assignment,
    children::{Children, Id},
    generation::Generation,
    link::{Link, UnderWay},
    output::Outputs,
    spawn,
};
use crate::{
    ipc::{
        self, Setup, ToWorker,
        metrics::Table,
        row::Row,
        scoreboard::{ROWS, Scoreboard},
        streaks::Streak,
    },
    observe::log,
};

mod adoption;

pub(super) use adoption::ProcessLeft;

/// How long the link of a worker that has exited is read, for what it sent last.
const LAST_MESSAGES: Duration = Duration::from_millis(200);

/// How the master reaches a worker.
enum Line {
    /// Messages go both ways.
    Open(Link),
    /// The worker was adopted and speaks another version: it can only be hung up on, which it takes as the
    /// death of its master.
    Mute(Option<OwnedFd>),
}

/// One worker process, from its start until its end and the end of its link were both seen.
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) nr: u32,
    pub(super) pool: String,
    pub(super) generation: u64,
    /// Where its jobs come from, and who executes them.
    pub(super) assignment: Assignment,
    pub(super) rows: Range<usize>,
    /// What its plugins record; nothing where the worker speaks another version.
    pub(super) metrics: Option<Table>,
    line: Line,
    link_closed: bool,
    /// When the link of a worker that has exited is taken for closed, whoever still holds it.
    give_up_at: Option<Instant>,
    pub(super) exit: Option<WaitStatus>,
    /// The master killed it.
    pub(super) killed: bool,
    /// Why it could not start, in its own words.
    pub(super) said: Option<String>,
    /// The last line that it wrote to standard output or error.
    pub(super) last_line: Option<String>,
}

impl Process {
    /// Remembers the last line. Rust's own advice that follows its last words says nothing of why it ended.
    fn wrote(&mut self, line: String) {
        if !line.starts_with("note: run with `RUST_BACKTRACE=") {
            self.last_line = Some(line);
        }
    }

    fn kill(&mut self) {
        if self.exit.is_none() {
            self.killed = true;
        }
        self.kill_group();
    }

    /// Kills the worker with everything that it started and that did not leave its group.
    fn kill_group(&self) {
        // Until it is reaped the pid is that worker's, and afterwards no process gets the number of a group that has
        // members. A group without members is an error of the call, and nobody is killed.
        let _ = killpg(Pid::from_raw(self.pid as i32), Signal::SIGKILL);
    }
}

/// All of them, and the scoreboard that they write to.
pub(super) struct Processes {
    table: BTreeMap<Id, Process>,
    pub(super) scoreboard: Scoreboard,
    /// Which rows are lent.
    lent: Vec<bool>,
    /// The streak of each pool.
    streaks: BTreeMap<String, usize>,
    stderr: OwnedFd,
    log: log::Settings,
}

/// A worker that is to be started.
pub(super) struct Wanted<'a> {
    pub(super) id: Id,
    pub(super) nr: u32,
    pub(super) pool: &'a str,
    pub(super) generation: &'a Generation,
    /// As [`Setup::is_first`].
    pub(super) is_first: bool,
}

impl Processes {
    pub(super) fn new(scoreboard: Scoreboard, stderr: OwnedFd, log: log::Settings) -> Self {
        Processes {
            table: BTreeMap::new(),
            scoreboard,
            lent: vec![false; ROWS],
            streaks: BTreeMap::new(),
            stderr,
            log,
        }
    }

    /// How workers log.
    pub(super) fn log(&self) -> &log::Settings {
        &self.log
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn get(&self, id: Id) -> Option<&Process> {
        self.table.get(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Process)> {
        self.table.iter().map(|(id, process)| (*id, process))
    }

    pub(super) fn has_generation(&self, generation: u64) -> bool {
        self.table
            .values()
            .any(|process| process.generation == generation)
    }

    /// The rows of a worker's slots.
    pub(super) fn rows(&self, process: &Process) -> impl Iterator<Item = &Row> {
        process
            .rows
            .clone()
            .filter_map(|index| self.scoreboard.row(index))
    }

    /// Starts a worker and sends it its setup.
    pub(super) fn spawn(
        &mut self,
        wanted: Wanted<'_>,
        outputs: &mut Outputs,
        events: &mpsc::UnboundedSender<Event>,
    ) -> io::Result<u32> {
        let Wanted {
            id,
            nr,
            pool,
            generation,
            is_first,
        } = wanted;
        let settings = generation
            .pool(pool)
            .ok_or_else(|| io::Error::other("its pool is gone"))?;
        let metrics = Table::create()?;
        let rows = self.lend(id, settings.slots as usize)?;
        let streak = self.lend_streak(pool);
        let setup = Setup {
            version: ipc::VERSION,
            nr,
            generation: generation.number,
            pool: settings.clone(),
            handlers: generation.handlers(pool).to_vec(),
            handler_configs: generation.handler_configs(pool),
            plugins: generation.catalog.references(),
            is_first,
            scoreboard: self.scoreboard.as_fd().as_raw_fd(),
            metrics: metrics.as_fd().as_raw_fd(),
            first_row: rows.start,
            streak,
            grace: generation.config.daemon.grace,
            log: self.log.clone(),
        };
        let started = outputs.open(id).and_then(|output| {
            let mut inherited: Vec<BorrowedFd<'_>> = vec![self.scoreboard.as_fd(), metrics.as_fd()];
            if self.log.path.is_none() {
                inherited.push(self.stderr.as_fd());
            }
            inherited.extend(generation.catalog.plugins.iter().map(AsFd::as_fd));
            let is_alone = setup.pool.worker_num == 1 && setup.pool.slots == 1;
            let (pid, link) = spawn::spawn(&inherited, output, is_alone)?;
            Ok((pid, Link::serve(id, link, UnderWay::default(), events.clone())?))
        });
        let (pid, link) = match started {
            Ok(started) => started,
            Err(error) => {
                self.give_back(rows);
                outputs.close(id);
                return Err(error);
            }
        };
        let process = Process {
            pid,
            nr,
            pool: pool.to_owned(),
            generation: generation.number,
            assignment: Assignment::of(&setup.pool, &setup.handlers),
            rows,
            metrics: Some(metrics),
            line: Line::Open(link),
            link_closed: false,
            give_up_at: None,
            exit: None,
            killed: false,
            said: None,
            last_line: None,
        };
        self.table.insert(id, process);
        self.send(id, ToWorker::Setup(Box::new(setup)));
        Ok(pid)
    }

    pub(super) fn send(&self, id: Id, message: ToWorker) {
        if let Some(Process {
            line: Line::Open(link),
            ..
        }) = self.table.get(&id)
        {
            link.send(&message);
        }
    }

    pub(super) fn send_all(&self, message: impl Fn() -> ToWorker) {
        for id in self.table.keys() {
            self.send(*id, message());
        }
    }

    /// Hangs up on a worker that messages do not reach, and answers whether it is such a one.
    pub(super) fn hang_up(&mut self, id: Id) -> bool {
        match self.table.get_mut(&id).map(|process| &mut process.line) {
            Some(Line::Mute(end)) => {
                drop(end.take());
                true
            }
            _ => false,
        }
    }

    pub(super) fn kill(&mut self, id: Id) {
        if let Some(process) = self.table.get_mut(&id) {
            process.kill();
        }
    }

    /// Kills a worker for what it does: its job is to blame.
    pub(super) fn kill_group(&self, id: Id) {
        if let Some(process) = self.table.get(&id) {
            process.kill_group();
        }
    }

    pub(super) fn kill_all(&mut self) {
        for process in self.table.values_mut() {
            let Process {
                nr, generation, pid, ..
            } = *process;
            warn!(worker = nr, "gen" = generation, pid, "killing: it did not leave");
            process.kill();
        }
    }

    /// Notes every child that has exited, and answers with those that were no workers: orphans that were left to
    /// process 1, or children of another kind.
    pub(super) fn reap(&mut self) -> Vec<WaitStatus> {
        let mut others = Vec::new();
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let Some(pid) = status.pid().filter(|_| status != WaitStatus::StillAlive) else {
                break;
            };
            if !self.note_exit(pid, status, Instant::now()) {
                others.push(status);
            }
        }
        others
    }

    /// Answers whether it was a worker.
    fn note_exit(&mut self, pid: Pid, status: WaitStatus, now: Instant) -> bool {
        let pid = pid.as_raw() as u32;
        // A pid may be in use again while a worker that had it still waits for its link.
        let mut living = self.table.values_mut().filter(|process| process.exit.is_none());
        let Some(process) = living.find(|process| process.pid == pid) else {
            return false;
        };
        process.exit = Some(status);
        process.give_up_at = Some(now + LAST_MESSAGES);
        true
    }

    pub(super) fn link_closed(&mut self, id: Id) {
        if let Some(process) = self.table.get_mut(&id) {
            process.link_closed = true;
        }
    }

    /// When [`Processes::give_up_links`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let open = self.table.values().filter(|process| !process.link_closed);
        open.filter_map(|process| process.give_up_at).min()
    }

    /// Takes the links of workers for closed that have exited a while ago, and answers whether there were such.
    ///
    /// A process that a worker forked holds its link as well, and may live for ever.
    pub(super) fn give_up_links(&mut self, now: Instant) -> bool {
        let mut found = false;
        for process in self.table.values_mut() {
            let is_late = process.give_up_at.is_some_and(|at| at <= now);
            if is_late && !process.link_closed {
                process.link_closed = true;
                found = true;
                process.kill_group();
            }
        }
        found
    }

    pub(super) fn said(&mut self, id: Id, error: String) {
        if let Some(process) = self.table.get_mut(&id) {
            process.said = Some(error);
        }
    }

    fn lend(&mut self, id: Id, slots: usize) -> io::Result<Range<usize>> {
        let first = self
            .lent
            .windows(slots)
            .position(|rows| rows.iter().all(|lent| !lent));
        let first = first.ok_or_else(|| io::Error::other("the scoreboard has no room for its slots"))?;
        let rows = first..first + slots;
        self.lent[rows.clone()].fill(true);
        // No incarnation is 0: that stands for none.
        rows.clone()
            .for_each(|index| self.scoreboard.lend(index, id.0 + 1));
        Ok(rows)
    }

    fn lend_streak(&mut self, pool: &str) -> Option<usize> {
        if let Some(known) = self.streaks.get(pool) {
            return Some(*known);
        }
        let lent: BTreeSet<usize> = self.streaks.values().copied().collect();
        let free = (0..ROWS).find(|index| !lent.contains(index))?;
        self.scoreboard.streak(free)?.end();
        self.streaks.insert(pool.to_owned(), free);
        Some(free)
    }

    /// How often in a row a pool's handler has failed.
    pub(super) fn streak(&self, pool: &str) -> Option<&Streak> {
        self.scoreboard.streak(*self.streaks.get(pool)?)
    }

    /// The streak of each pool.
    pub(super) fn streaks(&self) -> &BTreeMap<String, usize> {
        &self.streaks
    }

    /// Goes on with the streaks of an earlier instance.
    pub(super) fn adopt_streaks(&mut self, streaks: BTreeMap<String, usize>) {
        self.streaks = streaks;
    }

    /// Takes the streaks of other pools back.
    pub(super) fn keep_streaks(&mut self, is_wanted: impl Fn(&str) -> bool) {
        self.streaks.retain(|pool, _| is_wanted(pool));
    }

    fn give_back(&mut self, rows: Range<usize>) {
        rows.clone().for_each(|index| self.scoreboard.lend(index, 0));
        self.lent[rows].fill(false);
    }

    /// Takes out the workers whose exit and whose last message were both seen.
    fn take_gone(&mut self) -> Vec<(Id, Process)> {
        self.table
            .extract_if(.., |_, process| process.exit.is_some() && process.link_closed)
            .collect()
    }
}

impl Master {
    pub(super) fn log_worker(&self, id: Id, what: &str) {
        if let Some(process) = self.processes.get(id) {
            info!(
                worker = process.nr,
                "gen" = process.generation,
                pid = process.pid,
                "{what}"
            );
        }
    }

    /// Logs what workers have written, when it is time for it.
    pub(super) fn look_at_outputs(&mut self, now: Instant) {
        for (id, line) in self.outputs.look_when_due(now) {
            self.log_output(id, &line);
        }
    }

    pub(super) fn log_output(&mut self, id: Id, line: &str) {
        if let Some(process) = self.processes.table.get_mut(&id) {
            info!(
                worker = process.nr,
                "gen" = process.generation,
                pid = process.pid,
                output = line
            );
            process.wrote(line.to_owned());
        }
    }

    /// Accounts for the workers that are gone.
    pub(super) fn bury_the_gone(&mut self) {
        for (id, mut process) in self.processes.take_gone() {
            for line in self.outputs.close(id) {
                info!(
                    worker = process.nr,
                    "gen" = process.generation,
                    pid = process.pid,
                    output = line
                );
                process.wrote(line);
            }
            let reason = self.account(id, &process);
            self.processes.give_back(process.rows.clone());
            let effects = self.children.gone(id, &reason, Instant::now());
            self.carry_out(effects);
        }
    }
}

/// What `status` says of a worker's state.
pub(super) fn state_name(children: &Children, id: Id) -> &'static str {
    match children.worker(id).map(|worker| worker.state) {
        Some(super::children::State::Starting) => "starting",
        Some(super::children::State::Ready) => "ready",
        _ => "quiet",
    }
}

#[cfg(test)]
mod tests;
