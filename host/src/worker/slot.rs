//! A slot: one thread, one connection, one job at a time.
//!
//! ```text
//!  connect ─▶ watch ─▶ reserve ─▶ execute ─▶ decide ─▶ settle + next reserve, in one write ─┐
//!     ▲                   ▲───────────────────────────────────────────────────────────────┘
//!     └── any error of the connection; what was reserved on it comes back by itself
//! ```
//!
//! What the slot shares with the worker's main thread is its [`Lane`].

use std::{thread, time::Instant};

use asynccall_client::{
    connection::{Connection, ConnectionError},
    protocol::{Command, JobId, Reply, Verb},
};
use tracing::{debug, info, warn};

use super::{
    Shared,
    execute::execute,
    fatal,
    lane::Lane,
    reconnect::{Reconnects, random},
    recover::{self, Unsettled},
    settle::{Inconclusive, Pending},
};
use crate::{
    ipc::row::State,
    observe::{line::chain, log},
};

/// How often a slot that should be quiet tries to reach a queue server that has to hear of a done job.
const LAST_TRIES: u32 = 5;
/// How many `watch` commands go out before their answers are read.
const WATCHES_AT_ONCE: usize = 64;
/// The memory that a slot keeps for bodies; a larger one is given back after its job.
const BODY_KEPT: usize = 1024 * 1024;

/// What came of waiting for a job.
enum Reserved {
    Job(JobId),
    Nothing,
}

/// Why a connection is not used any further, and what was left unsettled on it.
struct Lost {
    error: ConnectionError,
    unsettled: Option<Unsettled>,
}

impl From<ConnectionError> for Box<Lost> {
    fn from(error: ConnectionError) -> Box<Lost> {
        Box::new(Lost {
            error,
            unsettled: None,
        })
    }
}

/// The slot's thread: works until the worker is quiet and nothing is left unsettled.
pub(super) fn run(lane: &Lane) {
    let shared = &lane.shared;
    fatal::mark_thread(shared.mark(lane.row_index()));
    let mut reconnects = Reconnects::default();
    let mut body = Vec::new();
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
        let Err(lost) = work(lane, &mut unsettled, reconnects.has_failed(), &mut body) else {
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
fn work(
    lane: &Lane,
    unsettled: &mut Option<Unsettled>,
    again: bool,
    body: &mut Vec<u8>,
) -> Result<(), Box<Lost>> {
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
    let served = serve(lane, body);
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
fn serve(lane: &Lane, body: &mut Vec<u8>) -> Result<(), Box<Lost>> {
    let mut pending: Option<Pending> = None;
    loop {
        let reserved = {
            let mut guard = lane.connection();
            let Some(connection) = guard.as_mut() else {
                return Ok(());
            };
            let goes_on = lane.reserves();
            if let Some(pending) = &pending {
                connection.queue(&pending.command());
            }
            if goes_on {
                connection.queue(&Command::ReserveWithTimeout {
                    seconds: lane.shared.reserve_seconds,
                });
            }
            let sent = if pending.is_some() || goes_on {
                connection.flush()
            } else {
                Ok(())
            };
            if let Some(pending) = pending.take() {
                let reply = sent.and_then(|()| connection.receive());
                pending
                    .conclude(lane, reply)
                    .map_err(|inconclusive| lost(*inconclusive, body))?;
                lane.end_job();
                log::set_job(None);
            } else {
                sent?;
            }
            if !goes_on {
                return Ok(());
            }
            lane.begin_waiting();
            lane.enter(State::Idle, 0, None);
            receive_job(connection, body)?
        };
        match reserved {
            Reserved::Nothing => lane.end_job(),
            Reserved::Job(id) if !lane.begin_job(id) => {
                info!(
                    job = id.0,
                    "reserved while going quiet: the queue server hands it out again"
                );
                return Ok(());
            }
            Reserved::Job(id) => {
                pending = execute(lane, &lane.shared, id, body);
                if lane.is_given_back() {
                    // Whoever gives it back still writes the row and uses the connection.
                    lane.errand().wait_until_over();
                    return Ok(());
                }
                if pending.is_none() {
                    // Settled already, or not ours any more.
                    lane.pen().settling();
                    lane.end_job();
                }
                if lane.is_unusable() {
                    let concluded = pending.map_or(Ok(()), |pending| {
                        pending.conclude(lane, Err(ConnectionError::Broken))
                    });
                    concluded.map_err(|inconclusive| lost(*inconclusive, body))?;
                    return Err(ConnectionError::Broken.into());
                }
            }
        }
    }
}

fn lost(inconclusive: Inconclusive, body: &mut Vec<u8>) -> Box<Lost> {
    let unsettled = inconclusive.left.map(|pending| Unsettled {
        pending,
        body: std::mem::take(body),
    });
    Box::new(Lost {
        error: inconclusive.error,
        unsettled,
    })
}

fn receive_job(connection: &mut Connection, body: &mut Vec<u8>) -> Result<Reserved, ConnectionError> {
    let id = match connection.receive()? {
        Reply::Reserved { id, body: bytes } => {
            body.clear();
            if bytes.len() <= BODY_KEPT {
                body.shrink_to(BODY_KEPT);
            }
            body.extend_from_slice(bytes);
            id
        }
        Reply::TimedOut => return Ok(Reserved::Nothing),
        Reply::DeadlineSoon => {
            debug!("the queue server says that a job of this connection is about to run out of time");
            return Ok(Reserved::Nothing);
        }
        Reply::Error(reply) => {
            return Err(ConnectionError::Server {
                command: Verb::ReserveWithTimeout,
                reply,
            });
        }
        // The connection has checked that the reply fits the command.
        _ => return Err(ConnectionError::Broken),
    };
    Ok(Reserved::Job(id))
}
