//! `libhttp.so`: the handler `http`, which posts jobs to a URL.
//!
//! - `config`: what the operator wrote, checked.
//! - `target`: where a request may go; `address`: which addresses are private.
//! - `request`: what is sent; `signature`: how it is signed.
//! - `client`: sends it, and follows redirects as far as they are allowed.
//! - `answer`: what becomes of the job.
//!
//! This file joins them. A job is posted **at least** once: if an answer is lost, the next attempt posts it again, with
//! the same `Idempotency-Key`.

mod address;
mod answer;
mod client;
mod config;
mod request;
mod signature;
mod target;

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use plugin_api::{Error, Handler, Job, RawBody, Result, Schemas, export_plugin, tracing::debug};

use crate::{
    answer::Verdicts,
    client::{Client, Failure},
    config::{Config, Settings},
    request::Composer,
    target::{Source, origin},
};

/// Posts one request per job; all slots of a worker share its connections.
struct Http {
    source: Source,
    composer: Composer,
    client: Client,
    verdicts: Verdicts,
}

impl Handler for Http {
    type Config = Config;
    type Payload = RawBody;
    const DESCRIPTION: &'static str = "posts the job to a URL";

    fn new(config: Config) -> Result<Self> {
        let Settings {
            source,
            composer,
            client,
            verdicts,
        } = config.resolve()?;
        Ok(Http {
            source,
            composer,
            client: Client::new(client),
            verdicts,
        })
    }

    /// Of the configuration alone: a job's body is the receiver's business.
    fn schemas() -> Schemas {
        Schemas::of_config::<Config>()
    }

    fn execute(&self, job: &Job<'_>, _: RawBody) -> Result {
        let url = self.source.url(job)?;
        let request = self.composer.compose(job, SystemTime::now())?;
        let answer = self
            .client
            .post(&url, &request, || job.cancelled())
            .map_err(|failure| self.judge(failure))?;
        let from = origin(&answer.url);
        debug!(status = answer.status, to = %from, bytes = answer.body.len(), "answered");
        self.verdicts.judge(&answer, &from, SystemTime::now())
    }
}

impl Http {
    /// A URL of a message that must not be reached is the message's fault; everything else may pass.
    fn judge(&self, failure: Failure) -> Error {
        if failure.is_denied() && self.source.is_message() {
            Error::bury(failure)
        } else {
            Error::from(failure)
        }
    }
}

export_plugin!(Http);
