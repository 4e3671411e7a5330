//! One job: run the handler, decide what becomes of the job, tell the queue server, say so in the log.
//!
//! Deciding and settling are apart: what is decided becomes a [`Pending`]
//! settlement, whose command goes out in one write with the next reserve. It is
//! the only place where a job that a handler has executed is settled.

use std::{borrow::Cow, time::Duration};

use asynccall_abi::outcome::{DELAY_BY_POLICY, Outcome, PRIORITY_KEEP, Verdict};
use asynccall_client::{
    connection::ConnectionError,
    payload::{self, Flag, Limits, RetryFields},
    protocol::{Command, JobId, Reply, Verb},
};
use jiff::Zoned;
use tracing::{debug, info, warn};

use super::{
    Shared,
    job::LentJob,
    lane::{Lane, Settler},
    suspicion::{self, Heeded},
};
use crate::{
    config::RetrySource,
    ipc::row::{State, monotonic_ns},
    observe::{
        line::chain,
        log::{self, JobIdentity},
    },
    policy::{self, Action, Facts, Failure},
};

/// A decision that the queue server has not heard of yet.
pub(super) struct Pending {
    id: JobId,
    action: Action,
    priority: u32,
    reason: Cow<'static, str>,
    /// The handler asked for it.
    asked_for: bool,
    /// It is the delay that a job under suspicion has to serve.
    serves_delay: bool,
    answer: Answer,
}

/// What the handler answered, for the log.
struct Answer {
    label: &'static str,
    failed: bool,
    error: String,
    result: Vec<u8>,
    started_ns: u64,
}

/// Runs the handler on a job and decides; `None` where nothing is left to be settled by this slot.
pub(super) fn execute(lane: &Lane, shared: &Shared, id: JobId, body: &[u8]) -> Option<Pending> {
    let tube = shared.tubes.only();
    // Not running yet: whatever happens before the handler begins is no fault of the job.
    let looked_ns = lane.enter(State::Settling, id.0, tube);
    log::set_job(Some(identify(shared, id)));
    if let Some(heeded) = suspicion::heed(lane, shared, id) {
        return lane
            .claim_unopened()
            .then(|| instead(lane, id, heeded, looked_ns))
            .flatten();
    }
    let at_most_once = asks_for_at_most_once(shared, body);
    if at_most_once && !delete_before_running(lane, id) {
        return None;
    }
    if !at_most_once && !lane.open() {
        info!("not executed: the worker has to leave, and the queue server hands the job out again");
        return None;
    }
    let started_ns = match at_most_once {
        true => lane.pen().run_deleted(id.0, tube),
        false => lane.enter(State::Running, id.0, tube),
    };
    if !at_most_once {
        lane.running(id);
    }
    shared.have_watched();
    let job = LentJob::new(id, body, lane, &shared.tubes);
    lane.row().count_executed();
    shared.count_job();
    let outcome = shared.handler.execute(job.lend());
    lane.not_running();
    if !at_most_once && !lane.claim(Settler::Slot) {
        warn!(
            outcome = label(outcome.verdict),
            "the handler ended after its job was given back"
        );
        return None;
    }
    lane.pen().settling();
    let (failure, wished_priority) = (failure(&outcome), outcome.priority);
    let answer = Answer::of(outcome, started_ns);
    if answer.failed {
        lane.row().count_failed();
    }
    if at_most_once {
        answer.log_settled_before();
        return None;
    }
    match failure {
        None => Some(Pending {
            id,
            action: Action::Delete,
            priority: 0,
            reason: "".into(),
            asked_for: false,
            serves_delay: false,
            answer,
        }),
        Some(failure) => decide(lane, &job, body, failure, wished_priority, answer),
    }
}

/// What log lines say of the job that a slot works on.
pub(super) fn identify(shared: &Shared, id: JobId) -> JobIdentity {
    let tube = shared.tubes.only().map(|index| shared.tubes.name(index));
    JobIdentity {
        id: id.0,
        tube: tube.unwrap_or_else(|| shared.unknown_tube.clone()),
        handler: shared.handler_name.clone(),
    }
}

/// What is settled for a job that its handler is not given.
fn instead(lane: &Lane, id: JobId, heeded: Heeded, started_ns: u64) -> Option<Pending> {
    let answer = Answer {
        label: "not_executed",
        failed: false,
        error: String::new(),
        result: Vec::new(),
        started_ns,
    };
    match heeded {
        Heeded::Lost => {
            answer.log_lost(lane);
            None
        }
        Heeded::Instead {
            disposition,
            priority,
        } => Some(Pending {
            id,
            action: disposition.action,
            priority,
            reason: disposition.reason,
            asked_for: false,
            serves_delay: true,
            answer,
        }),
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
fn delete_before_running(lane: &Lane, id: JobId) -> bool {
    if !lane.claim_unopened() {
        return false;
    }
    match lane.ask(|connection| connection.delete(id)) {
        Ok(true) => {
            lane.row().count_done();
            true
        }
        Ok(false) => {
            warn!(
                settled = "lost",
                "the job asks to run at most once and is not ours any more: not executed"
            );
            false
        }
        Err(error) => {
            let error = chain(&error);
            warn!(
                settled = "unknown",
                error, "the job asks to run at most once: not executed"
            );
            false
        }
    }
}

fn failure(outcome: &Outcome) -> Option<Failure> {
    match outcome.verdict {
        Verdict::DONE => None,
        Verdict::BURY => Some(Failure::Bury),
        Verdict::FAILED => Some(Failure::Failed),
        Verdict::EXCEPTION => Some(Failure::Exception),
        // Verdicts of later minors read as a wish for another try.
        _ if outcome.delay_ms == DELAY_BY_POLICY => Some(Failure::Retry(None)),
        _ => Some(Failure::Retry(Some(Duration::from_millis(outcome.delay_ms)))),
    }
}

fn label(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::DONE => "done",
        Verdict::BURY => "bury",
        Verdict::FAILED => "failed",
        Verdict::EXCEPTION => "exception",
        _ => "retry",
    }
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
                attempt: known.attempt.saturating_sub(lane.delays().count(job.id().0)),
                priority,
            }
        }
    };
    let message = match policy::needs_message(failure, retry) {
        true => message_fields(body),
        false => RetryFields::default(),
    };
    let disposition = policy::decide(failure, facts, &message, retry, &Zoned::now());
    Some(Pending {
        id: job.id(),
        action: disposition.action,
        priority: facts.priority,
        reason: disposition.reason,
        asked_for: matches!(failure, Failure::Retry(_)),
        serves_delay: false,
        answer,
    })
}

/// A settlement whose connection is of no more use.
pub(super) struct Inconclusive {
    /// What is wrong with the connection.
    pub(super) error: ConnectionError,
    /// The decision, where the job is done and nobody knows whether the queue server knows.
    pub(super) left: Option<Pending>,
}

impl Inconclusive {
    fn new(error: ConnectionError, left: Option<Pending>) -> Box<Inconclusive> {
        Box::new(Inconclusive { error, left })
    }
}

impl Pending {
    /// What the queue server is to be told.
    pub(super) fn command(&self) -> Command<'static> {
        let Pending {
            id, priority: pri, ..
        } = *self;
        match self.action {
            Action::Delete => Command::Delete(id),
            Action::Release { delay } => Command::Release { id, pri, delay },
            Action::Bury => Command::Bury { id, pri },
        }
    }

    /// The job's id.
    pub(super) fn id(&self) -> JobId {
        self.id
    }

    /// When its handler began, in nanoseconds of the shared clock.
    pub(super) fn started_ns(&self) -> u64 {
        self.answer.started_ns
    }

    /// The log line of a settlement of which nobody knows whether it has arrived.
    pub(super) fn log_unknown(&self, reason: &str) {
        self.answer.log("unknown", None, reason);
    }

    /// Counts and logs what the queue server answered.
    pub(super) fn conclude(
        self,
        lane: &Lane,
        reply: Result<Reply<'_>, ConnectionError>,
    ) -> Result<(), Box<Inconclusive>> {
        let row = lane.row();
        let delay = match self.action {
            Action::Release { delay } => Some(delay),
            _ => None,
        };
        match reply {
            Ok(Reply::Deleted) => {
                row.count_done();
                lane.forget(self.id);
                self.answer.log("delete", None, &self.reason);
            }
            Ok(Reply::Released) => {
                row.count_released();
                if self.serves_delay {
                    lane.delay_served(self.id);
                }
                if self.asked_for {
                    lane.delays().add(self.id.0);
                }
                self.answer.log("release", delay, &self.reason);
            }
            Ok(Reply::Buried(_)) => {
                row.count_buried();
                lane.forget(self.id);
                let full = "the queue server had no memory to release it";
                self.answer
                    .log("bury", None, if delay.is_some() { full } else { &self.reason });
            }
            Ok(Reply::NotFound) => {
                self.answer.log(
                    "lost",
                    None,
                    "its time to run was over, or somebody else deleted it",
                );
            }
            Ok(Reply::Error(reply)) => {
                self.answer.log("unknown", None, &reply.to_string());
                let command = match self.action {
                    Action::Delete => Verb::Delete,
                    Action::Release { .. } => Verb::Release,
                    Action::Bury => Verb::Bury,
                };
                return Err(Inconclusive::new(
                    ConnectionError::Server { command, reply },
                    None,
                ));
            }
            // The connection has checked that the reply fits the command.
            Ok(_) => return Err(Inconclusive::new(ConnectionError::Broken, None)),
            // Done, but nobody knows whether the queue server does: looked after on the next connection.
            Err(error) if self.action == Action::Delete => return Err(Inconclusive::new(error, Some(self))),
            Err(error) => {
                self.log_unknown("the connection was lost before the answer");
                return Err(Inconclusive::new(error, None));
            }
        }
        Ok(())
    }
}

impl Answer {
    fn of(outcome: Outcome, started_ns: u64) -> Answer {
        Answer {
            label: label(outcome.verdict),
            failed: matches!(outcome.verdict, Verdict::FAILED | Verdict::EXCEPTION),
            error: outcome.message.into(),
            result: outcome.result.into(),
            started_ns,
        }
    }

    /// One log line for the job's end: at debug where all went well, else a warning with the reason.
    fn log(&self, settled: &str, delay: Option<u32>, reason: &str) {
        let outcome = self.label;
        if outcome == "done" && settled == "delete" {
            let ms = || monotonic_ns().saturating_sub(self.started_ns) / 1_000_000;
            let result = || String::from_utf8_lossy(&self.result);
            debug!(outcome, settled, ms = ms(), result = %result());
            return;
        }
        let delay = delay.map(|seconds| tracing::field::display(format!("{seconds}s")));
        let error = Some(self.error.as_str()).filter(|error| !error.is_empty());
        warn!(outcome, settled, delay, reason, error);
    }

    /// The log line of a job that can be settled no more.
    fn log_lost(&self, lane: &Lane) {
        match lane.is_unusable() {
            true => self.log(
                "unknown",
                None,
                "the connection was lost: the queue server hands the job out again",
            ),
            false => self.log("lost", None, "the job is not ours any more"),
        }
    }

    fn log_settled_before(&self) {
        match self.label {
            "done" => self.log("delete", None, ""),
            _ => self.log(
                "deleted_before_running",
                None,
                "the message asks to run at most once (noRetry)",
            ),
        }
    }
}
