//! What the bookkeeping asks the master to do.

use std::time::Duration;

use super::Id;

/// What the master has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start a worker process.
    Spawn {
        /// The new incarnation.
        id: Id,
        /// Name of its pool.
        pool: String,
        /// Its seat.
        nr: u32,
        /// Its generation.
        generation: u64,
    },
    /// Let a ready worker reserve jobs. Once for each, and never before its generation serves.
    Work(Id),
    /// Tell a worker to be quiet.
    Quiet(Id),
    /// Kill a worker that has not begun to work.
    Kill(Id),
    /// Kill a worker that takes too long to begin.
    Overdue(Id),
    /// The generation has taken over.
    Current(u64),
    /// The generation could not start; the one before goes on.
    Dropped {
        /// The generation.
        generation: u64,
        /// What its worker said last.
        error: String,
    },
    /// A worker of the generation that serves died before it was ready. Its seat is filled again.
    SeatFailed {
        /// The generation.
        generation: u64,
        /// What the worker said last.
        error: String,
    },
    /// A worker died, and its seat is not filled before the delay is over.
    Waits {
        /// Name of the pool.
        pool: String,
        /// The seat.
        nr: u32,
        /// How often in a row its workers have died.
        failures: u32,
        /// How long it waits.
        delay: Duration,
        /// What was said of the last death.
        error: String,
    },
}
