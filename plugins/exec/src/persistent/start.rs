//! Starting a child, up to its hello.

use std::{
    io,
    process::Stdio,
    time::{Duration, Instant},
};

use super::{
    child::Child,
    link::{Link, LinkError},
};
use crate::{
    config::Limits,
    launch::Launch,
    message::{self, HelloError, Wants},
    output::{LastWords, Output},
    pipe,
    process::{Ended, Process},
    spawn,
};

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("cannot run {name}: {source}")]
    Spawn { name: String, source: io::Error },
    #[error("{name} {reason}{said}")]
    Unusable {
        name: String,
        reason: Reason,
        said: LastWords,
    },
    #[error("the thread that starts children has ended")]
    NoNursery,
}

/// What is wrong with a child that runs.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error("did not say hello within `start_timeout` ({0:?})")]
    Late(Duration),
    #[error("{0} before it said hello")]
    Ended(Ended),
    #[error("cannot be used: {0}")]
    Hello(#[from] HelloError),
    #[error("cannot be used: {0}")]
    Link(#[from] LinkError),
}

/// Starts a child and exchanges hellos. The child is killed when the calling thread ends.
pub(super) fn start(
    launch: &Launch,
    hello: &[u8],
    limits: Limits,
    time: Duration,
) -> Result<Child, StartError> {
    let name = launch.to_string();
    let (mut process, mut link, mut output) = match spawn_child(launch, limits) {
        Ok(spawned) => spawned,
        Err(source) => return Err(StartError::Spawn { name, source }),
    };
    match greet(&mut process, &mut link, &mut output, hello, time) {
        Ok(wants) => Ok(Child::new(process, link, output, wants, name)),
        Err(reason) => {
            let _ = process.end();
            let said = output.last_words();
            Err(StartError::Unusable { name, reason, said })
        }
    }
}

fn spawn_child(launch: &Launch, limits: Limits) -> io::Result<(Process, Link, Output)> {
    let (link, ends) = Link::new(limits.max_result)?;
    let (ours, theirs) = pipe::from_child()?;
    let mut command = launch.command();
    command
        .env("ASYNCCALL_READ_FD", spawn::CHILD_READS.to_string())
        .env("ASYNCCALL_WRITE_FD", spawn::CHILD_WRITES.to_string())
        .stdin(Stdio::null())
        .stdout(theirs.try_clone()?)
        .stderr(theirs);
    let process = Process::new(spawn::spawn(&mut command, Some(ends))?);
    Ok((process, link, Output::new(ours, limits.max_output)))
}

fn greet(
    process: &mut Process,
    link: &mut Link,
    output: &mut Output,
    hello: &[u8],
    time: Duration,
) -> Result<Wants, Reason> {
    let deadline = Instant::now() + time;
    // A child that says why it cannot work need not have read anything.
    let received = match link.send(hello, output, deadline) {
        Ok(_) | Err(LinkError::Closed) => link.receive(output, deadline),
        Err(error) => Err(error),
    };
    match received {
        Ok(true) => {
            let wants = message::read_hello(link.message())?;
            link.forget_message();
            Ok(wants)
        }
        Ok(false) => Err(Reason::Late(time)),
        Err(LinkError::Closed) if process.wait_a_moment() => {
            let status = process.end().map_err(LinkError::from)?;
            Err(Reason::Ended(Ended(status)))
        }
        Err(error) => Err(error.into()),
    }
}
