//! One run of the command per job, as cmdstalk does it: the body on standard input, the verdict in the exit code.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsFd,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags};
use plugin_api::{
    Error, Job, Result,
    serde_json::{self, Value},
    tracing::warn,
};

use crate::{
    config::{Limits, Verdicts},
    launch::Launch,
    output::{LastWords, Output},
    pipe,
    process::{Ended, Process},
    spawn,
};

/// How often a running job is asked whether it was cancelled, and its process whether it has ended although
/// something that it started holds its output open.
const TICK: Duration = Duration::from_millis(100);

/// How many pieces of the result are read between two looks: as much as a pipe holds.
const READS: usize = 16;

/// The handler in this mode.
#[derive(Debug)]
pub(crate) struct Oneshot {
    launch: Launch,
    limits: Limits,
    verdicts: Verdicts,
}

/// What one run has come to.
enum End {
    Exited(ExitStatus),
    TimedOut,
    Cancelled,
}

impl Oneshot {
    pub(crate) fn new(launch: Launch, limits: Limits, verdicts: Verdicts) -> Oneshot {
        Oneshot {
            launch,
            limits,
            verdicts,
        }
    }

    /// Runs the command for this job and waits for it.
    pub(crate) fn execute(&self, job: &Job<'_>) -> Result {
        let mut run = self
            .start(job)
            .map_err(|source| Error::failed(format_args!("cannot run {}: {source}", self.launch)))?;
        let end = run.converse(job, self.limits)?;
        let (name, said) = (&self.launch, run.stderr.last_words());
        let timeout = self.limits.timeout.unwrap_or_default();
        match end {
            End::Exited(status) => self.judge(status, said, &run.result),
            End::TimedOut => Err(Error::exception(format_args!(
                "{name} ran longer than `timeout` ({timeout:?}) and was ended{said}"
            ))),
            End::Cancelled => Err(Error::exception(format_args!(
                "{name} was ended because the host wants the job given up{said}"
            ))),
        }
    }

    fn start<'a>(&self, job: &'a Job<'_>) -> io::Result<Run<'a>> {
        let mut command = self.launch.command();
        command
            .env("JOB_ID", job.id().to_string())
            .env("JOB_TUBE", job.tube())
            .env("JOB_ATTEMPT", job.attempt().to_string());
        if let Some(age) = job.age() {
            command.env("JOB_AGE", age.as_secs().to_string());
        }
        if let Some(priority) = job.priority() {
            command.env("JOB_PRIORITY", priority.to_string());
        }
        let (stdin, theirs) = pipe::to_child()?;
        command.stdin(Stdio::from(theirs));
        let (stdout, theirs) = pipe::from_child()?;
        command.stdout(Stdio::from(theirs));
        let (stderr, theirs) = pipe::from_child()?;
        command.stderr(Stdio::from(theirs));
        // This thread waits for the command's end, so the command may depend on it.
        let process = Process::new(spawn::spawn(&mut command, None)?);
        Ok(Run {
            process,
            stdin: Some(File::from(stdin)),
            body: job.body(),
            stdout: Some(File::from(stdout)),
            result: Vec::new(),
            stderr: Output::new(stderr, self.limits.max_output),
        })
    }

    /// What an exit status means. A verdict that was asked for is given in the command's own words.
    fn judge(&self, status: ExitStatus, said: LastWords, output: &[u8]) -> Result {
        let ended = format!("{} {}", self.launch, Ended(status));
        let Some(code) = status.code() else {
            return Err(Error::exception(format_args!("{ended}{said}")));
        };
        if self.verdicts.done.contains(&code) {
            return self.done(output);
        }
        if self.verdicts.bury.contains(&code) {
            return Err(Error::bury(said.0.unwrap_or(ended)));
        }
        if self.verdicts.retry.contains(&code) {
            return Err(Error::retry_in(
                self.verdicts.retry_delay,
                said.0.unwrap_or(ended),
            ));
        }
        Err(Error::failed(format_args!("{ended}{said}")))
    }

    /// Standard output is the result: a JSON document as it is, anything else as text.
    fn done(&self, output: &[u8]) -> Result {
        let limit = self.limits.max_result;
        if output.len() > limit {
            warn!(limit, "the result is left out: `max_result_bytes` is reached");
            return Ok(().into());
        }
        let text = String::from_utf8_lossy(output);
        let text = text.trim();
        if text.is_empty() {
            return Ok(().into());
        }
        let value = serde_json::from_str(text);
        Ok(value.unwrap_or_else(|_| Value::from(text)).into())
    }
}

/// A command that runs.
struct Run<'a> {
    process: Process,
    /// `None` once the body is written, or nobody reads it.
    stdin: Option<File>,
    /// What is left to be written.
    body: &'a [u8],
    /// `None` at its end.
    stdout: Option<File>,
    /// One byte more than is allowed shows that it was too much.
    result: Vec<u8>,
    stderr: Output,
}

impl Run<'_> {
    /// Feeds the command and reads from it until it has ended or must.
    fn converse(&mut self, job: &Job<'_>, limits: Limits) -> io::Result<End> {
        let deadline = limits.timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                self.stop(limits)?;
                return Ok(End::TimedOut);
            }
            if self.is_silent() {
                // Nothing more will come: the exit is all that is waited for.
                let soon = Instant::now() + TICK.min(left.unwrap_or(TICK));
                self.process.wait_until(soon);
            } else {
                self.wait(TICK.min(left.unwrap_or(TICK)))?;
                self.exchange(limits);
            }
            if self.process.has_ended() {
                self.exchange(limits);
                return Ok(End::Exited(self.process.end()?));
            }
            if job.cancelled() {
                self.stop(limits)?;
                return Ok(End::Cancelled);
            }
        }
    }

    /// TERM, and KILL where that is not enough.
    fn stop(&mut self, limits: Limits) -> io::Result<()> {
        self.process.terminate();
        let deadline = Instant::now() + limits.kill_grace;
        while !self.process.has_ended() && Instant::now() < deadline {
            // It may have something to say, and must not wait for a reader.
            self.wait(TICK.min(deadline.saturating_duration_since(Instant::now())))?;
            self.exchange(limits);
        }
        self.process.end()?;
        Ok(())
    }

    fn is_silent(&self) -> bool {
        self.stdout.is_none() && self.stderr.descriptor().is_none()
    }

    fn wait(&self, time: Duration) -> io::Result<()> {
        let mut waited = Vec::with_capacity(3);
        if let Some(stdin) = &self.stdin {
            waited.push(PollFd::new(stdin.as_fd(), PollFlags::POLLOUT));
        }
        if let Some(stdout) = &self.stdout {
            waited.push(PollFd::new(stdout.as_fd(), PollFlags::POLLIN));
        }
        if let Some(stderr) = self.stderr.descriptor() {
            waited.push(PollFd::new(stderr, PollFlags::POLLIN));
        }
        pipe::wait(&mut waited, time)
    }

    /// Writes and reads what can be without waiting.
    fn exchange(&mut self, limits: Limits) {
        if let Some(stdin) = &mut self.stdin {
            match stdin.write(self.body) {
                Ok(count) => self.body = self.body.get(count..).unwrap_or_default(),
                Err(error) if is_passing(&error) => {}
                // A command need not read its input.
                Err(_) => self.body = &[],
            }
            if self.body.is_empty() {
                self.stdin = None;
            }
        }
        self.read_result(limits.max_result);
        self.stderr.read();
    }

    fn read_result(&mut self, limit: usize) {
        let Some(stdout) = &mut self.stdout else { return };
        let mut chunk = [0; 4096];
        // A command that writes without end does not keep us from looking at the clock.
        for _ in 0..READS {
            match stdout.read(&mut chunk) {
                Ok(0) => return self.stdout = None,
                Ok(count) => {
                    let room = (limit + 1).saturating_sub(self.result.len());
                    let kept = chunk.get(..count.min(room)).unwrap_or_default();
                    self.result.extend_from_slice(kept);
                    if count < chunk.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_passing(&error) => return,
                Err(_) => return self.stdout = None,
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
