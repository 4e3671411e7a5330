//! How a worker process passes from one instance of the master to the next.
//!
//! Where both instances speak the same version, nothing changes for the worker:
//! link, rows and output go on. Where they do not, the worker is *mute*: it
//! works on until it is hung up on, and what it does meanwhile is not seen.

use std::{
    io,
    ops::Range,
    os::{fd::RawFd, unix::net::UnixStream},
    time::Instant,
};

use nix::{
    sys::{signal::Signal, wait::WaitStatus},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{LAST_MESSAGES, Line, Process, Processes};
use crate::{
    ipc::{metrics::Table, row::Counts},
    master::{
        Event,
        assignment::Assignment,
        children::{Id, Standing},
        handover::{Descriptors, Kept},
        link::{Link, UnderWay},
        metrics::Recorded,
        output::{OutputLeft, Outputs},
    },
};

/// A worker process as one instance leaves it to the next, apart from its [`Standing`].
#[derive(Serialize, Deserialize)]
pub(crate) struct ProcessLeft {
    pid: u32,
    assignment: Assignment,
    rows: Range<usize>,
    /// What it has done so far, for an instance that cannot read its rows.
    pub(in crate::master) counts: Counts,
    metrics: Option<RawFd>,
    /// What its plugins have recorded so far, for the same.
    pub(in crate::master) recorded: Vec<Recorded>,
    is_mute: bool,
    link: Option<RawFd>,
    link_closed: bool,
    under_way: UnderWay,
    exit: Option<Exit>,
    killed: bool,
    said: Option<String>,
    last_line: Option<String>,
    output: Option<OutputLeft>,
}

/// How a worker has ended.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    fn of(status: WaitStatus) -> Option<Exit> {
        match status {
            WaitStatus::Exited(_, code) => Some(Exit::Code(code)),
            WaitStatus::Signaled(_, signal, _) => Some(Exit::Signal(signal as i32)),
            _ => None,
        }
    }

    fn status(self, pid: u32) -> WaitStatus {
        let pid = Pid::from_raw(pid as i32);
        match self {
            Exit::Code(code) => WaitStatus::Exited(pid, code),
            // The number came from a signal that exists.
            Exit::Signal(number) => {
                WaitStatus::Signaled(pid, Signal::try_from(number).unwrap_or(Signal::SIGKILL), false)
            }
        }
    }
}

impl Processes {
    /// What the next instance has to know of a worker.
    pub(in crate::master) fn leave<'a>(
        &'a self,
        id: Id,
        process: &'a Process,
        output: Option<OutputLeft>,
        kept: &mut Kept<'a>,
    ) -> ProcessLeft {
        let mut counts = Counts::default();
        self.rows(process).for_each(|row| counts += row.counts());
        let (link, under_way) = match &process.line {
            Line::Open(link) => (Some(kept.keep(link)), link.under_way()),
            Line::Mute(end) => (end.as_ref().map(|end| kept.keep(end)), UnderWay::default()),
        };
        ProcessLeft {
            pid: process.pid,
            assignment: process.assignment.clone(),
            rows: process.rows.clone(),
            counts,
            metrics: process.metrics.as_ref().map(|table| kept.keep(table)),
            recorded: process.recorded(id).collect(),
            // One whose link has closed is only called so.
            is_mute: matches!(&process.line, Line::Mute(_)) && process.rows.is_empty(),
            link,
            link_closed: process.link_closed,
            under_way,
            exit: process.exit.and_then(Exit::of),
            killed: process.killed,
            said: process.said.clone(),
            last_line: process.last_line.clone(),
            output,
        }
    }

    /// Takes a worker over that an earlier instance has started. `is_known` tells whether it speaks this version.
    pub(in crate::master) fn adopt(
        &mut self,
        id: Id,
        standing: &Standing,
        left: ProcessLeft,
        is_known: bool,
        (descriptors, outputs, events): (&mut Descriptors, &mut Outputs, &mpsc::UnboundedSender<Event>),
    ) -> io::Result<()> {
        let link = left.link.map(|link| descriptors.take(link)).transpose()?;
        let is_mute = !is_known || left.is_mute;
        let metrics = left.metrics.map(|table| descriptors.take(table)).transpose()?;
        let metrics = metrics.filter(|_| !is_mute).map(Table::open).transpose()?;
        let (line, rows) = match link {
            // What it says is not heard, so its exit alone is its end.
            link if is_mute => (Line::Mute(link), 0..0),
            Some(link) if !left.link_closed => {
                let link = Link::serve(id, UnixStream::from(link), left.under_way, events.clone())?;
                (Line::Open(link), left.rows)
            }
            _ => (Line::Mute(None), left.rows),
        };
        match self.lent.get_mut(rows.clone()) {
            Some(lent) => lent.fill(true),
            None => return Err(io::Error::other("a worker has rows that the scoreboard has not")),
        }
        if let Some(output) = left.output {
            outputs.adopt(id, output, descriptors)?;
        }
        let exit = left.exit.map(|exit| exit.status(left.pid));
        let process = Process {
            pid: left.pid,
            nr: standing.nr,
            pool: standing.pool.clone(),
            generation: standing.generation,
            assignment: left.assignment,
            rows,
            metrics,
            link_closed: left.link_closed || is_mute,
            line,
            give_up_at: exit.map(|_| Instant::now() + LAST_MESSAGES),
            exit,
            killed: left.killed,
            said: left.said,
            last_line: left.last_line,
        };
        self.table.insert(id, process);
        Ok(())
    }
}
