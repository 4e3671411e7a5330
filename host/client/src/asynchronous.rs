//! The producer on tokio: [`Client`], with the same calls, the same results and the same promises as the
//! [blocking one](crate::producer).
//!
//! Needs a runtime with I/O and time enabled. A call with [`Call::force_sync`] runs on one of the runtime's threads for
//! blocking work; a future that is dropped meanwhile does not end it.
//!
//! A future that is dropped before it is done takes its connection with it, so no answer can be taken for another
//! put's; what it had sent may or may not be in the queue.
//!
//! ```no_run
//! use asynccall_client::{Call, asynchronous::Client, tube::TubeName};
//!
//! # async fn put() -> Result<(), Box<dyn std::error::Error>> {
//! let mut client = Client::new("127.0.0.1:11300".parse()?, TubeName::new("orders")?);
//! client.call(&Call::new("Order", "cancel").model_params(42)).await?;
//! # Ok(())
//! # }
//! ```

mod connection;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

use self::connection::AsyncConnection;
use crate::call::{Call, Encoding};
use crate::connection::{Address, ConnectionError, JOB_LIMIT, Options, PutError};
use crate::producer::{Batch, CallError, Called, Local, LocalFailure, Put, Settings, called, now, only};
use crate::protocol::{Command, JobId, Reply, Stats};
use crate::tube::TubeName;

/// Puts jobs into one tube of one server, over a connection that it makes when it needs one.
pub struct Client {
    settings: Settings,
    open: Option<Open>,
    local: Option<Arc<Mutex<Local>>>,
}

#[derive(Debug)]
struct Open {
    connection: AsyncConnection,
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

    /// Puts again what has no answer when a connection is lost, up to `times` for each call or batch. **A job may then be
    /// there twice.**
    #[must_use]
    pub fn with_resends(mut self, times: u32) -> Client {
        self.settings.resends = times;
        self
    }

    /// Runs calls with [`Call::force_sync`] by `run`, as
    /// [the blocking client](crate::Client::with_local) does. It may block.
    #[must_use]
    pub fn with_local(
        mut self,
        run: impl FnMut(&[u8]) -> Result<Vec<u8>, LocalFailure> + Send + 'static,
    ) -> Client {
        self.local = Some(Arc::new(Mutex::new(Box::new(run))));
        self
    }

    /// Puts into another tube from now on.
    pub fn use_tube(&mut self, tube: TubeName) {
        self.settings.tube = tube;
    }

    /// Puts the jobs of a call.
    ///
    /// # Errors
    /// Those of [the blocking client](crate::Client::call).
    ///
    /// # Panics
    /// Where what was given to [`with_local`](Client::with_local) panics.
    pub async fn call(&mut self, call: &Call) -> Result<Called, CallError> {
        let prepared = call.prepare(now(), self.settings.encoding)?;
        if call.is_forced_sync() {
            return self.run(prepared.body().to_vec()).await;
        }
        called(self.put_all(&prepared.puts()).await)
    }

    async fn run(&self, body: Vec<u8>) -> Result<Called, CallError> {
        let run = self.local.clone().ok_or(CallError::NoLocal)?;
        let ran = tokio::task::spawn_blocking(move || {
            let mut run = run.lock().unwrap_or_else(PoisonError::into_inner);
            run(&body)
        });
        match ran.await {
            Ok(result) => Ok(Called::Ran(result?)),
            // It is never aborted, so this is its panic.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Puts one job with a body of any kind.
    ///
    /// # Errors
    /// Those of [the blocking client](crate::Client::put).
    pub async fn put(&mut self, job: &Put<'_>) -> Result<JobId, PutError> {
        only(self.put_all(std::slice::from_ref(job)).await)
    }

    /// Puts many jobs without waiting for each answer; the result of each, in the order of `jobs`.
    pub async fn put_all(&mut self, jobs: &[Put<'_>]) -> Vec<Result<JobId, PutError>> {
        let mut batch = Batch::new(jobs);
        let mut resends = self.settings.resends;
        while let Err(error) = self.exchange(&mut batch).await {
            batch.lose(error, resends > 0);
            resends = resends.saturating_sub(1);
        }
        if batch.wants_limit() {
            let limit = self.job_limit().await;
            batch.tell_limit(limit);
        }
        batch.into_results()
    }

    /// The connection is kept only where all went well to the end.
    async fn exchange(&mut self, batch: &mut Batch<'_>) -> Result<(), ConnectionError> {
        if batch.is_settled() {
            return Ok(());
        }
        let mut open = self.take_open().await?;
        loop {
            while let Some(command) = batch.next() {
                open.connection.queue(&command);
            }
            if !batch.awaits_answers() {
                self.open = Some(open);
                return Ok(());
            }
            batch.answer(&open.connection.receive().await?);
        }
    }

    /// A connection that uses the tube and, as far as is known, still leads to the server.
    async fn take_open(&mut self) -> Result<Open, ConnectionError> {
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
                connection: AsyncConnection::connect(address, options).await?,
                used: None,
            },
        };
        if open.used.as_ref() != Some(tube) {
            open.connection.queue(&Command::Use(tube.clone()));
            if let Reply::Error(reply) = open.connection.receive().await? {
                let command = crate::protocol::Verb::Use;
                return Err(ConnectionError::Server { command, reply });
            }
            open.used = Some(tube.clone());
        }
        Ok(open)
    }

    /// The server's largest job in bytes, where it tells.
    async fn job_limit(&mut self) -> Option<u64> {
        let mut open = self.open.take()?;
        open.connection.queue(&Command::Stats);
        let limit = match open.connection.receive().await.ok()? {
            Reply::Ok(body) => Stats::parse(body).ok()?.number(JOB_LIMIT),
            _ => None,
        };
        self.open = Some(open);
        limit
    }
}
