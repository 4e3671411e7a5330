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
}

/// How a handler is owned by its host.
pub type RawHandlerBox = RawHandler_TO<'static, RBox<()>>;
