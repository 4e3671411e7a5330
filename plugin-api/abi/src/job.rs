//! The job that a host lends to a handler for the time of one call.
#![allow(
    missing_docs,
    reason = "sabi_trait generates undocumented items beside the trait"
)]

use abi_stable::{
    StableAbi, sabi_trait,
    std_types::{RResult, RSlice, RStr, RString},
};

/// [`RawJob::remaining_ms`], [`RawJob::age_ms`] and [`RawJob::priority`]: the queue server could not be asked.
pub const UNKNOWN: u64 = u64::MAX;

/// A reserved job. Accessors instead of a struct, so that a minor version can add some.
///
/// `tube`, `attempt`, `remaining_ms`, `age_ms` and `priority` may together cost one
/// `stats-job` round trip, once per job. Every method may be called from any
/// thread while the call that the job was lent for runs, and none may be called after it.
#[sabi_trait]
pub trait RawJob: Send + Sync {
    /// The id that the queue server gave the job.
    fn id(&self) -> u64;

    /// The body as it was put, undecoded.
    fn body(&self) -> RSlice<'_, u8>;

    /// The body as a JSON document: a JSON body as it is, a PHP-serialized one
    /// transcoded. Made on the first call. The error says why there is none.
    fn json(&self) -> RResult<RSlice<'_, u8>, RString>;

    /// The logical name of the tube; `-` where the server could not be asked.
    fn tube(&self) -> RStr<'_>;

    /// 1 for the first try, one more for every release, time-out and crash of a worker since; 0 where
    /// the server could not be asked.
    fn attempt(&self) -> u32;

    /// Milliseconds until the queue server takes the job back.
    fn remaining_ms(&self) -> u64;

    /// Milliseconds since the job was put, in the server's resolution of seconds.
    fn age_ms(&self) -> u64;

    /// The job's priority, 0 being the most urgent.
    fn priority(&self) -> u64;

    /// Whether the host wants the handler to give up: it stops, or the job is lost to this worker.
    fn cancelled(&self) -> bool;

    /// Asks the queue server for a fresh time to run. `false` where the job is no longer ours.
    #[sabi(last_prefix_field)]
    fn touch(&self) -> bool;

    /// Says that the work gets on: the host counts its limit on the time of a job from now. Since abi 1.1.
    ///
    /// Cheap: nothing is asked of the queue server, and what it knows of the job stays as it is. `false` where the
    /// handler should give up, as [`RawJob::cancelled`] would say, and then the report counts for nothing. A host
    /// that lacks it has `cancelled` answer, and its limit stays where it is.
    fn progress(&self) -> bool {
        !self.cancelled()
    }

    /// Puts another job on the queue server that this one came from; its id, or why not. Since abi 1.2.
    ///
    /// It costs a round trip. A host that lacks it puts nothing.
    fn put(&self, job: NewJob<'_>) -> RResult<u64, PutError> {
        let _ = job;
        RResult::RErr(PutError {
            failure: PutFailure::UNSUPPORTED,
            message: RString::from("the host is older than plugin-abi 1.2 and puts no jobs for its handlers"),
        })
    }
}

/// [`NewJob::ttr_ms`]: the time to run that the job in hand has.
pub const TTR_KEEP: u64 = 0;

/// A job to be put. Frozen: no field is ever added. All of it is borrowed for the call.
#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct NewJob<'a> {
    /// Logical name of the tube; empty: that of the job in hand.
    pub tube: RStr<'a>,
    /// The body, put as it is.
    pub body: RSlice<'a, u8>,
    /// 0 (most urgent) to `u32::MAX`, or [`PRIORITY_KEEP`](crate::outcome::PRIORITY_KEEP): that of the job in hand.
    /// Any other value reads as that.
    pub priority: i64,
    /// Milliseconds until the job becomes ready. The queue server counts in seconds.
    pub delay_ms: u64,
    /// Milliseconds that a worker has for the job, or [`TTR_KEEP`]. The queue server counts in seconds.
    pub ttr_ms: u64,
}

/// Why a job was not put. An integer for the same reason as [`crate::outcome::Verdict`].
///
/// A plugin treats a value that it does not know as [`PutFailure::REFUSED`]. 255 is never one: in C it says that the job
/// was put.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct PutFailure(pub u8);

impl PutFailure {
    /// There is nobody who would put it: the host is older, or the job came from no queue server.
    pub const UNSUPPORTED: PutFailure = PutFailure(0);
    /// The operator allows no jobs, or no more of them.
    pub const LIMIT: PutFailure = PutFailure(1);
    /// The job is none that can be put, or the queue server refused it.
    pub const REFUSED: PutFailure = PutFailure(2);
    /// The queue server gave no answer: the job may be there or not.
    pub const UNKNOWN: PutFailure = PutFailure(3);
}

/// The error of [`RawJob::put`]. Frozen: no field is ever added.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct PutError {
    /// What kind of failure it was.
    pub failure: PutFailure,
    /// Why, in one line.
    pub message: RString,
}

/// How a job is passed: a borrowed trait object.
pub type RawJobRef<'a> = RawJob_TO<'a, abi_stable::sabi_types::RRef<'a, ()>>;
