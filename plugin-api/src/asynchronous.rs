//! Runs asynchronous handlers, on a runtime that belongs to the library.

use std::{io, sync::OnceLock, time::Duration};

use tokio::runtime::{Builder, Runtime};
use tracing::Instrument;

use crate::{
    adapter::Run,
    done::Result,
    error::Error,
    handler::{AsyncHandler, Payload},
    job::Job,
    schemas::Schemas,
};

/// Threads for what handlers spawn and for I/O; jobs themselves are driven by the host's threads.
const THREADS: usize = 2;

/// Marks the [`Run`] of an [`AsyncHandler`].
pub struct Asynchronous;

impl<H: AsyncHandler> Run<Asynchronous> for H {
    type Config = H::Config;
    const DESCRIPTION: &'static str = H::DESCRIPTION;

    fn make(config: Self::Config) -> Result<Self> {
        runtime()?.block_on(H::new(config))
    }

    fn check(&self) -> Result<()> {
        runtime()?.block_on(self.self_check())
    }

    fn run(&self, job: &Job<'_>) -> Result {
        let payload = H::Payload::decode(job)?;
        // The span carries the job's id into tasks that the handler spawns.
        let span = tracing::error_span!("job");
        runtime()?.block_on(self.execute(job, payload).instrument(span))
    }

    fn tick_every(&self) -> Option<Duration> {
        AsyncHandler::tick_every(self)
    }

    fn tick(&self) -> Result<()> {
        runtime()?.block_on(AsyncHandler::tick(self))
    }

    fn shutdown(&self) -> Result<()> {
        runtime()?.block_on(AsyncHandler::shutdown(self));
        Ok(())
    }

    fn schemas() -> Schemas {
        H::schemas()
    }

    fn retire(self) {
        // Clients with a pool of connections spawn a task when they are dropped.
        let _context = runtime().map(|runtime| runtime.enter());
        drop(self);
    }
}

/// The library's runtime, made at the first use. It ends with the process.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("plugin-tokio")
            .enable_all()
            .build()
    });
    made.as_ref()
        .map_err(|error| Error::failed(format_args!("cannot start the tokio runtime: {error}")))
}
