//! One child: its jobs, and its end where it has to be made to end.
//!
//! ```text
//!  job sent ──answer──▶ idle again
//!     │ time-out or cancelled
//!     ▼
//!  asked (cancel message, where the child wants it) ──stop_grace──▶ told (TERM) ──kill_grace──▶ killed
//! ```
//!
//! An answer that comes before the end counts, whatever the child was told meanwhile.

use std::time::{Duration, Instant};

use plugin_api::{Error, Job};

use super::link::{Link, LinkError};
use crate::{
    config::Limits,
    frame,
    message::{self, Answer, Wants},
    output::Output,
    process::{Ended, Process},
};

/// How often a running job is asked whether it was cancelled, and a child whether it has ended although something
/// that it started holds its link open.
const TICK: Duration = Duration::from_millis(100);
/// A buffer that has grown beyond this is not kept for the next job, in bytes.
const KEPT: usize = 256 * 1024;

/// A child that has said hello.
pub(super) struct Child {
    process: Process,
    link: Link,
    output: Output,
    wants: Wants,
    jobs: u64,
    /// Room for the frame of a job.
    frame: Vec<u8>,
    /// The command, for error texts.
    name: String,
}

/// What came of a job that the child has answered for.
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// The child takes no further job.
    pub(super) leaves: bool,
}

/// What came of a job that the child has not answered for.
pub(super) enum Failure {
    /// The job could not be put into words; the child knows nothing of it.
    Untold(Error),
    /// The child is of no use any more.
    Broken(Error),
}

/// How far a child has been made to end.
#[derive(Clone, Copy)]
enum Stage {
    Works,
    Asked(Why),
    Told(Why),
}

/// Why a child was made to end.
#[derive(Clone, Copy)]
enum Why {
    TimedOut,
    Cancelled,
}

impl Child {
    /// A child that has said hello, and what it wants to be told.
    pub(super) fn new(process: Process, link: Link, output: Output, wants: Wants, name: String) -> Child {
        Child {
            process,
            link,
            output,
            wants,
            jobs: 0,
            frame: Vec::new(),
            name,
        }
    }

    /// Its pid.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How many jobs it has been given.
    pub(super) fn jobs(&self) -> u64 {
        self.jobs
    }

    /// Whether an idle child cannot be given another job: it has ended, or speaks without being asked.
    pub(super) fn has_left(&self) -> bool {
        self.link.is_disturbed()
    }

    /// Lets the child know that it is not needed any more, and gives up its link.
    pub(super) fn dismiss(self) -> (Process, Output) {
        drop(self.link);
        (self.process, self.output)
    }

    /// Gives the child a job and waits for its answer.
    pub(super) fn execute(
        &mut self,
        job: &Job<'_>,
        limits: Limits,
        stop_grace: Duration,
    ) -> Result<Reply, Failure> {
        self.write_frame(job)?;
        self.output.begin();
        self.jobs += 1;
        let mut due = limits.timeout.map(|timeout| Instant::now() + timeout);
        let mut stage = Stage::Works;
        let mut sent = 0;
        loop {
            let tick = Instant::now() + TICK;
            match self.converse(&mut sent, due.map_or(tick, |due| due.min(tick))) {
                Ok(true) => return self.take_answer(job.id(), stage),
                Ok(false) => {}
                Err(LinkError::Closed) => return Err(self.ended(stage, limits)),
                Err(error) => return Err(self.broken(&error)),
            }
            let now = Instant::now();
            let is_due = due.is_some_and(|due| due <= now);
            let whole = sent == self.frame.len();
            let next = match stage {
                Stage::Works if is_due => self.ask(job.id(), Why::TimedOut, whole),
                Stage::Works if job.cancelled() => self.ask(job.id(), Why::Cancelled, whole),
                Stage::Asked(why) if is_due => self.tell(why),
                Stage::Told(_) if is_due => return Err(self.ended(stage, limits)),
                _ => continue,
            };
            due = Some(match next {
                Stage::Asked(_) => now + stop_grace,
                _ => now + limits.kill_grace,
            });
            stage = next;
        }
    }

    fn write_frame(&mut self, job: &Job<'_>) -> Result<(), Failure> {
        self.frame.shrink_to(KEPT);
        let mut written = Ok(());
        let wants = self.wants;
        let filled = frame::fill(&mut self.frame, |document| {
            written = message::write_job(document, job, wants);
        });
        written.map_err(Failure::Untold)?;
        filled.map_err(|length| {
            Failure::Untold(Error::bury(format_args!(
                "a message of {length} bytes is too long"
            )))
        })
    }

    /// Sends what is left of the frame, then waits for an answer; `true` where it has come.
    fn converse(&mut self, sent: &mut usize, until: Instant) -> Result<bool, LinkError> {
        if let Some(rest) = self.frame.get(*sent..).filter(|rest| !rest.is_empty()) {
            *sent += self.link.send(rest, &mut self.output, until)?;
            if *sent < self.frame.len() {
                return Ok(false);
            }
        }
        if self.link.receive(&mut self.output, until)? {
            return Ok(true);
        }
        // What it started may hold its link open.
        if !self.process.has_ended() {
            return Ok(false);
        }
        match self.link.receive(&mut self.output, Instant::now())? {
            true => Ok(true),
            false => Err(LinkError::Closed),
        }
    }

    fn take_answer(&mut self, id: u64, stage: Stage) -> Result<Reply, Failure> {
        let answer = message::read_answer(self.link.message(), id);
        self.link.forget_message();
        match answer {
            Ok(answer) => Ok(Reply {
                leaves: answer.last || matches!(stage, Stage::Told(_)),
                answer,
            }),
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// Asks the child to give up, where it listens; else tells it to end.
    fn ask(&mut self, id: u64, why: Why, has_job: bool) -> Stage {
        if !self.wants.cancel || !has_job {
            return self.tell(why);
        }
        let mut frame = Vec::new();
        let filled = frame::fill(&mut frame, |document| message::write_cancel(document, id));
        let sent = self.link.send(&frame, &mut self.output, Instant::now());
        match (filled, sent) {
            (Ok(()), Ok(count)) if count == frame.len() => Stage::Asked(why),
            // It reads nothing.
            _ => self.tell(why),
        }
    }

    fn tell(&self, why: Why) -> Stage {
        self.process.terminate();
        Stage::Told(why)
    }

    /// The child has ended, or does now.
    fn ended(&mut self, stage: Stage, limits: Limits) -> Failure {
        if matches!(stage, Stage::Works | Stage::Asked(_)) {
            self.process.wait_a_moment();
        }
        let has_ended = self.process.has_ended();
        let status = self.process.end();
        let (name, said) = (&self.name, self.output.last_words());
        let error = match (stage, status) {
            (Stage::Asked(Why::TimedOut) | Stage::Told(Why::TimedOut), _) => {
                let timeout = limits.timeout.unwrap_or_default();
                Error::exception(format_args!(
                    "{name} ran longer than `timeout` ({timeout:?}) and was ended{said}"
                ))
            }
            (Stage::Asked(Why::Cancelled) | Stage::Told(Why::Cancelled), _) => Error::exception(
                format_args!("{name} was ended because the host wants the job given up{said}"),
            ),
            (Stage::Works, Ok(status)) if has_ended => {
                let ended = Ended(status);
                Error::exception(format_args!("{name} {ended} in the middle of the job{said}"))
            }
            (Stage::Works, Ok(_)) => Error::exception(format_args!(
                "{name} closed its link in the middle of the job and was killed{said}"
            )),
            (Stage::Works, Err(error)) => Error::exception(format_args!(
                "{name} left in the middle of the job: {error}{said}"
            )),
        };
        Failure::Broken(error)
    }

    /// The child does not keep to the protocol: nobody knows what it would do next.
    fn broken(&mut self, error: &dyn std::error::Error) -> Failure {
        let _ = self.process.end();
        let (name, said) = (&self.name, self.output.last_words());
        Failure::Broken(Error::exception(format_args!("{name} was killed: {error}{said}")))
    }
}
