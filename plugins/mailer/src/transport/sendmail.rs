//! Sending by a local `sendmail` command, as Postfix, Exim, OpenSMTPD and msmtp install it.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use lettre::address::Envelope;

use super::{Accepted, one_line};

/// How much of a command's complaint is read, in bytes.
const MAX_COMPLAINT: u64 = 64 * 1024;

/// The mail is malformed, a recipient or its host is unknown (`EX_DATAERR`, `EX_NOUSER`, `EX_NOHOST` of sysexits(3)).
/// Every other code speaks of this machine or of now.
const FINAL_CODES: [i32; 3] = [65, 67, 68];

/// The command to run for each mail.
#[derive(Debug)]
pub(crate) struct Sendmail {
    command: PathBuf,
}

/// Why the command did not take a mail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendmailError {
    #[error("cannot run `{}`: {source}", command.display())]
    Spawn { command: PathBuf, source: io::Error },
    #[error("cannot hand the mail to `{}`: {source}", command.display())]
    Pipe { command: PathBuf, source: io::Error },
    #[error("`{}` ended with {status}: {complaint}", command.display())]
    Refused {
        command: PathBuf,
        status: ExitStatus,
        complaint: String,
    },
}

impl SendmailError {
    /// Whether the job should be tried again.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            SendmailError::Spawn { .. } | SendmailError::Pipe { .. } => true,
            SendmailError::Refused { status, .. } => {
                !status.code().is_some_and(|code| FINAL_CODES.contains(&code))
            }
        }
    }
}

impl Sendmail {
    pub(crate) fn new(command: PathBuf) -> Sendmail {
        Sendmail { command }
    }

    /// Runs `COMMAND -i -f SENDER -- RECIPIENT…` with the mail on its standard input, and waits for it.
    ///
    /// `-i`: a line with a single dot does not end the mail.
    pub(super) fn send(&self, envelope: &Envelope, mail: &[u8]) -> Result<Accepted, SendmailError> {
        let mut command = Command::new(&self.command);
        command.arg("-i");
        if let Some(sender) = envelope.from() {
            command.arg("-f").arg(sender);
        }
        command.arg("--").args(envelope.to());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(|source| SendmailError::Spawn {
            command: self.command.clone(),
            source,
        })?;
        let (written, complaint, status) = converse(child, mail);
        let status = status.map_err(|source| self.pipe(source))?;
        if !status.success() {
            return Err(SendmailError::Refused {
                command: self.command.clone(),
                status,
                complaint: one_line(&String::from_utf8_lossy(&complaint)),
            });
        }
        // The exit code is the verdict, unless the command claims success without having read the mail.
        written.map_err(|source| self.pipe(source))?;
        Ok(Accepted {
            answer: String::new(),
            code: None,
        })
    }

    fn pipe(&self, source: io::Error) -> SendmailError {
        SendmailError::Pipe {
            command: self.command.clone(),
            source,
        }
    }
}

/// Writes the mail while another thread reads the complaints, so that neither side can wait for the other.
fn converse(mut child: Child, mail: &[u8]) -> (io::Result<()>, Vec<u8>, io::Result<ExitStatus>) {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let (written, complaint) = thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut complaint = Vec::new();
            if let Some(mut stderr) = stderr {
                // What is beyond the limit is read all the same: a closed pipe would kill the command.
                let _ = stderr.by_ref().take(MAX_COMPLAINT).read_to_end(&mut complaint);
                let _ = io::copy(&mut stderr, &mut io::sink());
            }
            complaint
        });
        let written = stdin.map_or(Ok(()), |mut stdin| stdin.write_all(mail));
        (written, reader.join().unwrap_or_default())
    });
    (written, complaint, child.wait())
}
