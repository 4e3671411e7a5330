//! Whether a job that was just reserved may be executed at all, and in which company.
//!
//! beanstalkd hands the job of a dead worker to the next waiting slot within a
//! fraction of a millisecond. Executed at once, a job that takes workers down
//! would take down one after the other. So a slot first looks whether the job
//! still counts as running elsewhere, or is under suspicion, and then serves
//! the delay or the burial instead of executing it. A suspect that has served
//! its delay is executed; one whose next death would be its last, alone in its
//! worker ([`super::company`]).

use std::time::{Duration, Instant};

use asynccall_client::protocol::JobId;
use tracing::info;

use super::{
    Shared,
    company::Place,
    facts::{Facts, nanoseconds},
    lane::Lane,
    settle::Purpose,
};
use crate::{
    ipc::{row::monotonic_ns, scoreboard::Predecessor, suspects::Sentence},
    policy::{self, Action, Disposition},
};

/// How long a suspect waits for the jobs beside it to end before it makes room for others once more.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What becomes of a job that is not executed.
pub(super) enum Instead {
    /// The queue server does not know it, or cannot be asked.
    Lost,
    /// It is settled.
    Settle {
        /// Released, or buried.
        disposition: Disposition,
        /// The job's priority.
        priority: u32,
        /// What a release is for.
        purpose: Purpose,
    },
}

/// What is known against a job.
enum Heeded {
    Nothing,
    /// It may be executed, with nothing beside it, after so many deaths.
    RunsAlone(u32, Facts),
    Instead(Instead),
}

/// Where the job may be executed, or what is to become of it instead.
pub(super) fn admit<'a>(lane: &Lane, shared: &'a Shared, id: JobId) -> Result<Place<'a>, Instead> {
    match heed(lane, shared, id) {
        Heeded::Nothing => Place::beside(shared).ok_or_else(|| match lane.facts(id) {
            Some(facts) => make_room(&facts, 0, "another job of this worker has to run alone"),
            None => Instead::Lost,
        }),
        Heeded::RunsAlone(deaths, facts) => isolate(lane, shared, id, deaths, &facts),
        Heeded::Instead(instead) => Err(instead),
    }
}

fn heed(lane: &Lane, shared: &Shared, id: JobId) -> Heeded {
    let key = lane.key(id);
    let unfinished = shared.scoreboard.predecessor(key, lane.row_index()) == Some(Predecessor::Unfinished);
    let suspect = shared.scoreboard.suspects().find(key);
    let sentence = suspect.map(|suspect| suspect.sentence);
    let deaths = suspect.map_or(0, |suspect| suspect.deaths);
    let (deaths, condemned) = match sentence {
        Some(Sentence::Bury) => (deaths, true),
        Some(Sentence::Delay) => (deaths, false),
        // The master has not heard of this death yet.
        _ if unfinished => (deaths + 1, false),
        Some(Sentence::Served) => (deaths, false),
        None => return Heeded::Nothing,
    };
    let Some(known) = lane.facts(id) else {
        return Heeded::Instead(Instead::Lost);
    };
    if !unfinished && known.crashes == 0 {
        // Another job of the same id: the server counts from 1 again after a restart without a binlog.
        shared.scoreboard.suspects().remove(key);
        return Heeded::Nothing;
    }
    match suspect.filter(|_| !unfinished && sentence == Some(Sentence::Served)) {
        Some(suspect) if suspect.alone => return Heeded::RunsAlone(suspect.deaths, known),
        Some(_) => return Heeded::Nothing,
        None => {}
    }
    Heeded::Instead(Instead::Settle {
        disposition: policy::after_deaths(deaths, condemned, known.for_policy(id), &shared.retry),
        priority: known.priority,
        purpose: Purpose::ServesDelay,
    })
}

/// Waits until no other handler runs in this worker. Meanwhile no slot of it takes a job, and the suspect is touched.
fn isolate<'a>(
    lane: &Lane,
    shared: &'a Shared,
    id: JobId,
    deaths: u32,
    facts: &Facts,
) -> Result<Place<'a>, Instead> {
    let later = |reason: &'static str| {
        let next = policy::after_deaths(deaths, false, facts.for_policy(id), &shared.retry);
        match next.action {
            Action::Release { delay } => make_room(facts, delay, reason),
            _ => make_room(facts, 0, reason),
        }
    };
    let Some(place) = Place::alone(shared) else {
        return Err(later("another job of this worker runs alone already"));
    };
    info!(
        deaths,
        "under suspicion: waiting until nothing else runs in this worker"
    );
    let deadline = Instant::now() + LONGEST_WAIT;
    loop {
        let Some(facts) = lane.facts(id) else {
            return Err(Instead::Lost);
        };
        let now = monotonic_ns();
        if facts.wants_touch(now) {
            if !lane.touch(id) {
                return Err(Instead::Lost);
            }
            continue;
        }
        let touch_at = facts.deadline_ns.saturating_sub(nanoseconds(facts.ttr) / 2);
        let until_touch = Duration::from_nanos(touch_at.saturating_sub(now));
        let left = deadline.saturating_duration_since(Instant::now());
        if place.wait(until_touch.min(left), || shared.is_quiet() || !lane.is_starting()) {
            return Ok(place);
        }
        if shared.is_quiet() || !lane.is_starting() {
            return Err(make_room(&facts, 0, "the worker leaves"));
        }
        if left.is_zero() {
            return Err(later("the jobs beside it take too long"));
        }
    }
}

/// A job that can do nothing for not being executed now.
fn make_room(facts: &Facts, delay: u32, reason: &'static str) -> Instead {
    Instead::Settle {
        disposition: Disposition::new(Action::Release { delay }, reason),
        priority: facts.priority,
        purpose: Purpose::NoAttempt,
    }
}
