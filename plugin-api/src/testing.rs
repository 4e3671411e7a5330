//! Runs a handler inside `cargo test`, without a host.
//!
//! The [`Harness`] stands where the host stands: it makes the handler through the plugin's adapter and lends it jobs
//! through the wire layer, so decoding, the guard against panics and the bridged log are those of production.
//!
//! What it does not do is read PHP: the host transcodes PHP-serialized bodies, and a handler never knows. Here a
//! body is JSON, or bytes that are not looked at.
//!
//! ```
//! use plugin_api::prelude::*;
//! use plugin_api::testing::{Harness, Verdict};
//!
//! struct Double;
//!
//! impl Handler for Double {
//!     type Config = ();
//!     type Payload = i64;
//!     fn new((): ()) -> Result<Self> { Ok(Double) }
//!     fn execute(&self, job: &Job, number: i64) -> Result {
//!         if job.attempt() > 3 { return Err(Error::bury("enough")) }
//!         let twice = number.checked_mul(2).ok_or("too large").or_retry_in(Duration::from_secs(1))?;
//!         Ok(json!(twice).into())
//!     }
//! }
//!
//! # fn main() -> Result<()> {
//! let outcome = Harness::<Double>::new(json!({}))?.run(json!(21));
//! assert_eq!((outcome.verdict, outcome.result), (Verdict::Done, Some(json!(42))));
//!
//! let outcome = Harness::<Double>::new(json!({}))?.attempt(4).run(json!(21));
//! assert_eq!((outcome.verdict, outcome.message.as_str()), (Verdict::Bury, "enough"));
//! # Ok(())
//! # }
//! ```

mod api;
mod lent;

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use asynccall_abi::{
    abi_stable::{sabi_trait::TD_Opaque, sabi_types::RRef, std_types::RResult},
    handler::RawHandlerBox,
    job::RawJob_TO,
    outcome as wire,
    plugin::CreateFailure,
};
use serde_json::Value;
use tracing::Level;

use crate::{
    adapter::{self, Run},
    done::Result,
    error::Error,
    host,
    put::NewJob,
};
use lent::{Facts, Lent};

pub use api::metric;

/// The name that handlers have in a harness.
const HANDLER: &str = "test";

/// Holds one configured handler and the facts of the jobs that it is lent.
///
/// A test of an `AsyncHandler` is a plain `#[test]`: the handler brings its own runtime.
pub struct Harness<H> {
    handler: RawHandlerBox,
    facts: Facts,
    kind: PhantomData<fn() -> H>,
}

impl<H> Harness<H> {
    /// Makes the handler, a `Handler` or an `AsyncHandler`, from its configuration, as the host does from
    /// `[handler.NAME]`. (The compiler finds out which of the two it is.)
    ///
    /// # Errors
    ///
    /// A configuration that does not fit, and what `new` answers; also its panic.
    pub fn new<K: 'static>(config: Value) -> Result<Self>
    where
        H: Run<K>,
    {
        host::connect(api::api(), env!("CARGO_PKG_NAME"), host::Place::Test);
        let config = config.to_string();
        let made =
            crate::panics::guard(0, || adapter::make::<K, H>(HANDLER, &config)).map_err(Error::exception)?;
        Ok(Harness {
            handler: made.map_err(|error| Error::failed(error.message))?,
            facts: Facts {
                tube: "test".to_owned(),
                attempt: 1,
                remaining: Some(Duration::from_secs(60)),
                age: Some(Duration::ZERO),
                priority: Some(1024),
                put_limit: usize::MAX,
                cancelled: AtomicBool::new(false),
            },
            kind: PhantomData,
        })
    }

    /// Name of the tube. `test` unless set.
    #[must_use]
    pub fn tube(mut self, tube: impl Into<String>) -> Self {
        self.facts.tube = tube.into();
        self
    }

    /// Which try it is. 1 unless set; 0 stands for a queue server that cannot be asked.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.facts.attempt = attempt;
        self
    }

    /// How long until the queue server takes the job back. A minute unless set.
    #[must_use]
    pub fn remaining(mut self, remaining: impl Into<Option<Duration>>) -> Self {
        self.facts.remaining = remaining.into();
        self
    }

    /// How long ago the job was put. 0 unless set.
    #[must_use]
    pub fn age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.facts.age = age.into();
        self
    }

    /// The job's priority. 1024 unless set.
    #[must_use]
    pub fn priority(mut self, priority: impl Into<Option<u32>>) -> Self {
        self.facts.priority = priority.into();
        self
    }

    /// How many jobs the handler may put while it runs one. As many as it likes unless set.
    #[must_use]
    pub fn put_limit(mut self, limit: usize) -> Self {
        self.facts.put_limit = limit;
        self
    }

    /// Whether the host wants the handler to give up. `false` unless set.
    #[must_use]
    pub fn cancelled(self, cancelled: bool) -> Self {
        self.facts.cancelled.store(cancelled, Ordering::Relaxed);
        self
    }

    /// Asks a handler that is running on another thread to give up, as a host does when it stops.
    pub fn cancel(&self) {
        self.facts.cancelled.store(true, Ordering::Relaxed);
    }

    /// Has the handler check itself, as the host does before it lends the first job.
    ///
    /// # Errors
    ///
    /// What `self_check` answers; also its panic.
    pub fn self_check(&self) -> Result<()> {
        match self.handler.self_check() {
            RResult::ROk(()) => Ok(()),
            RResult::RErr(refused) if refused.failure == CreateFailure::PANIC => {
                Err(Error::exception(refused.message))
            }
            RResult::RErr(refused) => Err(Error::failed(refused.message)),
        }
    }

    /// How often the handler wants to tick, as the host asks it before the first job.
    pub fn tick_every(&self) -> Option<Duration> {
        match self.handler.tick_every_ms() {
            0 => None,
            every => Some(Duration::from_millis(every)),
        }
    }

    /// Has the handler do what is due. What goes wrong is the host's log's business, and an error of this.
    ///
    /// # Errors
    ///
    /// What `tick` answers; also its panic.
    pub fn tick(&self) -> Result<()> {
        match api::complaint(|| self.handler.tick()) {
            Some(message) => Err(Error::failed(message)),
            None => Ok(()),
        }
    }

    /// Has the handler say goodbye, as the host does after the last job of a worker that leaves in order.
    pub fn shutdown(&self) {
        self.handler.shutdown();
    }

    /// Runs a job whose body is this JSON value.
    pub fn run(&self, payload: Value) -> Outcome {
        self.run_bytes(payload.to_string().as_bytes())
    }

    /// Runs a job with this body.
    pub fn run_bytes(&self, body: &[u8]) -> Outcome {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        let job = Lent::new(id, body, &self.facts);
        let lent = RawJob_TO::from_ptr(RRef::new(&job), TD_Opaque);
        let (answer, logs) = api::logged(id, || self.handler.execute(lent));
        let (progress, put) = job.into_calls();
        Outcome {
            progress,
            put,
            logs,
            ..Outcome::new(answer)
        }
    }
}

/// What a handler answered, to be compared in a test.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// What becomes of the job.
    pub verdict: Verdict,
    /// When the job shall be tried again; `None` leaves it to the host.
    pub delay: Option<Duration>,
    /// The priority that a released or buried job gets; `None` keeps the one it has.
    pub priority: Option<u32>,
    /// Why, in one line; empty for a done job.
    pub message: String,
    /// The result value of a done job.
    pub result: Option<Value>,
    /// How often the handler has said that it gets on, before it was asked to give up.
    pub progress: u64,
    /// The jobs that it has put.
    pub put: Vec<NewJob>,
    /// What was logged on behalf of the job until it ended, in order.
    pub logs: Vec<Log>,
}

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Deleted.
    Done,
    /// Tried again after the delay that the handler asked for.
    Retry,
    /// Buried.
    Bury,
    /// The handler failed; the retry policy decides.
    Failed,
    /// The handler panicked or gave no answer; the retry policy decides.
    Exception,
}

/// One log event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// Severity.
    pub level: Level,
    /// Module path, or the target that the author named.
    pub target: String,
    /// The message.
    pub message: String,
    /// Fields of the spans that the event happened in, outermost first, and then its own.
    pub fields: Vec<(String, String)>,
}

impl Outcome {
    fn new(answer: wire::Outcome) -> Self {
        let verdict = match answer.verdict.read() {
            wire::Reading::Done => Verdict::Done,
            wire::Reading::Retry => Verdict::Retry,
            wire::Reading::Bury => Verdict::Bury,
            wire::Reading::Failed => Verdict::Failed,
            wire::Reading::Exception => Verdict::Exception,
        };
        let delay = (answer.delay_ms != wire::DELAY_BY_POLICY).then_some(answer.delay_ms);
        Outcome {
            verdict,
            delay: delay.map(Duration::from_millis),
            priority: u32::try_from(answer.priority).ok(),
            message: answer.message.into(),
            result: serde_json::from_slice(&answer.result).ok(),
            progress: 0,
            put: Vec::new(),
            logs: Vec::new(),
        }
    }
}
