//! `libmailer.so`: the handler `mailer`, which sends the job's message as an e-mail.
//!
//! - `config`: what the operator wrote, checked.
//! - `message`: what the producer wrote, built into a mail.
//! - `transport`: sends the mail and judges a failure.
//!
//! This file joins them and turns every failure into an outcome. A mail is sent **at least** once: if a server takes a
//! mail and its answer is lost, the next attempt sends it again.

mod config;
mod message;
mod transport;

#[cfg(test)]
mod tests;

use std::error::Error as StdError;

use plugin_api::{
    Error, Handler, Job, Result, Schemas, export_plugin,
    serde_json::json,
    tracing::{debug, info},
};

use crate::config::Config;
use crate::message::{Composer, Mail, Outgoing};
use crate::transport::{Accepted, Transport};

/// Sends one mail per job; all slots of a worker share it.
struct Mailer {
    composer: Composer,
    transport: Transport,
}

impl Handler for Mailer {
    type Config = Config;
    type Payload = Mail;
    const DESCRIPTION: &'static str = "sends the message as an e-mail, by SMTP, sendmail or into a directory";

    fn new(config: Config) -> Result<Self> {
        let (composer, transport) = config.resolve()?;
        Ok(Mailer { composer, transport })
    }

    fn schemas() -> Schemas {
        Schemas::of::<Config, Mail>()
    }

    fn execute(&self, _job: &Job<'_>, mail: Mail) -> Result {
        let outgoing = self
            .composer
            .compose(mail)
            .map_err(|error| outcome(error.may_pass(), error))?;
        let Outgoing {
            message_id,
            envelope,
            bytes,
        } = &outgoing;
        let accepted = self
            .transport
            .send(envelope, bytes)
            .map_err(|error| outcome(error.may_pass(), error))?;
        log(&outgoing, &accepted);
        Ok(json!({ "message_id": message_id }).into())
    }
}

/// A failure that may pass is the host's policy's business; any other buries the job with its text.
fn outcome(may_pass: bool, error: impl StdError + Send + Sync + 'static) -> Error {
    if may_pass {
        Error::from(error)
    } else {
        Error::bury(error)
    }
}

/// One line per mail; who wrote to whom, and the server's words, which may repeat it, at debug only.
fn log(outgoing: &Outgoing, accepted: &Accepted) {
    let Outgoing {
        message_id,
        envelope,
        bytes,
    } = outgoing;
    let recipients = envelope.to().len();
    match accepted.code {
        Some(code) => info!(%message_id, recipients, bytes = bytes.len(), code, "mail accepted"),
        None => info!(%message_id, recipients, bytes = bytes.len(), "mail accepted"),
    }
    let from = envelope.from().map(ToString::to_string).unwrap_or_default();
    let to = envelope
        .to()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    debug!(%message_id, %from, %to, answer = %accepted.answer, "mail accepted");
}

export_plugin!(Mailer);
