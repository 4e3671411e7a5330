//! Where a mail goes: an SMTP server, a `sendmail` command, or a directory.
//!
//! Owns the ways of sending and what each failure means for the job. Knows neither messages nor jobs: a mail is an
//! envelope and bytes here.

mod file;
mod pool;
mod sendmail;
mod smtp;

#[cfg(test)]
mod tests;

use lettre::address::Envelope;

pub(crate) use file::{FileError, FileTransport};
pub(crate) use sendmail::{Sendmail, SendmailError};
pub(crate) use smtp::{Security, Smtp, SmtpError, SmtpSettings};

/// The configured way of sending. Slots share it, so every way takes `&self`.
#[derive(Debug)]
pub(crate) enum Transport {
    Smtp(Box<Smtp>),
    Sendmail(Sendmail),
    File(FileTransport),
}

/// The mail is in someone else's hands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The server's answer, such as `250 2.0.0 Ok: queued as 4F1B2C`; for a file its path; `sendmail` says nothing.
    pub(crate) answer: String,
    /// The server's reply code, where there is a server.
    pub(crate) code: Option<u16>,
}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error(transparent)]
    Smtp(#[from] SmtpError),
    #[error(transparent)]
    Sendmail(#[from] SendmailError),
    #[error(transparent)]
    File(#[from] FileError),
}

impl SendError {
    /// Whether another attempt may succeed without anyone changing the message: everything but a final refusal of
    /// this mail.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            SendError::Smtp(error) => error.may_pass(),
            SendError::Sendmail(error) => error.may_pass(),
            SendError::File(_) => true,
        }
    }
}

impl Transport {
    /// Sends one mail and waits until it is accepted or refused.
    ///
    /// # Errors
    ///
    /// [`SendError`]; [`SendError::may_pass`] tells what to do with the job.
    pub(crate) fn send(&self, envelope: &Envelope, mail: &[u8]) -> Result<Accepted, SendError> {
        match self {
            Transport::Smtp(smtp) => Ok(smtp.send(envelope, mail)?),
            Transport::Sendmail(sendmail) => Ok(sendmail.send(envelope, mail)?),
            Transport::File(file) => Ok(file.send(mail)?),
        }
    }
}

/// Someone else's words on one line and of bounded length, fit for an error text and a log.
fn one_line(text: &str) -> String {
    const MAX_CHARS: usize = 500;
    let words = text
        .split(|c: char| c.is_control() || c == ' ')
        .filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
