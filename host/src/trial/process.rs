//! The parent's half of a trial: it starts the child, hears it, and says what became of it where it falls silent.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Write},
    os::{
        fd::AsFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use thiserror::Error;

use super::{Said, Setup, family};
use crate::{exit::Exit, ipc::encode, master::spawn::spawn_trial, plugin::registry::Catalog};

/// How long a child may take to end once it has closed its link, or has done all that it was to do.
const LEAVING: Duration = Duration::from_secs(10);
/// How often a child that is about to end is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// A child that tries a handler. It does not outlive this value, nor the thread that started it; and where this value
/// kills it, nor does any program that it has started.
#[derive(Debug)]
pub struct Trial {
    child: Child,
    link: BufReader<UnixStream>,
    handler: String,
    stage: Stage,
    limits: Limits,
    begun: Instant,
}

/// How long the child may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To load its plugins, make the handler and have it check itself.
    pub start: Duration,
    /// For each job; `None`: as long as it likes.
    pub job: Option<Duration>,
}

/// What the child is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It loads the plugins.
    Loading,
    /// It asks the plugin what it says of the handler, and checks the configuration, which a schema may make long.
    Fitting,
    /// It makes the handler.
    Creating,
    /// The handler checks itself.
    Checking,
    /// The handler runs its job for the n-th time, from 1.
    Running(u32),
    /// It has done everything.
    Leaving,
}

/// What the child did instead of going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Its process ended.
    Ended(ExitStatus),
    /// It gave no answer for that long, and was killed.
    Silent(Duration),
}

/// Why there is no further word of the child. `Display` is the error, [`TrialError::full`] has the hint too.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrialError {
    /// It cannot be started or spoken to.
    #[error("cannot try a plugin in a process of its own: {0}")]
    Child(#[from] io::Error),
    /// The handler cannot be used, in the words of a start, with their hint.
    #[error("{error}")]
    Refused {
        /// How the command ends.
        exit: Exit,
        /// The error, with its hint.
        error: String,
    },
    /// Its plugin took the process down, or kept it.
    #[error("{} {end} {}", subject(*stage, handler), when(*stage))]
    Lost {
        /// The handler that was tried.
        handler: String,
        /// What it was at.
        stage: Stage,
        /// What it did.
        end: End,
    },
}

impl Trial {
    /// Starts a child that tries a handler of these plugins on `body`.
    ///
    /// # Errors
    /// No process can be started, or it ended before it had read what it is to do.
    pub fn start(catalog: &Catalog, setup: &Setup, body: &[u8], limits: Limits) -> io::Result<Trial> {
        let copies: Vec<_> = catalog.plugins.iter().map(AsFd::as_fd).collect();
        let (child, mut link) = spawn_trial(&copies)?;
        let written = link
            .write_all(&encode(setup)?)
            .and_then(|()| link.write_all(body));
        let trial = Trial {
            child,
            link: BufReader::new(link),
            handler: setup.handler.clone(),
            stage: Stage::Loading,
            limits,
            begun: Instant::now(),
        };
        // From here on the child is ended with the value.
        written.map(|()| trial)
    }

    /// What the child is at.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The next word of the child.
    ///
    /// # Errors
    /// The plugin or its handler cannot be used, or the child will say nothing more.
    pub fn hear(&mut self) -> Result<Said, TrialError> {
        let said = self.receive()?;
        self.stage = match (&said, self.stage) {
            (Said::Loaded, _) => Stage::Fitting,
            (Said::Fitted { .. }, _) => Stage::Creating,
            (Said::Described(_), _) => Stage::Leaving,
            (Said::Created, _) => Stage::Checking,
            (Said::Checked, _) => Stage::Running(1),
            (Said::Answered(_), Stage::Running(number)) => Stage::Running(number.saturating_add(1)),
            (_, stage) => stage,
        };
        match said {
            Said::Refused { exit, error } => Err(TrialError::Refused {
                exit: Exit::from_code(exit),
                error,
            }),
            said => Ok(said),
        }
    }

    /// Lets a child leave that has done everything.
    ///
    /// # Errors
    /// It does not end, or not in order: the plugin did something on its way out.
    pub fn finish(mut self) -> Result<(), TrialError> {
        self.stage = Stage::Leaving;
        match self.wait()? {
            End::Ended(status) if status.success() => Ok(()),
            end => Err(self.lost(end)),
        }
    }

    fn receive(&mut self) -> Result<Said, TrialError> {
        let (limit, left) = match self.stage {
            Stage::Running(_) => (self.limits.job, self.limits.job),
            _ => {
                let start = self.limits.start;
                (Some(start), Some(start.saturating_sub(self.begun.elapsed())))
            }
        };
        // A time-out of zero would be none.
        let timeout = left.map(|left| left.max(Duration::from_millis(1)));
        self.link.get_ref().set_read_timeout(timeout)?;
        let mut line = Vec::new();
        match self.link.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => Ok(serde_json::from_slice(&line).map_err(io::Error::from)?),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.kill();
                Err(self.lost(End::Silent(limit.unwrap_or_default())))
            }
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error.into()),
            _ => {
                let end = self.wait()?;
                Err(self.lost(end))
            }
        }
    }

    /// Waits for a child that is about to end, and ends it where it does not.
    fn wait(&mut self) -> io::Result<End> {
        let deadline = Instant::now() + LEAVING;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(End::Ended(status));
            }
            if Instant::now() >= deadline {
                self.kill();
                return Ok(End::Silent(LEAVING));
            }
            thread::sleep(LOOK);
        }
    }

    fn lost(&self, end: End) -> TrialError {
        TrialError::Lost {
            handler: self.handler.clone(),
            stage: self.stage,
            end,
        }
    }

    fn kill(&mut self) {
        family::kill_all(&mut self.child);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.kill();
    }
}

impl TrialError {
    /// How a command ends that met it.
    pub fn exit(&self) -> Exit {
        match self {
            TrialError::Child(_) => Exit::Internal,
            TrialError::Refused { exit, .. } => *exit,
            TrialError::Lost { .. } => Exit::Crashed,
        }
    }

    /// The error, and the hint where there is one.
    pub fn full(&self) -> String {
        let hint = match self {
            TrialError::Lost {
                end: End::Silent(_),
                stage: Stage::Loading | Stage::Fitting | Stage::Creating | Stage::Checking,
                ..
            } => "\n  hint: `--start-timeout` gives it more time",
            _ => "",
        };
        format!("{self}{hint}")
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self {
            End::Silent(limit) => return write!(f, "gave no answer within {limit:?}"),
            End::Ended(status) => status,
        };
        match (
            status.signal().map(Signal::try_from),
            status.signal(),
            status.code(),
        ) {
            (Some(Ok(signal)), ..) => write!(f, "ended its process with {signal}"),
            (_, Some(number), _) => write!(f, "ended its process with signal {number}"),
            (.., Some(code)) => write!(f, "ended its process with exit code {code}"),
            (.., None) => f.write_str("ended its process"),
        }
    }
}

/// Before there is a handler, what its process does is the plugin's doing; so it is when the handler is gone.
fn subject(stage: Stage, handler: &str) -> String {
    match stage {
        Stage::Loading | Stage::Leaving => "the plugin".to_owned(),
        Stage::Fitting | Stage::Creating | Stage::Checking | Stage::Running(_) => {
            format!("handler `{handler}`")
        }
    }
}

fn when(stage: Stage) -> String {
    match stage {
        Stage::Loading => "while it was loaded".to_owned(),
        Stage::Fitting => "while its schemas were looked at".to_owned(),
        Stage::Creating => "when it was created".to_owned(),
        Stage::Checking => "in its self-check".to_owned(),
        Stage::Running(number) => format!("at job {number}"),
        Stage::Leaving => "after everything was done".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use nix::libc::SIGRTMIN;

    use super::*;

    fn lost(stage: Stage, end: End) -> String {
        let handler = "mailer".to_owned();
        TrialError::Lost { handler, stage, end }.full()
    }

    #[test]
    fn an_end_is_told_with_who_it_was_what_it_did_and_when() {
        let ended = |status| End::Ended(ExitStatus::from_raw(status));
        let silent = End::Silent(Duration::from_secs(60));
        let texts = [
            lost(Stage::Loading, ended(Signal::SIGSEGV as i32)),
            lost(Stage::Fitting, ended(Signal::SIGBUS as i32)),
            lost(Stage::Creating, ended(3 << 8)),
            lost(Stage::Checking, silent.clone()),
            lost(Stage::Running(7), ended(SIGRTMIN() & 0x7f)),
            lost(Stage::Running(7), silent),
            lost(Stage::Leaving, ended(Signal::SIGABRT as i32)),
        ];
        insta::assert_snapshot!(texts.join("\n"), @"
        the plugin ended its process with SIGSEGV while it was loaded
        handler `mailer` ended its process with SIGBUS while its schemas were looked at
        handler `mailer` ended its process with exit code 3 when it was created
        handler `mailer` gave no answer within 60s in its self-check
          hint: `--start-timeout` gives it more time
        handler `mailer` ended its process with signal 34 at job 7
        handler `mailer` gave no answer within 60s at job 7
        the plugin ended its process with SIGABRT after everything was done
        ");
    }
}
