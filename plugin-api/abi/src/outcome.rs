//! What a handler answers.

use abi_stable::{
    StableAbi,
    std_types::{RString, RVec},
};

/// How a job ended. An integer, so that a host meets unknown values without undefined behaviour.
///
/// A host treats a value that it does not know as [`Verdict::RETRY`], with delay and priority. So a later
/// minor adds only verdicts for which that is a sensible reading.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict(pub u8);

impl Verdict {
    /// The job is done: the host deletes it.
    pub const DONE: Verdict = Verdict(0);
    /// The handler asks for another try: the host releases the job after [`Outcome::delay_ms`].
    pub const RETRY: Verdict = Verdict(1);
    /// The job must be looked at by a person: the host buries it.
    pub const BURY: Verdict = Verdict(2);
    /// The handler failed; the host's retry policy decides.
    pub const FAILED: Verdict = Verdict(3);
    /// The handler gave no answer: it panicked, or raised an exception in its own
    /// language. The host's retry policy decides.
    pub const EXCEPTION: Verdict = Verdict(4);

    /// The verdict as a host of this minor reads it: one of a later minor is a wish for another try.
    pub const fn read(self) -> Reading {
        match self {
            Verdict::DONE => Reading::Done,
            Verdict::BURY => Reading::Bury,
            Verdict::FAILED => Reading::Failed,
            Verdict::EXCEPTION => Reading::Exception,
            _ => Reading::Retry,
        }
    }
}

/// What a [`Verdict`] means to a host. It stays on its side of the border, and so has no layout to keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// [`Verdict::DONE`].
    Done,
    /// [`Verdict::RETRY`], and whatever is not known.
    Retry,
    /// [`Verdict::BURY`].
    Bury,
    /// [`Verdict::FAILED`].
    Failed,
    /// [`Verdict::EXCEPTION`].
    Exception,
}

/// [`Outcome::delay_ms`]: the host chooses the delay.
pub const DELAY_BY_POLICY: u64 = u64::MAX;
/// [`Outcome::priority`]: the job keeps the priority that it has.
pub const PRIORITY_KEEP: i64 = -1;

/// The answer to one job. Frozen: no field is ever added.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct Outcome {
    /// How the job ended.
    pub verdict: Verdict,
    /// Milliseconds until the next try, or [`DELAY_BY_POLICY`]. Only for [`Verdict::RETRY`]. The queue server
    /// counts in seconds.
    pub delay_ms: u64,
    /// 0 (most urgent) to `u32::MAX` for a job that is released or buried, or [`PRIORITY_KEEP`].
    /// Any other value reads as that.
    pub priority: i64,
    /// Why, in one line of UTF-8; empty where there is nothing to say.
    pub message: RString,
    /// The handler's result as JSON; empty where there is none.
    pub result: RVec<u8>,
}

impl Outcome {
    /// A done job with no result.
    pub fn done() -> Self {
        Outcome::new(Verdict::DONE, RString::new())
    }

    /// An answer with a reason, and everything else left to the host.
    pub fn new(verdict: Verdict, message: impl Into<RString>) -> Self {
        Outcome {
            verdict,
            delay_ms: DELAY_BY_POLICY,
            priority: PRIORITY_KEEP,
            message: message.into(),
            result: RVec::new(),
        }
    }
}
