//! Jobs that a handler puts while it runs another.

use std::{fmt, time::Duration};

use asynccall_abi::{
    abi_stable::std_types::{RSlice, RStr},
    job::{self as wire, PutFailure, TTR_KEEP},
    outcome::PRIORITY_KEEP,
};
use serde::Serialize;

use crate::{done::Result, error::millis};

/// A job to be put with [`Job::put`](crate::Job::put), on the queue server that the job in hand came from.
///
/// Unless said otherwise it goes to the tube of the job in hand, at once, with that job's priority and time to run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct NewJob {
    pub(crate) tube: String,
    pub(crate) body: Vec<u8>,
    pub(crate) priority: Option<u32>,
    pub(crate) delay: Duration,
    pub(crate) ttr: Option<Duration>,
}

impl NewJob {
    /// A job whose body is `payload` in JSON: what a handler with that [`Payload`](crate::Handler::Payload) takes.
    ///
    /// # Errors
    ///
    /// A value that JSON cannot express, such as a map whose keys are no strings.
    pub fn of<T: Serialize + ?Sized>(payload: &T) -> Result<NewJob> {
        Ok(NewJob::raw(serde_json::to_vec(payload)?))
    }

    /// A job with any body.
    pub fn raw(body: impl Into<Vec<u8>>) -> NewJob {
        NewJob {
            tube: String::new(),
            body: body.into(),
            priority: None,
            delay: Duration::ZERO,
            ttr: None,
        }
    }

    /// For another tube, by its logical name, as the host's configuration has it.
    pub fn tube(mut self, tube: impl Into<String>) -> NewJob {
        self.tube = tube.into();
        self
    }

    /// With another priority, 0 being the most urgent.
    pub fn priority(mut self, priority: u32) -> NewJob {
        self.priority = Some(priority);
        self
    }

    /// Ready after that time. The queue server counts in seconds; the host rounds up.
    pub fn delay(mut self, delay: Duration) -> NewJob {
        self.delay = delay;
        self
    }

    /// With that time to run. The queue server counts in seconds; the host rounds up, to one at least.
    pub fn ttr(mut self, ttr: Duration) -> NewJob {
        self.ttr = Some(ttr);
        self
    }

    pub(crate) fn wire(&self) -> wire::NewJob<'_> {
        wire::NewJob {
            tube: RStr::from_str(&self.tube),
            body: RSlice::from_slice(&self.body),
            priority: self.priority.map_or(PRIORITY_KEEP, i64::from),
            delay_ms: millis(self.delay),
            // No time at all is no wish for the other job's.
            ttr_ms: self.ttr.map_or(TTR_KEEP, |ttr| millis(ttr).max(1)),
        }
    }
}

/// Why a job was not put. With `?` it is a failure of the job in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutError {
    /// What kind of failure it was.
    pub kind: PutErrorKind,
    message: String,
}

/// What kind of failure a [`PutError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PutErrorKind {
    /// There is nobody who would put it: the host is older than plugin-abi 1.2, or the job came from no queue server.
    Unsupported,
    /// The operator allows no jobs, or no more of them (`put_limit` of the pool).
    Limit,
    /// The job is none that can be put, or the queue server refused it.
    Refused,
    /// The queue server gave no answer: the job may be there or not.
    Unknown,
}

impl From<wire::PutError> for PutError {
    fn from(error: wire::PutError) -> Self {
        let kind = match error.failure {
            PutFailure::UNSUPPORTED => PutErrorKind::Unsupported,
            PutFailure::LIMIT => PutErrorKind::Limit,
            PutFailure::UNKNOWN => PutErrorKind::Unknown,
            _ => PutErrorKind::Refused,
        };
        PutError {
            kind,
            message: error.message.into(),
        }
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot put a job: {}", self.message)
    }
}

impl std::error::Error for PutError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_what_the_wire_counts_in() {
        let job = NewJob::raw("")
            .delay(Duration::from_micros(1))
            .ttr(Duration::ZERO);
        assert_eq!((job.wire().delay_ms, job.wire().ttr_ms), (1, 1));
        let job = NewJob::raw("").delay(Duration::from_micros(2_001));
        assert_eq!((job.wire().delay_ms, job.wire().ttr_ms), (3, TTR_KEEP));
        assert_eq!(NewJob::raw("").wire().delay_ms, 0);
    }
}
