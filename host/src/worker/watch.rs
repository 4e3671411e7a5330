//! Watching running jobs: fresh time to run before the old one ends, and an end for those that run too long.
//!
//! Short jobs pay nothing for it. A slot that begins a job wakes the keeper
//! only if it sleeps; the keeper looks every [`LOOK`] while jobs run or have
//! begun since its last look, and asks for a job's facts once it has run for [`LONG`]. What waits for the queue
//! server is done by [errands](super::errand).
//!
//! ```text
//!  begun ──LONG──▶ facts known ──half of the TTR──▶ touched, again and again
//!                       └──max_runtime, from the last progress──▶ asked to give up ──cancel_grace──▶ given back, the worker leaves
//! ```

use std::{
    io,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
    time::Duration,
};

use asynccall_client::protocol::JobId;
use tracing::{debug, warn};

use super::{
    errand,
    facts::nanoseconds,
    give_back::{Why, give_back},
    keeper::Keeper,
    lane::Lane,
};
use crate::ipc::row::{Activity, State, monotonic_ns};

/// How often running jobs are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// A job that has run for this long is worth a question to the queue server.
const LONG: Duration = Duration::from_millis(300);

/// A job that was asked to give up.
#[derive(Clone, Copy)]
pub(super) struct Overrun {
    /// When it was reserved: the same id may come again.
    reserved_ns: u64,
    asked_ns: u64,
}

impl Keeper {
    /// Looks after every running job; answers with when to look again, if anything runs.
    pub(super) fn watch_jobs(&mut self) -> io::Result<Option<Duration>> {
        let shared = self.shared.clone();
        if !shared.watching.load(Ordering::Relaxed) {
            return Ok(None);
        }
        // Else a job that is shorter than the keeper's awakening would send it back to sleep, and the next one wake it again.
        let begun = shared.executed.load(Ordering::Relaxed);
        let mut busy = begun != std::mem::replace(&mut self.begun_at_look, begun);
        for index in 0..self.lanes.len() {
            let lane = self.lanes[index].clone();
            let activity = lane.row().activity();
            if lane.is_given_back() {
                self.leave_without(&lane)?;
            } else if activity.state == State::Running {
                busy = true;
                let now = monotonic_ns();
                if now.saturating_sub(activity.since_ns) >= nanoseconds(LONG) {
                    self.mind_the_runtime(index, &lane, activity, now);
                    keep_reserved(&lane, now);
                }
            }
        }
        if !busy {
            shared.watching.store(false, Ordering::Relaxed);
            // A slot says that it runs before it looks at `watching`; this is the other half of that bargain.
            fence(Ordering::SeqCst);
            let begun =
                |lane: &Arc<Lane>| lane.row().activity().state == State::Running && !lane.is_given_back();
            busy = self.lanes.iter().any(begun);
            if busy {
                shared.watching.store(true, Ordering::Relaxed);
            }
        }
        Ok(busy.then_some(LOOK))
    }

    /// Asks a job that runs too long without progress to give up, and later gives it back.
    fn mind_the_runtime(&mut self, index: usize, lane: &Arc<Lane>, activity: Activity, now: u64) {
        let limit = self.shared.max_runtime;
        let asked = self.overruns[index].filter(|overrun| overrun.reserved_ns == activity.since_ns);
        let is_over = now.saturating_sub(activity.progress_ns) >= nanoseconds(limit);
        if limit.is_zero() || (asked.is_none() && !is_over) {
            return;
        }
        let latest = lane.row().activity();
        if latest.since_ns != activity.since_ns {
            // Another job by now.
            return;
        }
        match asked {
            // Progress since the look counts, and none once the handler was asked.
            None if latest.progress_ns != activity.progress_ns => {}
            None => {
                lane.cancel();
                warn!(job = activity.job, limit = ?limit, "max_runtime is over: asking the handler to give up");
                self.overruns[index] = Some(Overrun {
                    reserved_ns: activity.since_ns,
                    asked_ns: now,
                });
            }
            Some(overrun)
                if now.saturating_sub(overrun.asked_ns) >= nanoseconds(self.shared.cancel_grace) =>
            {
                errand::send(lane, |lane| give_back(lane, Why::TimedOut));
            }
            Some(_) => {}
        }
    }
}

/// Has a job touched when half of its time is over.
fn keep_reserved(lane: &Arc<Lane>, now: u64) {
    let job = lane.job();
    let is_due = match lane.known(job) {
        None => true,
        Some(None) => false,
        Some(Some(facts)) => facts.wants_touch(now),
    };
    // Whoever is sent to a connection that has failed, or that another holds, is back at once and wakes this thread,
    // which would send the next one.
    let is_of_use = !lane.is_unusable() && lane.try_connection().is_some();
    if is_due && is_of_use && lane.is_open(job) {
        errand::send(lane, move |lane| touch_when_due(lane, job));
    }
}

fn touch_when_due(lane: &Lane, job: JobId) {
    // Busy, or lost: there is nothing to do, or it is done at the next look.
    let Some(Some(facts)) = lane.try_facts(job) else {
        return;
    };
    if !facts.wants_touch(monotonic_ns()) {
        return;
    }
    match lane.try_touch(job) {
        None => {}
        Some(Ok(true)) => debug!(job = job.0, ttr = ?facts.ttr, "touched"),
        Some(Ok(false)) => warn!(
            job = job.0,
            "the job's time to run was over before it could be touched"
        ),
        Some(Err(error)) => warn!(job = job.0, error = %error, "cannot touch the job"),
    }
}
