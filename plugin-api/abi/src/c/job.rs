//! A lent job, for C.

use std::sync::{Mutex, PoisonError};

use abi_stable::std_types::{RResult, RSlice, RStr, RString};

use super::{
    Job, JobFunctions, NewJob, PUT_DONE,
    text::{borrowed, bytes, give, text},
};
use crate::{
    descriptor::Text,
    job::{self, RawJobRef},
};

/// A job in the form in which C is given it. Its first field is all that C knows of.
#[repr(C)]
pub(super) struct LentJob<'a> {
    head: Job,
    raw: RawJobRef<'a>,
    /// Reasons that C was given: they stay until the job is taken back.
    reasons: Mutex<Vec<RString>>,
}

static JOB: JobFunctions = JobFunctions {
    size: size_of::<JobFunctions>() as u32,
    reserved: 0,
    id: job_id,
    body: job_body,
    json: job_json,
    tube: job_tube,
    attempt: job_attempt,
    remaining_ms: job_remaining_ms,
    age_ms: job_age_ms,
    priority: job_priority,
    cancelled: job_cancelled,
    touch: job_touch,
    progress: job_progress,
    put: job_put,
};

impl<'a> LentJob<'a> {
    pub(super) fn new(raw: RawJobRef<'a>) -> Self {
        LentJob {
            head: Job {
                functions: &raw const JOB,
            },
            raw,
            reasons: Mutex::default(),
        }
    }

    pub(super) fn lend(&self) -> *const Job {
        std::ptr::from_ref(self).cast()
    }

    /// Keeps a reason for as long as the job is lent.
    fn keep(&self, reason: RString) -> Text {
        let kept = text(reason.as_bytes());
        // The bytes stay where they are when the string is moved.
        self.reasons
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reason);
        kept
    }
}

/// # Safety
///
/// The header's promise: `job` is the one that `execute` was lent, and `execute` has not returned.
unsafe fn lent<'a>(job: *const Job) -> &'a LentJob<'a> {
    // SAFETY: it came from `LentJob::lend`, whose value outlives the call, and it is `Sync`: the trait object is, and
    // the rest is a table and a lock.
    unsafe { &*job.cast::<LentJob<'a>>() }
}

unsafe extern "C" fn job_id(job: *const Job) -> u64 {
    // SAFETY: the header's promise on jobs, here as in the functions below.
    unsafe { lent(job) }.raw.id()
}

unsafe extern "C" fn job_body(job: *const Job) -> Text {
    // SAFETY: as above.
    text(unsafe { lent(job) }.raw.body().as_slice())
}

unsafe extern "C" fn job_json(job: *const Job, json_or_reason: *mut Text) -> bool {
    // SAFETY: as above.
    let job = unsafe { lent(job) };
    let (there, said) = match job.raw.json() {
        RResult::ROk(json) => (true, text(json.as_slice())),
        RResult::RErr(reason) => (false, job.keep(reason)),
    };
    // SAFETY: the header's promise: writable, or null.
    unsafe { give(json_or_reason, said) };
    there
}

unsafe extern "C" fn job_tube(job: *const Job) -> Text {
    // SAFETY: as above.
    text(unsafe { lent(job) }.raw.tube().as_str().as_bytes())
}

unsafe extern "C" fn job_attempt(job: *const Job) -> u32 {
    // SAFETY: as above.
    unsafe { lent(job) }.raw.attempt()
}

unsafe extern "C" fn job_remaining_ms(job: *const Job) -> u64 {
    // SAFETY: as above.
    unsafe { lent(job) }.raw.remaining_ms()
}

unsafe extern "C" fn job_age_ms(job: *const Job) -> u64 {
    // SAFETY: as above.
    unsafe { lent(job) }.raw.age_ms()
}

unsafe extern "C" fn job_priority(job: *const Job) -> u64 {
    // SAFETY: as above.
    unsafe { lent(job) }.raw.priority()
}

unsafe extern "C" fn job_cancelled(job: *const Job) -> bool {
    // SAFETY: as above.
    unsafe { lent(job) }.raw.cancelled()
}

unsafe extern "C" fn job_touch(job: *const Job) -> bool {
    // SAFETY: as above.
    unsafe { lent(job) }.raw.touch()
}

unsafe extern "C" fn job_progress(job: *const Job) -> bool {
    // SAFETY: as above.
    unsafe { lent(job) }.raw.progress()
}

unsafe extern "C" fn job_put(job: *const Job, put: *const NewJob, id: *mut u64, reason: *mut Text) -> u8 {
    // SAFETY: as above.
    let job = unsafe { lent(job) };
    // SAFETY: the header's promise: readable for the call, or null.
    let (said, new, why) = match unsafe { put.as_ref() } {
        // SAFETY: the header's promise on texts.
        Some(put) => match unsafe { put_over(job, put) } {
            RResult::ROk(new) => (PUT_DONE, new, text(&[])),
            RResult::RErr(error) => (error.failure.0, 0, job.keep(error.message)),
        },
        None => (job::PutFailure::REFUSED.0, 0, text(b"there is no job to put")),
    };
    // SAFETY: the header's promise: each writable, or null. Both are written, so C never reads what it did not set.
    unsafe {
        give(id, new);
        give(reason, why);
    }
    said
}

/// # Safety
///
/// The texts of `put` are readable while the call lasts.
unsafe fn put_over(job: &LentJob<'_>, put: &NewJob) -> RResult<u64, job::PutError> {
    // SAFETY: the caller's promise.
    let (tube, body) = unsafe { (borrowed(put.tube), bytes(put.body)) };
    job.raw.put(job::NewJob {
        tube: RStr::from_str(&tube),
        body: RSlice::from_slice(body),
        priority: put.priority,
        delay_ms: put.delay_ms,
        ttr_ms: put.ttr_ms,
    })
}
