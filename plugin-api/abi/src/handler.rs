//! The handler that a plugin makes and a host calls.
#![allow(
    missing_docs,
    reason = "sabi_trait generates undocumented items beside the trait"
)]

use abi_stable::{
    sabi_trait,
    std_types::{RBox, RResult},
};

use crate::{job::RawJobRef, outcome::Outcome, plugin::CreateError};

/// One configured handler. A host calls it from any number of threads at once.
///
/// It is dropped at most once, on any thread, after the last call has returned; not at all
/// where the process ends first. The drop must not unwind either.
#[sabi_trait]
pub trait RawHandler: Send + Sync {
    /// Runs one job to its end. Must not unwind.
    #[sabi(last_prefix_field)]
    fn execute(&self, job: RawJobRef<'_>) -> Outcome;

    /// Whether the handler can do its work. Since abi 1.1; one that lacks it can. Must not unwind.
    ///
    /// A host calls it before the handler's first job and lends it none where it fails. The failure is
    /// [`FAILED`](crate::plugin::CreateFailure::FAILED) or [`PANIC`](crate::plugin::CreateFailure::PANIC).
    fn self_check(&self) -> RResult<(), CreateError> {
        RResult::ROk(())
    }

    /// How often the handler wants [`RawHandler::tick`], in milliseconds; 0: never. Since abi 1.2. Must not unwind.
    ///
    /// A host asks once, after the self-check.
    fn tick_every_ms(&self) -> u64 {
        0
    }

    /// Does what is due apart from jobs. Since abi 1.2. Must not unwind.
    ///
    /// A host calls it from one thread at a time while jobs run on others, and not sooner after the last call has
    /// returned than [`RawHandler::tick_every_ms`] says.
    fn tick(&self) {}

    /// Nothing more will be asked of the handler: it can say goodbye to others. Since abi 1.2. Must not unwind.
    ///
    /// A host calls it at most once, after the last job and tick have returned, in a process that ends in order. The
    /// process may end before it has returned.
    fn shutdown(&self) {}
}

/// How a handler is owned by its host.
pub type RawHandlerBox = RawHandler_TO<'static, RBox<()>>;
