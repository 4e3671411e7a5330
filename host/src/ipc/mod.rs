//! What master and worker share: the messages on their link, the scoreboard, metrics, inherited descriptors.
//!
//! The link is a Unix stream socket that carries one JSON document per line.
//! No message is ever sent per job: what happens to jobs is read from the
//! [`scoreboard`]. A worker takes end-of-file on the link as the master's death.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    os::{fd::RawFd, unix::net::UnixStream},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{config, observe, plugin::stage::StagedRef};

pub mod delays;
pub mod descriptors;
pub mod job_key;
mod mapping;
pub mod metrics;
pub mod row;
pub mod scoreboard;
pub mod streaks;
pub mod suspects;

/// Version of the messages, of the scoreboard and the tables of metrics, and of the settings in them.
///
/// A worker is started from the binary that its master executes. Only a master that was restarted with another
/// binary may have workers of another version.
pub const VERSION: u32 = 6;

/// Everything that a worker needs to know, sent once as the first message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Setup {
    /// [`VERSION`] of the master.
    pub version: u32,
    /// Who the worker is, as far as the master decides it.
    pub nr: u32,
    /// The generation that it belongs to.
    pub generation: u64,
    /// The pool that it works for.
    pub pool: config::Pool,
    /// Names of the handlers, one for each of the pool's tubes.
    pub handlers: Vec<String>,
    /// The configuration of each of them.
    pub handler_configs: BTreeMap<String, config::HandlerConfig>,
    /// The staged plugins to load, as inherited descriptors.
    pub plugins: Vec<StagedRef>,
    /// Whether it is one of those that have to come up before their generation serves: it checks what holds for all
    /// workers of the generation's pool.
    pub is_first: bool,
    /// The scoreboard, as an inherited descriptor.
    pub scoreboard: RawFd,
    /// The worker's table of metrics, as an inherited descriptor.
    pub metrics: RawFd,
    /// The first of the scoreboard's rows that belong to the worker's slots, one each.
    pub first_row: usize,
    /// The scoreboard's streak of the pool; nothing where its failures are not counted.
    pub streak: Option<usize>,
    /// How long its handlers may take for their last ticks and their goodbye.
    pub grace: Duration,
    /// Where and how it logs.
    pub log: observe::log::Settings,
}

/// From the master to a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker {
    /// The first message.
    Setup(Box<Setup>),
    /// The generation has taken over, or the pool goes on: reserve.
    Work,
    /// Finish what runs and reserve nothing until [`ToWorker::Work`].
    Pause,
    /// Let one slot take one job nevertheless, and answer with [`ToMaster::Probed`].
    Probe,
    /// Reserve nothing more, finish what runs, leave.
    Quiet,
    /// Give back what runs and leave at once.
    Now,
}

/// From a worker to the master.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToMaster {
    /// The plugins are loaded, the handler is made and has checked itself, the slots wait for [`ToWorker::Work`].
    Ready,
    /// The worker cannot start. It leaves right after.
    Failed {
        /// The plugin's or the worker's own error, with its hint.
        error: String,
    },
    /// The worker has reached a limit and wants a successor. It goes on until it is told to be quiet.
    Retire {
        /// Which limit.
        reason: Retirement,
    },
    /// No further job is reserved.
    Quiet,
    /// The pool's handler has failed as often in a row as its breaker bears. Said again with each further failure.
    Tripped {
        /// The last failure.
        error: String,
    },
    /// To [`ToWorker::Probe`]: the handler was given a job.
    Probed {
        /// How it failed, if it did.
        error: Option<String>,
    },
}

/// Why a worker wants a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retirement {
    /// It executed `max_request` jobs.
    MaxRequest,
    /// It is older than `max_age`.
    MaxAge,
    /// It holds more than `memory_soft`.
    Memory,
}

impl std::fmt::Display for Retirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Retirement::MaxRequest => "max_request",
            Retirement::MaxAge => "max_age",
            Retirement::Memory => "memory_soft",
        })
    }
}

/// One message as the line that goes over the link.
pub fn encode<M: Serialize>(message: &M) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// The worker's end of the link, blocking.
pub struct Link {
    reader: BufReader<UnixStream>,
}

impl Link {
    /// Wraps the worker's end of the socket pair.
    pub fn new(stream: UnixStream) -> Self {
        Link {
            reader: BufReader::new(stream),
        }
    }

    /// The socket, to wait for readability.
    pub fn socket(&self) -> &UnixStream {
        self.reader.get_ref()
    }

    /// Whether a message is waiting that a wait for readability would not report.
    pub fn has_buffered(&self) -> bool {
        !self.reader.buffer().is_empty()
    }

    /// Reads one message; `None` when the master is gone.
    pub fn receive(&mut self) -> io::Result<Option<ToWorker>> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(serde_json::from_slice(&line)?)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends one message. A master that is gone is no error here: the next receive tells it.
    pub fn send(&self, message: &ToMaster) -> io::Result<()> {
        let line = encode(message)?;
        match self.reader.get_ref().write_all(&line) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}
