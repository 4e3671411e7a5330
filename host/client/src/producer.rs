//! Putting jobs: the blocking [`Client`], and what it shares with the one on tokio (`asynchronous`).
//!
//! Owns the reconnecting, the batches and the account of what became of each job. What a call means is
//! [`crate::call`]'s. Pure parts: `batch`, which knows what to send next and what every reply is about.
//!
//! # Once, at least once
//!
//! Where a connection is lost after a put was sent and before its answer came, nobody knows whether the job is in the queue.
//! A client says so, with [`PutError::Unknown`], and leaves it there: putting the job again might put it twice.
//! [`Client::with_resends`] has it put again all the same; then a job is put *at least* once, and its handler has to
//! notice a second one by itself, as it has to in any case. No other error hides a job that was put, and a client never puts
//! again in secret.
//!
//! A connection that the server has closed while it was idle is noticed before anything is sent, and replaced.

mod batch;
mod error;
mod put;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use self::batch::Batch;
pub use self::error::{CallError, LocalFailure, LocalFailureKind};
pub use self::put::{DEFAULT_PRIORITY, Put};
use crate::call::{Call, Encoding};
use crate::connection::{Address, Connection, ConnectionError, Options, PutError};
use crate::protocol::JobId;
use crate::tube::TubeName;

/// Runs a message in this process and answers with the handler's result: a JSON document, empty where there is none.
pub(crate) type Local = Box<dyn FnMut(&[u8]) -> Result<Vec<u8>, LocalFailure> + Send>;

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// The jobs were put: one, or one for each entry of the time table, in its order.
    Put(Vec<JobId>),
    /// The call was run here, and this is the handler's result: a JSON document, empty where there is none.
    Ran(Vec<u8>),
}

/// Puts jobs into one tube of one server, over a connection that it makes when it needs one.
///
/// A tube is [`TubeName::new`] under its own name and [`crc32_name`](crate::tube::crc32_name) under the one that the PHP
/// library uses.
///
/// ```no_run
/// use asynccall_client::{Call, Client, producer::Called, tube::TubeName};
///
/// let mut client = Client::new("127.0.0.1:11300".parse()?, TubeName::new("orders")?);
/// let call = Call::new("Order", "cancel").model_params(42).delay(10);
/// if let Called::Put(ids) = client.call(&call)? {
///     println!("job {}", ids[0]);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client {
    settings: Settings,
    open: Option<Open>,
    local: Option<Local>,
}

/// What a client was told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) options: Options,
    pub(crate) tube: TubeName,
    pub(crate) encoding: Encoding,
    pub(crate) resends: u32,
}

struct Open {
    connection: Connection,
    used: Option<TubeName>,
}

impl Client {
    /// A client of the server at `address` that puts into `tube`. Connects when it is first needed.
    #[must_use]
    pub fn new(address: Address, tube: TubeName) -> Client {
        Client {
            settings: Settings::new(address, tube),
            open: None,
            local: None,
        }
    }

    /// With other time-outs. To be set before the first put.
    #[must_use]
    pub fn with_options(mut self, options: Options) -> Client {
        self.settings.options = options;
        self
    }

    /// With messages in another format than JSON.
    #[must_use]
    pub fn with_encoding(mut self, encoding: Encoding) -> Client {
        self.settings.encoding = encoding;
        self
    }

    /// Puts again, on a new connection and at once, what has no answer when a connection is lost: up to `times` for each
    /// call or batch. **A job may then be there twice.**
    #[must_use]
    pub fn with_resends(mut self, times: u32) -> Client {
        self.settings.resends = times;
        self
    }

    /// Runs calls with [`Call::force_sync`] by `run`, which is given the message and answers with the handler's result: a
    /// JSON document, empty where there is none.
    ///
    /// `asynccall_host::local` has one that runs a plugin's handler.
    #[must_use]
    pub fn with_local(
        mut self,
        run: impl FnMut(&[u8]) -> Result<Vec<u8>, LocalFailure> + Send + 'static,
    ) -> Client {
        self.local = Some(Box::new(run));
        self
    }

    /// Puts into another tube from now on.
    pub fn use_tube(&mut self, tube: TubeName) {
        self.settings.tube = tube;
    }

    /// Puts the jobs of a call, or runs it here where it is forced to be synchronous; then nothing goes to the server.
    ///
    /// # Errors
    /// [`CallError::Invalid`] before anything was sent; the others say what became of each job.
    pub fn call(&mut self, call: &Call) -> Result<Called, CallError> {
        let prepared = call.prepare(now(), self.settings.encoding)?;
        if call.is_forced_sync() {
            let run = self.local.as_mut().ok_or(CallError::NoLocal)?;
            return Ok(Called::Ran(run(prepared.body())?));
        }
        called(self.put_all(&prepared.puts()))
    }

    /// Puts one job with a body of any kind.
    ///
    /// # Errors
    /// Each refusal of the server as its own variant; see the module on [`PutError::Unknown`].
    pub fn put(&mut self, job: &Put<'_>) -> Result<JobId, PutError> {
        only(self.put_all(std::slice::from_ref(job)))
    }

    /// Puts many jobs without waiting for each answer; the result of each, in the order of `jobs`.
    ///
    /// At most a few thousand bytes of answers are outstanding at any time, so a server that cannot write its answers, and
    /// therefore reads no further commands, cannot come about.
    pub fn put_all(&mut self, jobs: &[Put<'_>]) -> Vec<Result<JobId, PutError>> {
        let mut batch = Batch::new(jobs);
        let mut resends = self.settings.resends;
        while let Err(error) = self.exchange(&mut batch) {
            self.open = None;
            batch.lose(error, resends > 0);
            resends = resends.saturating_sub(1);
        }
        if batch.wants_limit() {
            batch.tell_limit(self.job_limit());
        }
        batch.into_results()
    }

    fn exchange(&mut self, batch: &mut Batch<'_>) -> Result<(), ConnectionError> {
        if batch.is_settled() {
            return Ok(());
        }
        let connection = self.connection()?;
        loop {
            while let Some(command) = batch.next() {
                connection.queue(&command);
            }
            if !batch.awaits_answers() {
                return Ok(());
            }
            batch.answer(&connection.receive()?);
        }
    }

    /// A connection that uses the tube and, as far as is known, still leads to the server.
    fn connection(&mut self) -> Result<&mut Connection, ConnectionError> {
        let Settings {
            address,
            options,
            tube,
            ..
        } = &self.settings;
        let still_there = self.open.take().filter(|open| !open.connection.has_ended());
        let mut open = match still_there {
            Some(open) => open,
            None => Open {
                connection: Connection::connect(address, options)?,
                used: None,
            },
        };
        if open.used.as_ref() != Some(tube) {
            open.connection.use_tube(tube)?;
            open.used = Some(tube.clone());
        }
        Ok(&mut self.open.insert(open).connection)
    }

    /// The server's largest job in bytes, where it tells.
    fn job_limit(&mut self) -> Option<u64> {
        let open = self.open.as_mut()?;
        open.connection.job_limit().ok()?
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Settings {
    pub(crate) fn new(address: Address, tube: TubeName) -> Settings {
        Settings {
            address,
            options: Options::default(),
            tube,
            encoding: Encoding::default(),
            resends: 0,
        }
    }
}

/// What came of a call whose jobs have these results.
pub(crate) fn called(results: Vec<Result<JobId, PutError>>) -> Result<Called, CallError> {
    if results.len() == 1 {
        return Ok(Called::Put(vec![only(results)?]));
    }
    match results
        .iter()
        .filter_map(|result| result.as_ref().ok().copied())
        .collect::<Vec<_>>()
    {
        ids if ids.len() == results.len() => Ok(Called::Put(ids)),
        _ => Err(CallError::Table { results }),
    }
}

/// The result of a batch of one.
pub(crate) fn only(results: Vec<Result<JobId, PutError>>) -> Result<JobId, PutError> {
    // A batch has a result for each of its jobs.
    results
        .into_iter()
        .next()
        .unwrap_or_else(|| Err(ConnectionError::Broken.into()))
}

/// The clock in Unix seconds; 0 for one before 1970.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
