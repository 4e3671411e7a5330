//! A done job whose delete was lost with its connection.
//!
//! The work is done, but the queue server may hand the job out again. On the
//! next connection it is deleted once, if it is still that job and nobody else
//! has it. Ids start again when a server without a binlog restarts, so the
//! body and the age have to fit as well.

use std::time::Duration;

use asynccall_client::{
    connection::{Connection, ConnectionError},
    protocol::JobState,
};
use tracing::info;

use super::{execute::identify, lane::Lane, settle::Pending};
use crate::{
    ipc::row::{State, monotonic_ns},
    observe::log,
};

/// The job, and what tells it from another of the same id.
pub(super) struct Unsettled {
    /// The decision: delete.
    pub(super) pending: Pending,
    /// The job's body.
    pub(super) body: Vec<u8>,
}

/// What became of it.
enum Found {
    /// The server does not know it: the delete had arrived, or somebody else finished the job.
    Gone,
    Deleted,
    /// Somebody else has it, or it is another job.
    NotOurs(&'static str),
}

/// Deletes the job if it is still there for the taking. On an error it is tried again on the next connection.
pub(super) fn recover(
    lane: &Lane,
    connection: &mut Connection,
    unsettled: &Unsettled,
) -> Result<(), ConnectionError> {
    let pending = &unsettled.pending;
    log::set_job(Some(identify(lane, pending.id())));
    let found = look(connection, unsettled);
    match &found {
        Ok(Found::Gone | Found::Deleted) => {
            pending.is_deleted(lane);
            let how = if matches!(found, Ok(Found::Gone)) {
                "it is gone"
            } else {
                "it was deleted now"
            };
            info!(
                outcome = "done",
                settled = "delete",
                "the connection was lost before the answer: {how}"
            );
        }
        Ok(Found::NotOurs(why)) => pending.log_unknown(why),
        Err(_) => {}
    }
    log::set_job(None);
    found.map(drop)
}

fn look(connection: &mut Connection, unsettled: &Unsettled) -> Result<Found, ConnectionError> {
    let id = unsettled.pending.id();
    match connection.peek(id)? {
        None => return Ok(Found::Gone),
        Some(job) if job.body != unsettled.body => return Ok(Found::NotOurs("another job has its id now")),
        Some(_) => {}
    }
    let Some(stats) = connection.stats_job(id)? else {
        return Ok(Found::Gone);
    };
    if stats.state == JobState::Reserved {
        return Ok(Found::NotOurs(
            "it is reserved, by the connection that is lost to us alone, or handed out again before it could be deleted",
        ));
    }
    let since = Duration::from_nanos(monotonic_ns().saturating_sub(unsettled.pending.started_ns()));
    // The server counts whole seconds; a job that we held was put before we began.
    if Duration::from_secs(stats.age + 2) < since {
        return Ok(Found::NotOurs("another job has its id now"));
    }
    Ok(match connection.delete(id)? {
        true => Found::Deleted,
        false => Found::NotOurs("it was handed out again before it could be deleted"),
    })
}

/// Says in the row what the slot is at meanwhile.
pub(super) fn show(lane: &Lane, unsettled: &Unsettled) {
    lane.enter(State::Settling, unsettled.pending.id().0, None);
}
