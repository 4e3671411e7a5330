//! The job as a handler sees it.

use std::time::Duration;

use asynccall_abi::{
    abi_stable::std_types::RResult,
    job::{RawJobRef, UNKNOWN},
};
use serde::de::DeserializeOwned;

use crate::{
    decode,
    done::Result,
    error::Error,
    put::{NewJob, PutError},
};

/// A reserved job, lent for the time of one call.
///
/// `tube`, `attempt`, `remaining`, `age` and `priority` may together cost one round trip to the queue
/// server, once per job; a handler that does not ask does not pay.
pub struct Job<'a> {
    raw: RawJobRef<'a>,
}

impl<'a> Job<'a> {
    pub(crate) fn new(raw: RawJobRef<'a>) -> Self {
        Job { raw }
    }

    /// The id that the queue server gave the job. Unique for as long as the server runs.
    pub fn id(&self) -> u64 {
        self.raw.id()
    }

    /// The body as it was put, undecoded.
    pub fn body(&self) -> &[u8] {
        self.raw.body().as_slice()
    }

    /// The body as a JSON document: a JSON body as it is, a PHP-serialized one transcoded by the host.
    ///
    /// # Errors
    ///
    /// Why there is none: the body is empty, or in neither format. Passed on with `?` it buries the job.
    pub fn json(&self) -> Result<&[u8]> {
        match self.raw.json() {
            RResult::ROk(json) => Ok(json.as_slice()),
            RResult::RErr(reason) => Err(Error::bury(reason)),
        }
    }

    /// Decodes the body, as is done for a typed [`Handler::Payload`](crate::Handler::Payload).
    ///
    /// # Errors
    ///
    /// As for [`Job::json`]; that the body is not UTF-8, wherever in it that is, as PHP's `json_decode` has it; and serde's
    /// sentence where the body does not fit `T`. Passed on with `?` it buries the job.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        decode::from_slice(self.json()?)
            .map_err(|sentence| Error::bury(format_args!("the payload does not fit: {sentence}")))
    }

    /// The name of the tube that the job came from; `-` where the queue server could not be asked.
    pub fn tube(&self) -> &str {
        self.raw.tube().as_str()
    }

    /// 1 for the first try, 2 for the second; 0 where the queue server could not be asked.
    pub fn attempt(&self) -> u32 {
        self.raw.attempt()
    }

    /// How long until the queue server takes the job back and gives it to another worker.
    ///
    /// `None` where the queue server could not be asked.
    pub fn remaining(&self) -> Option<Duration> {
        known(self.raw.remaining_ms()).map(Duration::from_millis)
    }

    /// How long ago the job was put, in steps of a second. `None` where the queue server could not be asked.
    pub fn age(&self) -> Option<Duration> {
        known(self.raw.age_ms()).map(Duration::from_millis)
    }

    /// The job's priority, 0 being the most urgent. `None` where the queue server could not be asked.
    pub fn priority(&self) -> Option<u32> {
        known(self.raw.priority()).and_then(|priority| u32::try_from(priority).ok())
    }

    /// Whether the handler should give up: the host stops, or the job is lost to this worker.
    ///
    /// Cheap enough for a loop. What a handler answers then is up to it; a retry is the usual choice.
    pub fn cancelled(&self) -> bool {
        self.raw.cancelled()
    }

    /// Asks the queue server for a fresh time to run. `false` where the job is no longer ours.
    pub fn touch(&self) -> bool {
        self.raw.touch()
    }

    /// Says that the work gets on: the host counts its limit on the time of a job (`max_runtime`) from now.
    ///
    /// Without it a job has that limit for all of its work; a handler that reports from time to time has it from one
    /// report to the next, so a job of many steps may take as long as it needs, and one that hangs is still ended.
    /// It is cheap enough for a loop. The time to run that the queue server grants is another matter, which the host
    /// looks after by itself.
    ///
    /// `false` where the handler should give up, as [`Job::cancelled`] says: then it is too late for a report.
    /// A host older than this method (plugin-abi 1.0) answers the same and leaves its limit where it is.
    ///
    /// ```
    /// use plugin_api::prelude::*;
    ///
    /// struct Import;
    ///
    /// impl Handler for Import {
    ///     type Config = ();
    ///     type Payload = Vec<String>;
    ///     fn new((): ()) -> Result<Self> { Ok(Import) }
    ///     fn execute(&self, job: &Job, rows: Vec<String>) -> Result {
    ///         for (number, row) in rows.iter().enumerate() {
    ///             debug!(number, row, "imported");
    ///             if !job.progress() {
    ///                 return Err(Error::retry_in(Duration::from_secs(60), "asked to give up"));
    ///             }
    ///         }
    ///         Ok(().into())
    ///     }
    /// }
    /// # use plugin_api::testing::{Harness, Verdict};
    /// # fn main() -> Result<()> {
    /// # let outcome = Harness::<Import>::new(json!({}))?.run(json!(["a", "b"]));
    /// # assert_eq!((outcome.verdict, outcome.progress), (Verdict::Done, 2));
    /// # let outcome = Harness::<Import>::new(json!({}))?.cancelled(true).run(json!(["a", "b"]));
    /// # assert_eq!((outcome.verdict, outcome.progress), (Verdict::Retry, 0));
    /// # Ok(())
    /// # }
    /// ```
    pub fn progress(&self) -> bool {
        self.raw.progress()
    }

    /// Puts another job on the queue server that this one came from, and answers with its id.
    ///
    /// How many a handler may put for one job is the operator's to say (`put_limit` of the pool, none unless set). It costs
    /// a round trip. The job is there as soon as this returns, whatever becomes of the job in hand: one that is
    /// tried again puts its jobs again, so they belong to the end of the work, and their handlers have to bear a second one.
    ///
    /// ```
    /// use plugin_api::{NewJob, prelude::*};
    ///
    /// struct Import;
    ///
    /// impl Handler for Import {
    ///     type Config = ();
    ///     type Payload = Vec<String>;
    ///     fn new((): ()) -> Result<Self> { Ok(Import) }
    ///     fn execute(&self, job: &Job, files: Vec<String>) -> Result {
    ///         for file in &files {
    ///             job.put(&NewJob::of(file)?.tube("thumbnails").delay(Duration::from_secs(2)))?;
    ///         }
    ///         Ok(().into())
    ///     }
    /// }
    /// # use plugin_api::testing::{Harness, Verdict};
    /// # fn main() -> Result<()> {
    /// # let outcome = Harness::<Import>::new(json!({}))?.run(json!(["a", "b"]));
    /// # assert_eq!(outcome.put[1], NewJob::of("b")?.tube("thumbnails").delay(Duration::from_secs(2)));
    /// # let outcome = Harness::<Import>::new(json!({}))?.put_limit(1).run(json!(["a", "b"]));
    /// # assert_eq!((outcome.verdict, outcome.put.len()), (Verdict::Failed, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`PutErrorKind`](crate::PutErrorKind).
    pub fn put(&self, job: &NewJob) -> Result<u64, PutError> {
        self.raw.put(job.wire()).into_result().map_err(PutError::from)
    }
}

fn known(value: u64) -> Option<u64> {
    (value != UNKNOWN).then_some(value)
}
