//! A restart: the master executes its binary anew, and its workers go on.
//!
//! ```text
//!  serving ──▶ preflight ──▶ last answers ──▶ exec ──▶ adopted ──▶ new generation ──▶ serving
//!     ▲            │               │            │                        │
//!     └── refused ─┴── called off ─┴── failed ──┘      (the adopted one goes on where it fails)
//! ```
//!
//! Until the exec nothing is closed, so whatever goes wrong leaves everything
//! as it was. Commands that come while nobody accepts them wait for the next
//! instance in the backlog of the control socket.

use std::{collections::BTreeMap, io, os::fd::AsRawFd, time::Instant};

use nix::sys::wait::WaitStatus;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info};

use super::{
    Event, Failure, Master,
    handover::{self, Handover, Kept},
    preflight::Preflight,
    rollout::Waiting,
    signals, spawn,
};
use crate::{control::Response, exit::Exit, observe::log};

/// How many turns the event loop is given to hear of signals that came before they were blocked: one to look,
/// one for the task that waits for the signal, and some to spare.
const TURNS: u32 = 8;

/// A restart on its way to the exec.
pub(super) enum Restart {
    /// A child finds out whether it can succeed, and a client waits.
    Preflight(Preflight, oneshot::Sender<Response>),
    /// Nothing more is accepted, and what was is being answered.
    LastAnswers,
    /// All that is left is the exec.
    Due,
}

/// How the last restart went, for the client that asked for it.
pub(super) struct Takeover {
    /// The generation that was begun after it.
    pub(super) generation: u64,
    /// Why it did not come to serve.
    pub(super) failure: Option<Failure>,
}

impl Master {
    /// Begins a restart, and answers when the preflight has ended.
    pub(super) fn restart_and_answer(&mut self, reply: oneshot::Sender<Response>) {
        match self.begin_preflight() {
            Ok(preflight) => self.restart = Some(Restart::Preflight(preflight, reply)),
            Err(failure) => drop(reply.send(failure.response())),
        }
    }

    fn begin_preflight(&mut self) -> Result<Preflight, Failure> {
        self.waiting.retain(|waiting| !waiting.reply.is_closed());
        let under_way = self.children.rolling_out().is_some() || !self.waiting.is_empty();
        let refusal = match (&self.stopping, &self.restart) {
            (Some(_), _) => Some("the daemon is stopping"),
            (None, Some(_)) => Some("a restart is under way"),
            (None, None) if under_way => Some("a reload is under way\n  hint: try again when it has ended"),
            (None, None) => None,
        };
        if let Some(refusal) = refusal {
            return Err(Failure::new(Exit::Failed, refusal));
        }
        let cannot_execute = |error: io::Error| {
            let text = format!("cannot execute `{}`: {error}", self.invocation.binary.display());
            Failure::new(Exit::NoInput, text)
        };
        self.invocation.executable().map_err(cannot_execute)?;
        let mut kept = Kept::default();
        let handover = self.leave(None, &mut kept);
        let preflight = Preflight::begin(&self.invocation, &handover, &kept).map_err(cannot_execute)?;
        info!("restart: finding out whether the binary can take over");
        Ok(preflight)
    }

    /// A child that is no worker has ended: it may be the preflight.
    pub(super) fn on_other_exit(&mut self, ended: WaitStatus) {
        match self.restart.take() {
            Some(Restart::Preflight(preflight, reply)) if preflight.is(ended) => {
                match preflight.outcome(ended) {
                    Ok(()) => self.give_last_answers(reply),
                    Err(failure) => self.refuse_restart(reply, &failure),
                }
            }
            other => self.restart = other,
        }
    }

    /// Gives up on a preflight that takes too long.
    pub(super) fn end_late_preflight(&mut self, now: Instant) {
        if self.preflight_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if let Some(Restart::Preflight(preflight, reply)) = self.restart.take() {
            preflight.kill();
            self.refuse_restart(reply, &preflight.too_late());
        }
    }

    /// When [`Master::end_late_preflight`] has something to do.
    pub(super) fn preflight_deadline(&self) -> Option<Instant> {
        match &self.restart {
            Some(Restart::Preflight(preflight, _)) => Some(preflight.deadline),
            _ => None,
        }
    }

    fn refuse_restart(&self, reply: oneshot::Sender<Response>, failure: &Failure) {
        error!(error = %failure, "restart refused, everything goes on as it was");
        let _ = reply.send(failure.response());
    }

    /// The preflight has succeeded: whoever asks from now on is answered by the next instance.
    fn give_last_answers(&mut self, reply: oneshot::Sender<Response>) {
        self.restart = Some(Restart::LastAnswers);
        self.manager.reloading();
        self.control.rest();
        let _ = reply.send(Response::Instance(self.instance()));
        let answered = self.control.answered();
        let events = self.events.clone();
        tokio::spawn(async move {
            answered.await;
            let _ = events.send(Event::Answered);
        });
    }

    /// Every answer has gone out.
    pub(super) fn on_answered(&mut self) {
        if matches!(self.restart, Some(Restart::LastAnswers)) {
            self.restart = Some(Restart::Due);
        }
    }

    /// Gives a restart up that has not come to the exec.
    pub(super) fn call_off_restart(&mut self, failure: Failure) {
        match self.restart.take() {
            None => {}
            Some(Restart::Preflight(preflight, reply)) => {
                preflight.kill();
                self.refuse_restart(reply, &failure);
            }
            Some(Restart::LastAnswers | Restart::Due) => {
                error!(error = %failure, "restart called off, everything goes on as it was");
                self.manager.ready(self.children.current());
                self.takeover = Some(Takeover {
                    generation: self.last_generation,
                    failure: Some(failure),
                });
                self.control.resume();
            }
        }
    }

    /// Executes the binary in place of this process where that is due. Returns only if it did not come to that.
    pub(super) async fn execute_when_due(&mut self, inbox: &mut mpsc::UnboundedReceiver<Event>) {
        if !matches!(self.restart, Some(Restart::Due)) {
            return;
        }
        // What comes from now on waits for the next instance; what came before is heard here.
        let held = signals::hold();
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        while let Ok(event) = inbox.try_recv() {
            self.handle(event);
        }
        if matches!(self.restart, Some(Restart::Due)) {
            let error = match &held {
                Ok(_) => self.execute(),
                Err(error) => io::Error::from(error.kind()),
            };
            let text = format!("cannot execute `{}`: {error}", self.invocation.binary.display());
            self.call_off_restart(Failure::new(Exit::Internal, text));
        }
    }

    fn execute(&self) -> io::Error {
        let log_file = log::duplicate().ok();
        let mut kept = Kept::default();
        let handover = self.leave(log_file.as_ref(), &mut kept);
        let state = match handover.write() {
            Ok(state) => state,
            Err(error) => return error,
        };
        kept.keep(&state);
        info!("restarting");
        let executed = kept
            .iter()
            .try_for_each(spawn::keep_across_exec)
            .and_then(|()| self.invocation.execute(handover::VARIABLE, state.as_raw_fd()));
        let Err(error) = executed;
        // Workers that are started from now on must not inherit them.
        kept.iter().for_each(spawn::close_on_exec);
        error
    }

    /// Everything that the next instance has to know.
    fn leave<'a>(&'a self, log_file: Option<&'a std::os::fd::OwnedFd>, kept: &mut Kept<'a>) -> Handover {
        let now = Instant::now();
        let mut workers = BTreeMap::new();
        for (id, process) in self.processes.iter() {
            if let Some(worker) = self.children.worker(id) {
                let output = self.outputs.leave(id, kept);
                let left = self.processes.leave(id, process, output, kept);
                workers.insert(id.0, (worker.standing(now), left));
            }
        }
        let generations: Vec<_> = self
            .generations
            .values()
            .map(|generation| generation.leave(kept))
            .collect();
        let log_file = log_file.map(|file| kept.keep(file));
        let pid_file = kept.keep(self.pid_file.file());
        let control = kept.keep(&self.control);
        let scoreboard = kept.keep(&self.processes.scoreboard);
        Handover {
            version: handover::VERSION,
            log: self.processes.log().clone(),
            sources: self.sources.clone(),
            binary: self.invocation.binary.clone(),
            pid_path: self.pid_file.path().to_owned(),
            descriptors: kept.numbers(),
            log_file,
            pid_file,
            control,
            scoreboard,
            ipc: crate::ipc::VERSION,
            up: self.started.elapsed(),
            totals: self.totals,
            metrics: self.metrics.clone(),
            paused: self.paused.clone(),
            streaks: self.processes.streaks().clone(),
            last_generation: self.last_generation,
            serving: self.children.current(),
            previous: self.previous,
            plan: self.children.plan().clone(),
            next_worker: self.children.next_id(),
            workers,
            generations: serde_json::to_value(generations).unwrap_or_default(),
        }
    }

    /// Answers how the restart of that instance went, once that is known.
    pub(super) fn answer_restarted(&mut self, from: u64, reply: oneshot::Sender<Response>) {
        let is_asked_too_early = from == self.instance && self.takeover.is_none();
        let response = match &self.takeover {
            Some(Takeover {
                failure: Some(failure),
                ..
            }) => failure.response(),
            _ if is_asked_too_early => Failure::new(Exit::Failed, "no restart has begun").response(),
            takeover => {
                let generation = takeover.as_ref().map_or(1, |takeover| takeover.generation);
                self.waiting.push(Waiting { generation, reply });
                return self.answer_waiting();
            }
        };
        let _ = reply.send(response);
    }
}
