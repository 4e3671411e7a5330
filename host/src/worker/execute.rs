//! One job: run the handler, and decide what becomes of the job.
//!
//! Deciding and settling are apart: what is decided becomes a [`Pending`]
//! settlement, whose command goes out in one write with the next reserve.

use std::{sync::Arc, time::Duration};

use asynccall_abi::outcome::{DELAY_BY_POLICY, Outcome, PRIORITY_KEEP, Reading};
use asynccall_client::{
    payload::{self, Flag, Format, Limits, RetryFields},
    protocol::JobId,
};
use jiff::Zoned;
use tracing::{info, warn};

use super::{
    Shared,
    handlers::Made,
    job::LentJob,
    lane::{Lane, Settler},
    settle::{Answer, Pending, Purpose, label},
    suspicion::{self, Instead},
};
use crate::{
    config::RetrySource,
    ipc::row::monotonic_ns,
    observe::{
        line::{bounded, chain, php::compact},
        log::{self, JobIdentity},
    },
    policy::{self, Facts, Failure},
};

/// Runs the handler on a job and decides; `None` where nothing is left to be settled by this slot.
pub(super) fn execute(lane: &Lane, shared: &Shared, id: JobId, body: &[u8]) -> Option<Pending> {
    let reserved_ns = lane.reserved_ns();
    if log::wants_bodies() {
        *lane.data() = shown(body);
    }
    log::set_job(Some(identify(lane, id)));
    let admitted = suspicion::admit(lane, shared, id);
    let chosen = admitted.and_then(|place| Ok((place, choose(lane, id)?)));
    let (place, tube, made) = match chosen {
        Ok((place, (tube, made))) => (place, tube, made),
        Err(instead) => {
            let pending = || settle_instead(lane, id, instead, reserved_ns);
            return lane.claim_unopened().then(pending).flatten();
        }
    };
    let at_most_once = asks_for_at_most_once(shared, body);
    if at_most_once && !delete_before_running(lane, id, reserved_ns) {
        return None;
    }
    if !at_most_once && !lane.open() {
        info!("not executed: the worker has to leave, and the queue server hands the job out again");
        return None;
    }
    let started_ns = match at_most_once {
        true => lane.run_deleted(id, tube),
        false => lane.run(id, tube),
    };
    lane.row().count_executed();
    shared.count_job();
    let job = LentJob::new(id, body, lane, &shared.tubes);
    let outcome = made.handler.execute(job.lend());
    lane.not_running();
    let claimed = match at_most_once {
        true => lane.claim_deleted(Settler::Slot),
        false => lane.claim(Settler::Slot),
    };
    if !claimed {
        let outcome = label(outcome.verdict);
        warn!(outcome, "the handler ended after its job was given back");
        return None;
    }
    lane.pen().settling();
    // Not before: whoever comes in now runs beside nobody.
    drop(place);
    let pending = weigh(lane, &job, body, outcome, started_ns, at_most_once);
    if let Some(burst) = &shared.burst {
        // With what the queue server was asked: in a burst the others wait for that as well.
        let kept_since_ns = if at_most_once { reserved_ns } else { started_ns };
        burst.pace.note(kept_since_ns, monotonic_ns());
    }
    pending
}

/// What follows from a handler's answer: it is counted, and decided about.
fn weigh(
    lane: &Lane,
    job: &LentJob<'_>,
    body: &[u8],
    outcome: Outcome,
    started_ns: u64,
    at_most_once: bool,
) -> Option<Pending> {
    let shared = &lane.shared;
    let (failure, wished_priority) = (failure(&outcome), outcome.priority);
    let answer = Answer::of(outcome, started_ns, &shared.hints);
    if answer.failure().is_some() {
        lane.row().count_failed();
    }
    shared.note_outcome(lane, answer.failure());
    if at_most_once {
        answer.log_settled_before();
        return None;
    }
    match failure {
        None => Some(Pending::delete(job.id(), answer)),
        Some(failure) => decide(lane, job, body, failure, wished_priority, answer),
    }
}

/// What log lines say of the job that a slot works on.
pub(super) fn identify(lane: &Lane, id: JobId) -> JobIdentity {
    let shared = &lane.shared;
    let learnt = || lane.known(id).flatten()?.tube;
    let tube = shared.tubes.only().or_else(learnt);
    let handler = shared.handlers.of(tube).map(|made| made.name);
    JobIdentity {
        id: id.0,
        tube: tube.map_or(log::UNKNOWN, |index| shared.tubes.name(index)),
        handler: handler.unwrap_or(log::UNKNOWN),
        data: log::wants_bodies().then(|| lane.data().clone()).flatten(),
    }
}

/// The JSON view of a body, as much of it as a log line shows; `None` where it cannot be read.
fn shown(body: &[u8]) -> Option<Arc<str>> {
    let mut scratch = Vec::new();
    let view = payload::json_view(body, &Limits::default(), &mut scratch).ok()?;
    let json = match view.format {
        Format::Json => String::from_utf8_lossy(body),
        _ => String::from_utf8_lossy(&scratch),
    };
    Some(Arc::from(bounded(&compact(&json))))
}

/// The handler of a job, and the job's tube where it is known; the queue server is asked only where the tube decides
/// about the handler.
fn choose(lane: &Lane, id: JobId) -> Result<(Option<usize>, &Made), Instead> {
    let shared = &lane.shared;
    let mut tube = shared.tubes.only();
    if tube.is_none() && shared.handlers.depend_on_tube() {
        // It is one of the pool's: nothing is reserved from any other.
        tube = lane.facts(id).ok_or(Instead::Lost)?.tube;
        log::set_job(Some(identify(lane, id)));
    }
    let made = shared.handlers.of(tube).ok_or(Instead::Lost)?;
    Ok((tube, made))
}

/// What is settled for a job that its handler is not given.
fn settle_instead(lane: &Lane, id: JobId, instead: Instead, started_ns: u64) -> Option<Pending> {
    let answer = Answer::without_handler("not_executed", started_ns);
    match instead {
        Instead::Lost => {
            answer.log_lost(lane);
            None
        }
        Instead::Settle {
            disposition,
            priority,
            purpose,
        } => Some(Pending::new(id, disposition, priority, purpose, answer)),
    }
}

/// Whether the message asks to be deleted before it runs, as `noRetry` does in the PHP library.
fn asks_for_at_most_once(shared: &Shared, body: &[u8]) -> bool {
    shared.retry.source == RetrySource::Message
        && payload::may_ask_for_no_retry(body)
        && message_fields(body).no_retry == Some(Flag::True)
}

fn message_fields(body: &[u8]) -> RetryFields<'_> {
    // A body that cannot be read has no wishes; the handler that wants it decoded buries it.
    RetryFields::read(body, &Limits::default()).unwrap_or_default()
}

/// Deletes a job whose handler has not begun. `false` where the job is not ours any more.
fn delete_before_running(lane: &Lane, id: JobId, started_ns: u64) -> bool {
    if lane.shared.put_limit > 0 {
        // What a put wants to know of the job cannot be asked any more when it is deleted.
        lane.facts(id);
    }
    if !lane.claim_unopened() {
        return false;
    }
    let pending = Pending::delete(id, Answer::without_handler("not_executed", started_ns));
    let settled = lane.ask(|connection| pending.settled(lane, connection.call(&pending.command())));
    let (settled, error) = match settled {
        Ok(Some(_)) => return lane.open_deleted(),
        Ok(None) => ("lost", None),
        Err(error) => ("unknown", Some(chain(&error))),
    };
    let text = "the job asks to run at most once and cannot be deleted before: not executed";
    warn!(settled, error, "{text}");
    false
}

fn failure(outcome: &Outcome) -> Option<Failure> {
    Some(match outcome.verdict.read() {
        Reading::Done => return None,
        Reading::Retry => {
            let asked = (outcome.delay_ms != DELAY_BY_POLICY).then_some(outcome.delay_ms);
            Failure::Retry(asked.map(Duration::from_millis))
        }
        Reading::Bury => Failure::Bury,
        Reading::Failed => Failure::Failed,
        Reading::Exception => Failure::Exception,
    })
}

fn decide(
    lane: &Lane,
    job: &LentJob<'_>,
    body: &[u8],
    failure: Failure,
    wished_priority: i64,
    answer: Answer,
) -> Option<Pending> {
    let retry = lane.retry();
    let wished = u32::try_from(wished_priority)
        .ok()
        .filter(|_| wished_priority != PRIORITY_KEEP);
    let facts = match wished.filter(|_| !policy::needs_attempt(failure)) {
        Some(priority) => Facts {
            id: job.id().0,
            attempt: 0,
            priority,
        },
        None => {
            let Some(known) = job.facts() else {
                answer.log_lost(lane);
                return None;
            };
            let priority = wished.unwrap_or(known.priority);
            Facts {
                id: job.id().0,
                // What the handler asked for does not count.
                attempt: known.attempt.saturating_sub(lane.uncounted(job.id())),
                priority,
            }
        }
    };
    let message = match policy::needs_message(failure, retry) {
        true => message_fields(body),
        false => RetryFields::default(),
    };
    let disposition = policy::decide(failure, facts, &message, retry, &Zoned::now());
    let purpose = match failure {
        Failure::Retry(_) => Purpose::NoAttempt,
        _ => Purpose::Attempt,
    };
    Some(Pending::new(
        job.id(),
        disposition,
        facts.priority,
        purpose,
        answer,
    ))
}
