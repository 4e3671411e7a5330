//! `libexec.so`: the handler `exec`, which runs jobs in programs of any language.
//!
//! - `config`: what the operator wrote, checked.
//! - `oneshot`: one run of the command per job; the exit code is the verdict.
//! - `persistent`: children that live for many jobs, which come as messages; `frame` and `message` are the protocol.
//! - `launch`, `spawn`, `process`: what is started, how, and how it is made to end; `pipe` and `output` connect it.
//!
//! A job's text never becomes part of a command line: a shell never sees it.

mod config;
mod frame;
mod launch;
mod message;
mod oneshot;
mod output;
mod persistent;
mod pipe;
mod process;
mod spawn;

#[cfg(test)]
mod tests;

use plugin_api::{Handler, Job, RawBody, Result, Schemas, export_plugin};

use crate::{
    config::{Config, Kind},
    oneshot::Oneshot,
    persistent::Persistent,
};

/// Runs jobs by one command; all slots of a worker share it.
enum Exec {
    Oneshot(Oneshot),
    Persistent(Persistent),
}

impl Handler for Exec {
    type Config = Config;
    type Payload = RawBody;
    const DESCRIPTION: &'static str = "runs jobs in programs of any language, one run per job or by messages";

    fn new(config: Config) -> Result<Self> {
        let settings = config.resolve()?;
        let (launch, limits) = (settings.launch, settings.limits);
        Ok(match settings.kind {
            Kind::Oneshot(verdicts) => Exec::Oneshot(Oneshot::new(launch, limits, verdicts)),
            Kind::Persistent(persistence) => Exec::Persistent(Persistent::new(launch, limits, persistence)?),
        })
    }

    /// Of the configuration alone: a job's body is the program's business.
    fn schemas() -> Schemas {
        Schemas::of_config::<Config>()
    }

    fn self_check(&self) -> Result<()> {
        match self {
            // A command that is run for nothing might do something.
            Exec::Oneshot(_) => Ok(()),
            Exec::Persistent(persistent) => persistent.self_check(),
        }
    }

    fn execute(&self, job: &Job<'_>, _: RawBody) -> Result {
        match self {
            Exec::Oneshot(oneshot) => oneshot.execute(job),
            Exec::Persistent(persistent) => persistent.execute(job),
        }
    }
}

export_plugin!(Exec);
