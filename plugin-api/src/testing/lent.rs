//! The job that a harness lends to the handler, and what the handler does with it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use asynccall_abi::{
    abi_stable::std_types::{RResult, RSlice, RStr, RString},
    job::{self as wire, PutError, PutFailure, RawJob, TTR_KEEP, UNKNOWN},
};
use serde::de::IgnoredAny;

use crate::put::NewJob;

/// What a job answers besides its id and body.
pub(super) struct Facts {
    pub(super) tube: String,
    pub(super) attempt: u32,
    pub(super) remaining: Option<Duration>,
    pub(super) age: Option<Duration>,
    pub(super) priority: Option<u32>,
    /// How many jobs may be put for it.
    pub(super) put_limit: usize,
    pub(super) cancelled: AtomicBool,
}

/// The job that the harness lends.
pub(super) struct Lent<'a> {
    id: u64,
    body: &'a [u8],
    facts: &'a Facts,
    progress: AtomicU64,
    put: Mutex<Vec<NewJob>>,
}

impl<'a> Lent<'a> {
    /// A job with that id and body.
    pub(super) fn new(id: u64, body: &'a [u8], facts: &'a Facts) -> Self {
        Lent {
            id,
            body,
            facts,
            progress: AtomicU64::new(0),
            put: Mutex::default(),
        }
    }

    /// How often the handler has said that it gets on, and the jobs that it has put.
    pub(super) fn into_calls(self) -> (u64, Vec<NewJob>) {
        let put = self.put.into_inner().unwrap_or_else(PoisonError::into_inner);
        (self.progress.into_inner(), put)
    }
}

impl RawJob for Lent<'_> {
    fn id(&self) -> u64 {
        self.id
    }

    fn body(&self) -> RSlice<'_, u8> {
        RSlice::from_slice(self.body)
    }

    fn json(&self) -> RResult<RSlice<'_, u8>, RString> {
        if self.body.is_empty() {
            return RResult::RErr("the body is empty".into());
        }
        match serde_json::from_slice::<IgnoredAny>(self.body) {
            Ok(_) => RResult::ROk(self.body()),
            Err(error) => RResult::RErr(format!("the body is not JSON: {error}").into()),
        }
    }

    fn tube(&self) -> RStr<'_> {
        RStr::from_str(&self.facts.tube)
    }

    fn attempt(&self) -> u32 {
        self.facts.attempt
    }

    fn remaining_ms(&self) -> u64 {
        millis(self.facts.remaining)
    }

    fn age_ms(&self) -> u64 {
        millis(self.facts.age)
    }

    fn priority(&self) -> u64 {
        self.facts.priority.map_or(UNKNOWN, u64::from)
    }

    fn cancelled(&self) -> bool {
        self.facts.cancelled.load(Ordering::Relaxed)
    }

    fn touch(&self) -> bool {
        true
    }

    fn progress(&self) -> bool {
        let counts = !self.cancelled();
        self.progress.fetch_add(counts.into(), Ordering::Relaxed);
        counts
    }

    fn put(&self, job: wire::NewJob<'_>) -> RResult<u64, PutError> {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        if put.len() >= self.facts.put_limit {
            return RResult::RErr(PutError {
                failure: PutFailure::LIMIT,
                message: format!("the job has put {} already, which is its limit", put.len()).into(),
            });
        }
        put.push(NewJob {
            tube: job.tube.into(),
            body: job.body.to_vec(),
            priority: u32::try_from(job.priority).ok(),
            delay: Duration::from_millis(job.delay_ms),
            ttr: (job.ttr_ms != TTR_KEEP).then(|| Duration::from_millis(job.ttr_ms)),
        });
        RResult::ROk(self.id + put.len() as u64)
    }
}

fn millis(time: Option<Duration>) -> u64 {
    time.and_then(|time| u64::try_from(time.as_millis()).ok())
        .unwrap_or(UNKNOWN)
}
