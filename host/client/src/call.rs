//! A call as the PHP library's client makes it: which method of which model, when, and what becomes of a failure.
//!
//! Owns the parameters of that client ([`Call`]), the rules between them ([`InvalidCall`]) and the message that they
//! become ([`Encoding`]). Pure: does no I/O, and `now` is an argument. Who puts the jobs is [`crate::producer`]'s.
//!
//! # The message
//!
//! Nine keys, in this order: `model`, `method`, `modelParams`, `methodParams`, `errorRetry`, `noRetry`, `priority`,
//! `retryIntervalTime`, `retryStopAt`. [`Encoding::Php`] is `serialize()` of that array, byte for byte what the PHP
//! library's client puts. [`Encoding::Json`] is an object of the same keys: the JSON view that a host makes of the PHP body
//! ([`crate::payload`]), so a handler cannot tell which of the two was put.
//!
//! # Where this differs from the PHP library
//!
//! | in PHP | here |
//! |---|---|
//! | `retryTimeTable => []` puts nothing and answers `true` | [`InvalidCall::EmptyTable`] |
//! | an entry in the past throws half way, with the jobs before it put | [`InvalidCall::PastEntry`], and nothing is put |
//! | a negative `delay` or `ttr` makes the server run the body as commands | [`InvalidCall::Delay`], [`InvalidCall::Ttr`] |
//! | `ttr` 0 is sent, and the server makes it 1 | [`InvalidCall::Ttr`] |
//! | any text with the look of a date passes as `retryStopAt` | it has to be `Y-m-d H:i:s` and to exist |
//! | `methodParams` that are no array pass, and kill the worker | [`InvalidCall::MethodParams`] |
//! | `errorRetry` and `noRetry` are sent as they are given, `1` too | booleans |
//! | the model and its method have to exist where the call is made | only the handler knows them |

mod body;
mod invalid;
mod stop_at;
#[cfg(test)]
mod tests;

pub use self::body::{Encoding, UnknownEncoding};
pub use self::invalid::InvalidCall;
pub use self::stop_at::StopAt;
use crate::payload::php::Value;
use crate::producer::Put;

/// How long a worker has unless [`Call::ttr`] says otherwise, in seconds: the PHP library's default.
pub const DEFAULT_TTR: u32 = 60;

/// A method of a model to be called by a worker.
///
/// The setters have the names of the PHP library's parameters. None of them checks anything: [`Call::prepare`] does, and so
/// does every client before the first byte goes out. Numbers are signed, so that a time that was computed and has
/// turned out negative is an error and no wish for the far future.
///
/// ```
/// use asynccall_client::call::{Call, Encoding};
///
/// let call = Call::new("Order", "cancel").model_params(42).method_params(["late"]).delay(10);
/// let prepared = call.prepare(1_700_000_000, Encoding::Json)?;
/// assert_eq!(prepared.delays(), [10]);
/// assert_eq!(
///     String::from_utf8_lossy(prepared.body()),
///     r#"{"model":"Order","method":"cancel","modelParams":42,"methodParams":["late"],"errorRetry":false,"noRetry":false,"priority":1700000000,"retryIntervalTime":0,"retryStopAt":""}"#
/// );
/// # Ok::<(), asynccall_client::call::InvalidCall>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    model: String,
    method: String,
    model_params: Value<'static>,
    method_params: Value<'static>,
    delay: i64,
    ttr: i64,
    retry_time_table: Option<Vec<i64>>,
    retry_interval_time: Option<i64>,
    retry_stop_at: Option<StopAt>,
    error_retry: bool,
    no_retry: bool,
    force_sync: bool,
}

impl Call {
    /// A call of `method` on a new instance of `model`, at once, with no arguments.
    #[must_use]
    pub fn new(model: impl Into<String>, method: impl Into<String>) -> Call {
        Call {
            model: model.into(),
            method: method.into(),
            model_params: Value::Null,
            method_params: Value::Null,
            delay: 0,
            ttr: i64::from(DEFAULT_TTR),
            retry_time_table: None,
            retry_interval_time: None,
            retry_stop_at: None,
            error_retry: false,
            no_retry: false,
            force_sync: false,
        }
    }

    /// `modelParams`: which instance. A primary key, criteria (`conditions`, `bind` …), or nothing (null or the empty
    /// text) for a new one.
    ///
    /// A map from `json!` has its keys sorted; [`crate::payload::php::from_json`] keeps the order of a text.
    #[must_use]
    pub fn model_params(mut self, params: impl Into<Value<'static>>) -> Call {
        self.model_params = params.into();
        self
    }

    /// `methodParams`: the arguments, a list, or a map by name. What PHP takes for false means none.
    #[must_use]
    pub fn method_params(mut self, params: impl Into<Value<'static>>) -> Call {
        self.method_params = params.into();
        self
    }

    /// `delay`: seconds until the job may run, 0 to [`u32::MAX`].
    #[must_use]
    pub fn delay(mut self, seconds: i64) -> Call {
        self.delay = seconds;
        self
    }

    /// `ttr`: seconds that a worker has, 1 to [`u32::MAX`]; [`DEFAULT_TTR`] unless set.
    #[must_use]
    pub fn ttr(mut self, seconds: i64) -> Call {
        self.ttr = seconds;
        self
    }

    /// `retryTimeTable`: moments in Unix seconds, each of which gets a job of its own with the same message.
    ///
    /// [`Call::delay`] comes on top. Not together with [`Call::retry_interval_time`] or [`Call::retry_stop_at`].
    #[must_use]
    pub fn retry_time_table(mut self, moments: impl IntoIterator<Item = i64>) -> Call {
        self.retry_time_table = Some(moments.into_iter().collect());
        self
    }

    /// `retryIntervalTime`: after how many seconds a failed job is tried again; 0 is never. More than 0 needs
    /// [`Call::retry_stop_at`].
    #[must_use]
    pub fn retry_interval_time(mut self, seconds: i64) -> Call {
        self.retry_interval_time = Some(seconds);
        self
    }

    /// `retryStopAt`: when a failed job is tried no more, in the time zone of the worker. See [`StopAt`].
    #[must_use]
    pub fn retry_stop_at(mut self, end: impl Into<StopAt>) -> Call {
        self.retry_stop_at = Some(end.into());
        self
    }

    /// `forceSync`: run here and now, with no queue; see [`Client::with_local`](crate::Client::with_local). Delay, TTR and
    /// retries are checked and then have no meaning, as in PHP.
    #[must_use]
    pub fn force_sync(mut self, here: bool) -> Call {
        self.force_sync = here;
        self
    }

    /// `errorRetry`: whether a job that threw (or panicked) is tried again after 10 s.
    #[must_use]
    pub fn error_retry(mut self, again: bool) -> Call {
        self.error_retry = again;
        self
    }

    /// `noRetry`: whether the job runs at most once: it is deleted before it runs.
    #[must_use]
    pub fn no_retry(mut self, once: bool) -> Call {
        self.no_retry = once;
        self
    }

    /// Whether [`Call::force_sync`] was asked for.
    #[must_use]
    pub fn is_forced_sync(&self) -> bool {
        self.force_sync
    }

    /// Checks everything and writes the message. `now` is in Unix seconds; it becomes the priority, as in PHP.
    ///
    /// # Errors
    /// The first rule that the call breaks.
    pub fn prepare(&self, now: i64, encoding: Encoding) -> Result<Prepared, InvalidCall> {
        if self.model.is_empty() {
            return Err(InvalidCall::NoModel);
        }
        if self.method.is_empty() {
            return Err(InvalidCall::NoMethod);
        }
        self.check_retries()?;
        let ttr = in_range(self.ttr, 1).ok_or(InvalidCall::Ttr { found: self.ttr })?;
        let delays = self.delays(now)?;
        let body = body::write(self, now, encoding)?;
        // A clock before 1970 or after 2106 is wrong, and no reason to put nothing.
        let priority = u32::try_from(now.max(0)).unwrap_or(u32::MAX);
        Ok(Prepared {
            body,
            priority,
            ttr,
            delays,
        })
    }

    fn check_retries(&self) -> Result<(), InvalidCall> {
        let beside = match (&self.retry_interval_time, &self.retry_stop_at) {
            (Some(_), _) => Some("retryIntervalTime"),
            (None, Some(_)) => Some("retryStopAt"),
            (None, None) => None,
        };
        if let (Some(_), Some(beside)) = (&self.retry_time_table, beside) {
            return Err(InvalidCall::TableBeside { beside });
        }
        if let Some(stop_at) = &self.retry_stop_at {
            stop_at.check()?;
        }
        match self.retry_interval_time {
            Some(found) if in_range(found, 0).is_none() => Err(InvalidCall::Interval { found }),
            Some(1..) if self.retry_stop_at.is_none() => Err(InvalidCall::IntervalWithoutEnd),
            _ => Ok(()),
        }
    }

    /// One delay for each job.
    fn delays(&self, now: i64) -> Result<Vec<u32>, InvalidCall> {
        let delay = in_range(self.delay, 0).ok_or(InvalidCall::Delay { found: self.delay })?;
        let Some(table) = &self.retry_time_table else {
            return Ok(vec![delay]);
        };
        if table.is_empty() {
            return Err(InvalidCall::EmptyTable);
        }
        let of_entry = |&entry: &i64| {
            let ahead = entry.saturating_add(self.delay).saturating_sub(now);
            match in_range(ahead, 0) {
                Some(delay) => Ok(delay),
                None if ahead < 0 => Err(InvalidCall::PastEntry {
                    entry,
                    ago: ahead.unsigned_abs(),
                }),
                None => Err(InvalidCall::FarEntry { entry }),
            }
        };
        table.iter().map(of_entry).collect()
    }
}

/// `number` where the server takes it: from `least` to what 32 bits hold.
fn in_range(number: i64, least: u32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number >= least)
}

/// The jobs of a call: one message, put once for each delay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    body: Vec<u8>,
    priority: u32,
    ttr: u32,
    delays: Vec<u32>,
}

impl Prepared {
    /// The message.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Seconds until each job may run, never empty.
    #[must_use]
    pub fn delays(&self) -> &[u32] {
        &self.delays
    }

    /// The jobs, never none.
    #[must_use]
    pub fn puts(&self) -> Vec<Put<'_>> {
        let put = |&delay: &u32| {
            let put = Put::new(self.body.as_slice());
            put.priority(self.priority).delay(delay).ttr(self.ttr)
        };
        self.delays.iter().map(put).collect()
    }
}
