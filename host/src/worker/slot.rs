//! A slot: one thread, one connection, one job at a time.
//!
//! ```text
//!  connect ─▶ watch ─▶ reserve ─▶ execute ─▶ decide ─▶ settle + next reserve, in one write ─┐
//!     ▲                   ▲───────────────────────────────────────────────────────────────┘
//!     └── any error of the connection; what was reserved on it comes back by itself
//! ```
//!
//! The lower row is made of [rounds](super::round), which the worker's [burst](super::burst) may make in its stead. What
//! the slot shares with the worker's main thread is its [`Lane`].

use std::{thread, time::Instant};

use asynccall_client::{
    connection::{Connection, ConnectionError},
    protocol::{Command, Reply},
};
use tracing::{info, warn};

use super::{
    Shared, burst, fatal,
    lane::Lane,
    reconnect::{Reconnects, random},
    recover::{self, Unsettled},
    round::{Course, Lost},
};
use crate::{
    ipc::row::State,
    observe::{line::chain, log},
};

/// How often a slot that should be quiet tries to reach a queue server that has to hear of a done job.
const LAST_TRIES: u32 = 5;
/// How many `watch` commands go out before their answers are read.
const WATCHES_AT_ONCE: usize = 64;

/// The slot's thread: works until the worker is quiet and nothing is left unsettled.
pub(super) fn run(lane: &Lane) {
    let shared = &lane.shared;
    fatal::mark_thread(shared.mark(lane.row_index()));
    let mut reconnects = Reconnects::default();
    let mut unsettled: Option<Unsettled> = None;
    let mut last_tries = LAST_TRIES;
    while !shared.is_quiet() || (unsettled.is_some() && last_tries > 0) {
        if unsettled.is_none() && !lane.takes_jobs() {
            lane.enter(State::Paused, 0, None);
            // Once more: whoever changes it wakes those that say that they are paused.
            if !lane.reserves() && !shared.is_quiet() {
                thread::park();
            }
            continue;
        }
        last_tries -= u32::from(shared.is_quiet());
        lane.enter(State::Away, 0, None);
        if let Some(unsettled) = &unsettled {
            recover::show(lane, unsettled);
        }
        let began = Instant::now();
        let Err(lost) = work(lane, &mut unsettled, reconnects.has_failed()) else {
            continue;
        };
        unsettled = lost.unsettled.or(unsettled);
        let pause = reconnects.failed(began.elapsed(), random());
        let what = match lost.error {
            ConnectionError::Connect { .. } => "cannot reach the queue server, trying again",
            _ => "connection to the queue server lost, connecting again",
        };
        warn!(server = %shared.reach.named(), error = chain(&lost.error), "{what}");
        if !shared.is_quiet() || unsettled.is_some() {
            thread::park_timeout(pause);
        }
    }
    if let Some(unsettled) = unsettled {
        unsettled
            .pending
            .log_unknown("the worker leaves before the queue server is back");
    }
    lane.enter(State::Free, 0, None);
}

/// Connects, settles what an earlier connection left, and works until that is over.
fn work(lane: &Lane, unsettled: &mut Option<Unsettled>, again: bool) -> Result<(), Box<Lost>> {
    let shared = &lane.shared;
    let mut connection = connect(shared)?;
    if again {
        info!(server = %shared.reach.named(), "connected again");
    }
    if let Some(left) = unsettled.as_ref() {
        recover::recover(lane, &mut connection, left)?;
        *unsettled = None;
    }
    lane.install(Some(connection));
    let served = serve(lane);
    lane.install(None);
    log::set_job(None);
    served
}

/// Connects and watches the pool's tubes.
///
/// In batches: a server that cannot write its answers reads no further commands.
fn connect(shared: &Shared) -> Result<Connection, ConnectionError> {
    let mut connection = shared.reach.connect(&shared.options)?;
    let mut commands: Vec<Command<'_>> = shared
        .tubes
        .wire()
        .map(|tube| Command::Watch(tube.clone()))
        .collect();
    if shared.tubes.wire().all(|tube| *tube != shared.default_tube) {
        commands.push(Command::Ignore(shared.default_tube.clone()));
    }
    for batch in commands.chunks(WATCHES_AT_ONCE) {
        batch.iter().for_each(|command| connection.queue(command));
        connection.flush()?;
        for command in batch {
            if let Reply::Error(reply) = connection.receive()? {
                return Err(ConnectionError::Server {
                    command: command.verb(),
                    reply,
                });
            }
        }
    }
    Ok(connection)
}

/// Works on one connection until the worker is quiet or the connection fails.
fn serve(lane: &Lane) -> Result<(), Box<Lost>> {
    let mut berth = lane.berth();
    berth.round.begin();
    loop {
        if berth.round.send(lane)? == Course::Over {
            return Ok(());
        }
        berth = burst::board(lane, berth);
        let course = match berth.take_outcome() {
            Some(outcome) => outcome?,
            None => berth.round.hear_and_work(lane)?,
        };
        if course == Course::Over {
            return Ok(());
        }
    }
}
