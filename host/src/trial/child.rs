//! The child's half of a trial: it loads, makes, runs and says so after each step.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::{fd::RawFd, unix::net::UnixStream},
    time::Instant,
};

use asynccall_abi::outcome::{DELAY_BY_POLICY, Outcome, Reading};

use super::{Answer, Jobs, Said, Setup, Task, Verdict};
use crate::{
    exit::Exit,
    ipc::{descriptors, encode},
    local::{self, LoadError, Origin, Runner, Step},
    observe::log,
};

/// Runs the child whose link to its parent is that inherited descriptor.
pub fn run(link: RawFd) -> Exit {
    let Ok(stream) = descriptors::claim_stream(link) else {
        return Exit::Usage;
    };
    // What fails here is the parent's end: there is nobody to tell.
    match serve(BufReader::new(stream)) {
        Ok(()) => Exit::Ok,
        Err(_) => Exit::Internal,
    }
}

fn serve(mut link: BufReader<UnixStream>) -> io::Result<()> {
    let mut line = Vec::new();
    link.read_until(b'\n', &mut line)?;
    let setup: Setup = serde_json::from_slice(&line)?;
    let length = match &setup.task {
        Task::Run(jobs) => jobs.length,
        Task::Describe | Task::Make => 0,
    };
    let mut body = vec![0; length];
    link.read_exact(&mut body)?;
    log::start(setup.log, None)?;

    let stream = link.get_ref();
    let mut told = Ok(());
    let reached = |step| {
        let said = match step {
            Step::Loaded => Said::Loaded,
            Step::Fitted { schema } => Said::Fitted { schema },
            Step::Created => Said::Created,
            Step::Checked => Said::Checked,
        };
        told = std::mem::replace(&mut told, Ok(())).and(tell(stream, &said));
    };
    let (plugins, handler) = (setup.plugins, setup.handler.as_str());
    let jobs = match setup.task {
        Task::Describe => {
            let described = local::describe(plugins, handler, reached);
            told?;
            return tell(
                stream,
                &described.map_or_else(|error| refusal(&error), Said::Described),
            );
        }
        Task::Make => None,
        Task::Run(jobs) => Some(jobs),
    };
    let made = Runner::start(plugins, handler, setup.config.value(), reached);
    told?;
    match made {
        Ok(runner) => {
            let mut jobs = jobs.iter();
            jobs.try_for_each(|jobs| execute(&runner, jobs, &body, stream))
        }
        Err(error) => tell(stream, &refusal(&error)),
    }
}

fn execute(runner: &Runner, jobs: &Jobs, body: &[u8], stream: &UnixStream) -> io::Result<()> {
    let origin = Origin {
        tube: jobs.tube.clone(),
        attempt: jobs.attempt,
    };
    for _ in 0..jobs.repeat {
        let begun = Instant::now();
        let outcome = runner.execute(body, &origin);
        let took = begun.elapsed();
        tell(stream, &Said::Answered(answer(outcome, took)))?;
    }
    Ok(())
}

fn answer(outcome: Outcome, took: std::time::Duration) -> Answer {
    let delay = (outcome.delay_ms != DELAY_BY_POLICY).then_some(outcome.delay_ms);
    Answer {
        verdict: match outcome.verdict.read() {
            Reading::Done => Verdict::Done,
            Reading::Retry => Verdict::Retry,
            Reading::Bury => Verdict::Bury,
            Reading::Failed => Verdict::Failed,
            Reading::Exception => Verdict::Exception,
        },
        delay: delay.map(std::time::Duration::from_millis),
        priority: outcome.priority.try_into().ok(),
        message: outcome.message.into(),
        result: String::from_utf8_lossy(&outcome.result).into_owned(),
        took,
    }
}

fn refusal(error: &LoadError) -> Said {
    Said::Refused {
        exit: error.exit().code(),
        error: error.to_string(),
    }
}

fn tell(mut stream: &UnixStream, said: &Said) -> io::Result<()> {
    stream.write_all(&encode(said)?)
}
