//! What an author implements.

#[cfg(feature = "tokio")]
use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::{done::Result, job::Job, schemas::Schemas};

/// Executes jobs, one at a time per thread, from any number of threads at once.
///
/// A host makes one value per handler and process from the configuration and keeps it until the process
/// ends. New code or new configuration means a new process, so a handler never has to reload anything.
pub trait Handler: Sized + Send + Sync + 'static {
    /// The handler's configuration. `()` for none. Where the operator gave none it is an empty map, so a
    /// struct whose fields all have defaults makes the configuration optional.
    type Config: DeserializeOwned;

    /// What the body is decoded into before [`Handler::execute`]. [`RawBody`] for none.
    type Payload: Payload;

    /// What the handler does, in one line. Readable without loading the plugin.
    const DESCRIPTION: &'static str = "";

    /// Makes the handler. Called once per process, before it takes jobs.
    ///
    /// # Errors
    ///
    /// The host does not start, or keeps running the previous plugins, and prints the error.
    fn new(config: Self::Config) -> Result<Self>;

    /// Looks whether the handler can do its work: a login, a directory, a model that loads. Nothing unless implemented.
    ///
    /// Called once per process, after [`Handler::new`] and before the first job; what both take together is limited by
    /// the host's `start_timeout`. A reload tries it in one worker before anything else changes. Workers that take
    /// the place of others later check themselves too: where what a check asks for may be away for a while, a
    /// handler that starts and asks for retries serves better than one that does not start.
    ///
    /// ```
    /// use plugin_api::prelude::*;
    ///
    /// #[derive(Deserialize)]
    /// struct Config { spool: std::path::PathBuf }
    ///
    /// struct Spool(Config);
    ///
    /// impl Handler for Spool {
    ///     type Config = Config;
    ///     type Payload = RawBody;
    ///     fn new(config: Config) -> Result<Self> { Ok(Spool(config)) }
    ///     fn self_check(&self) -> Result<()> {
    ///         if !std::fs::metadata(&self.0.spool)?.is_dir() { return Err("the spool is no directory".into()) }
    ///         Ok(())
    ///     }
    ///     fn execute(&self, job: &Job, _: RawBody) -> Result {
    ///         std::fs::write(self.0.spool.join(job.id().to_string()), job.body())?;
    ///         Ok(().into())
    ///     }
    /// }
    /// # use plugin_api::testing::Harness;
    /// # fn main() -> Result<()> {
    /// # let refused = Harness::<Spool>::new(json!({"spool": "/dev/null"}))?.self_check().unwrap_err();
    /// # assert_eq!(refused.message(), "the spool is no directory");
    /// # assert!(Harness::<Spool>::new(json!({"spool": "/"}))?.self_check().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`Handler::new`]: the host does not start, or keeps running the previous plugins, and prints the error.
    fn self_check(&self) -> Result<()> {
        Ok(())
    }

    /// Runs one job to its end.
    ///
    /// A job may come again even after it was done: the connection to the queue server can break before
    /// the host has told it so. Handlers run *at least* once per job.
    ///
    /// # Errors
    ///
    /// What becomes of the job then is told by the error: see [`handbook::outcomes`](crate::handbook::outcomes).
    fn execute(&self, job: &Job<'_>, payload: Self::Payload) -> Result;

    /// How often [`Handler::tick`] is wanted. Never unless implemented; asked once, before the first job.
    fn tick_every(&self) -> Option<Duration> {
        None
    }

    /// Does what is due apart from jobs: flushes a batch, renews a lease, publishes a gauge.
    ///
    /// Called while jobs run, on a thread of its own and never twice at once; the time between two calls counts from the
    /// end of the first. A host older than this method (plugin-abi 1.1) never calls it.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use plugin_api::prelude::*;
    ///
    /// struct Batch { rows: Mutex<Vec<String>> }
    ///
    /// impl Handler for Batch {
    ///     type Config = ();
    ///     type Payload = String;
    ///     fn new((): ()) -> Result<Self> { Ok(Batch { rows: Mutex::default() }) }
    ///     fn execute(&self, _: &Job, row: String) -> Result {
    ///         self.rows.lock().map_err(|_| "an earlier flush panicked")?.push(row);
    ///         Ok(().into())
    ///     }
    ///     fn tick_every(&self) -> Option<Duration> { Some(Duration::from_secs(5)) }
    ///     fn tick(&self) -> Result<()> {
    ///         let rows = std::mem::take(&mut *self.rows.lock().map_err(|_| "an earlier flush panicked")?);
    ///         info!(rows = rows.len(), "flushed");
    ///         Ok(())
    ///     }
    ///     fn shutdown(&self) { let _ = self.tick(); }
    /// }
    /// # use plugin_api::testing::Harness;
    /// # fn main() -> Result<()> {
    /// # let harness = Harness::<Batch>::new(json!({}))?;
    /// # harness.run(json!("a"));
    /// # harness.tick()?;
    /// # assert_eq!(harness.tick_every(), Some(Duration::from_secs(5)));
    /// # harness.shutdown();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// (A job whose row is still in memory is deleted all the same: a batch like this one may lose what a crash interrupts.)
    ///
    /// # Errors
    ///
    /// Written to the host's log, and a panic too; the next tick comes as if nothing had happened.
    fn tick(&self) -> Result<()> {
        Ok(())
    }

    /// Says goodbye: the last job has ended and no other comes, because the worker leaves in order.
    ///
    /// It is no place for what must happen: a worker that dies, or whose grace time is over, never comes here. A host
    /// older than this method (plugin-abi 1.1) does not call it, and neither do `plugin run` and `call --force-sync`.
    fn shutdown(&self) {}

    /// The JSON Schemas of configuration and payload, for the host and for whoever writes them. None unless implemented.
    ///
    /// Where this panics there are none, which only the panic's own words in the log tell.
    ///
    /// With the feature `schemars` it is one line, `Schemas::of::<Self::Config, Self::Payload>()`; see [`Schemas`].
    fn schemas() -> Schemas {
        Schemas::default()
    }
}

/// As [`Handler`], but asynchronous. Runs on a tokio runtime that the plugin owns.
///
/// [`AsyncHandler::new`] and [`AsyncHandler::execute`] are driven by the thread that the host called on, so
/// one thread still runs one job at a time. Tasks that a handler spawns run on the runtime's threads and may
/// outlive the job; `tokio::spawn(task.in_current_span())` lets their log events keep the job's id.
///
/// ```
/// use plugin_api::prelude::*;
///
/// struct Ping { address: String }
///
/// impl AsyncHandler for Ping {
///     type Config = ();
///     type Payload = RawBody;
///
///     async fn new((): ()) -> Result<Self> {
///         Ok(Ping { address: "127.0.0.1:7".to_owned() })
///     }
///
///     async fn execute(&self, job: &Job<'_>, _: RawBody) -> Result {
///         let connecting = tokio::net::TcpStream::connect(&self.address);
///         connecting.await.or_retry_in(Duration::from_secs(10))?;
///         debug!(bytes = job.body().len(), "connected");
///         Ok(().into())
///     }
/// }
///
/// export_plugin!(Ping);
/// # fn main() {}
/// ```
#[cfg(feature = "tokio")]
pub trait AsyncHandler: Sized + Send + Sync + 'static {
    /// As [`Handler::Config`].
    type Config: DeserializeOwned;

    /// As [`Handler::Payload`].
    type Payload: Payload;

    /// As [`Handler::DESCRIPTION`].
    const DESCRIPTION: &'static str = "";

    /// As [`Handler::new`].
    ///
    /// # Errors
    ///
    /// As for [`Handler::new`].
    fn new(config: Self::Config) -> impl Future<Output = Result<Self>>;

    /// As [`Handler::self_check`].
    ///
    /// # Errors
    ///
    /// As for [`Handler::self_check`].
    fn self_check(&self) -> impl Future<Output = Result<()>> {
        async { Ok(()) }
    }

    /// As [`Handler::execute`].
    ///
    /// # Errors
    ///
    /// As for [`Handler::execute`].
    fn execute(&self, job: &Job<'_>, payload: Self::Payload) -> impl Future<Output = Result> + Send;

    /// As [`Handler::tick_every`].
    fn tick_every(&self) -> Option<Duration> {
        None
    }

    /// As [`Handler::tick`].
    ///
    /// # Errors
    ///
    /// As for [`Handler::tick`].
    fn tick(&self) -> impl Future<Output = Result<()>> {
        async { Ok(()) }
    }

    /// As [`Handler::shutdown`].
    fn shutdown(&self) -> impl Future<Output = ()> {
        async {}
    }

    /// As [`Handler::schemas`].
    fn schemas() -> Schemas {
        Schemas::default()
    }
}

/// What a body can be decoded into: everything that serde deserializes, or [`RawBody`].
///
/// Other formats than JSON and PHP's are for a type with its own implementation.
pub trait Payload: Sized {
    /// Makes the payload.
    ///
    /// # Errors
    ///
    /// The job is settled as the error says, and the handler is not called.
    fn decode(job: &Job<'_>) -> Result<Self>;
}

impl<T: DeserializeOwned> Payload for T {
    fn decode(job: &Job<'_>) -> Result<Self> {
        job.decode()
    }
}

/// The payload of handlers that take any bytes: nothing is decoded, [`Job::body`] has them.
#[derive(Clone, Copy, Debug)]
pub struct RawBody;

impl Payload for RawBody {
    fn decode(_: &Job<'_>) -> Result<Self> {
        Ok(RawBody)
    }
}
