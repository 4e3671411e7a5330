//! How a generation takes over: what a reload begins, and how it ends.

use std::{io, ops::RangeBounds, time::Instant};

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{
    Failure, Master,
    children::{Effect, Id},
    generation::Generation,
    processes::Wanted,
};
use crate::{control::Response, exit::Exit, ipc::ToWorker, observe::log};

/// Who waits for a reload to end.
pub(super) struct Waiting {
    pub(super) generation: u64,
    pub(super) reply: oneshot::Sender<Response>,
}

impl Waiting {
    /// Answers with a failure. A client that went away does not care for its answer.
    pub(super) fn refuse(self, failure: &Failure) {
        let _ = self.reply.send(failure.response());
    }
}

impl Master {
    /// Reloads, and answers when the new generation serves with all of its workers, or with why it does not.
    pub(super) fn reload_and_answer(&mut self, reply: oneshot::Sender<Response>) {
        self.begin_and_answer(reply, Master::reload);
    }

    /// Goes back to the generation before the current one, and answers in the same way.
    pub(super) fn roll_back_and_answer(&mut self, reply: oneshot::Sender<Response>) {
        self.begin_and_answer(reply, Master::roll_back);
    }

    fn begin_and_answer(
        &mut self,
        reply: oneshot::Sender<Response>,
        begin: impl FnOnce(&mut Master) -> Result<u64, Failure>,
    ) {
        // Before it begins: it may be over when `begin` returns.
        let generation = self.last_generation + 1;
        self.waiting.push(Waiting { generation, reply });
        match begin(self) {
            Ok(_) => self.answer_waiting(),
            // Nothing has begun, so the last one is the caller; whoever waits for another generation waits on.
            Err(failure) => {
                if let Some(caller) = self.waiting.pop() {
                    caller.refuse(&failure);
                }
            }
        }
    }

    /// Whether a generation may be begun, apart from one that is on its way.
    fn may_begin(&self) -> Result<(), Failure> {
        let refusal = match (&self.stopping, &self.restart) {
            (Some(_), _) => "the daemon is stopping",
            (None, Some(_)) => "a restart is under way, which reads settings and plugins anew",
            (None, None) => return Ok(()),
        };
        Err(Failure::new(Exit::Failed, refusal))
    }

    /// Starts the next generation with the settings and plugins of this moment.
    ///
    /// While one is on its way, the reload begins when that one has ended.
    pub(super) fn reload(&mut self) -> Result<u64, Failure> {
        self.may_begin()?;
        if let Some(under_way) = self.children.rolling_out() {
            self.reload_again = true;
            return Ok(under_way + 1);
        }
        log::reopen();
        let number = self.last_generation + 1;
        let generation = Generation::prepare(number, &self.sources)?;
        self.watch.loaded(&generation);
        info!("gen" = number, "reload: loading the new generation");
        self.begin(generation);
        Ok(number)
    }

    /// Starts a generation with the settings and plugins of the one before the current one, as they were then.
    fn roll_back(&mut self) -> Result<u64, Failure> {
        self.may_begin()?;
        if self.children.rolling_out().is_some() {
            return Err(Failure::new(Exit::Failed, "a reload is under way"));
        }
        let Some(previous) = self.previous.and_then(|previous| self.generations.get(&previous)) else {
            let error = "there is no generation to go back to: nothing was reloaded since the start";
            return Err(Failure::new(Exit::Failed, error));
        };
        let number = self.last_generation + 1;
        let generation = previous.again(number);
        info!(
            "gen" = number,
            like = previous.number,
            "rollback: loading the generation before again"
        );
        self.begin(generation);
        Ok(number)
    }

    pub(super) fn begin(&mut self, generation: Generation) {
        for warning in &generation.warnings {
            warn!("{warning}");
        }
        let waiting = |started| generation.config.daemon.waits_for_start(started);
        for key in self.daemon.as_ref().map(waiting).unwrap_or_default() {
            warn!("`daemon.{key}` has changed, which takes effect at the next start or restart");
        }
        if self.serving.is_some() {
            self.manager.reloading();
        }
        let (number, plan) = (generation.number, generation.plan());
        self.last_generation = number;
        self.generations.insert(number, generation);
        let effects = self.children.roll_out(number, plan, Instant::now());
        self.carry_out(effects);
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Spawn {
                    id,
                    pool,
                    nr,
                    generation,
                } => self.spawn(id, &pool, nr, generation),
                Effect::Work(id) => self.set_to_work(id),
                Effect::Quiet(id) => self.tell_quiet(id),
                Effect::Kill(id) => self.processes.kill(id),
                Effect::Overdue(id) => self.kill_overdue(id),
                Effect::Current(generation) => self.on_current(generation),
                Effect::Dropped { generation, error } => self.on_dropped(generation, error),
                Effect::SeatFailed { generation, error } => {
                    let error = format!("generation {generation} serves, but a worker of it died: {error}");
                    self.refuse_waiting(..=generation, &Failure::new(Exit::Failed, error));
                }
                Effect::Waits {
                    pool,
                    nr,
                    failures,
                    delay,
                    error,
                } => {
                    warn!(worker = nr, pool, failures, delay = ?delay, error, "the worker's seat waits before it is filled again")
                }
            }
        }
        self.forget_generations();
        self.answer_waiting();
    }

    fn tell_quiet(&mut self, id: Id) {
        if self.processes.hang_up(id) {
            // It cannot say it.
            let effects = self.children.quiet(id, Instant::now());
            return self.carry_out(effects);
        }
        self.processes.send(id, ToWorker::Quiet);
    }

    pub(super) fn spawn(&mut self, id: Id, pool: &str, nr: u32, generation: u64) {
        let is_first = self.children.rolling_out() == Some(generation);
        let outcome = match self.generations.get(&generation) {
            Some(generation) => {
                let wanted = Wanted {
                    id,
                    nr,
                    pool,
                    generation,
                    is_first,
                };
                self.processes.spawn(wanted, &mut self.outputs, &self.events)
            }
            None => Err(io::Error::other("its generation is gone")),
        };
        match outcome {
            Ok(pid) => info!(worker = nr, "gen" = generation, pid, "starting"),
            Err(error) => {
                error!(worker = nr, "gen" = generation, error = %error, "cannot start a worker");
                let effects =
                    self.children
                        .gone(id, &format!("cannot start a worker: {error}"), Instant::now());
                self.carry_out(effects);
            }
        }
    }

    fn kill_overdue(&mut self, id: Id) {
        let generation = self
            .processes
            .get(id)
            .and_then(|process| self.generations.get(&process.generation));
        let limit = generation.map_or(0, |generation| generation.config.daemon.start_timeout.as_secs());
        let error = format!(
            "the worker was not ready within {limit} s\n  hint: what its handler does in `new` or `self_check` takes too long, or raise --start-timeout"
        );
        self.processes.said(id, error);
        self.processes.kill(id);
    }

    pub(super) fn on_current(&mut self, generation: u64) {
        info!("gen" = generation, "serving");
        self.previous = self.serving.replace(generation);
        self.close_breakers();
        self.manager.ready(generation);
        self.follow_plugins();
        if let Some(starter) = self.starter.take() {
            starter.ready();
        }
    }

    pub(super) fn on_dropped(&mut self, generation: u64, reason: String) {
        if self.children.current() == 0 {
            if self.stopping.is_none() {
                self.fatal = Some(Failure::new(Exit::Failed, reason));
                self.stop();
            }
            return;
        }
        error!("gen" = generation, error = %reason, "reload failed, the running generation goes on");
        self.manager.ready(self.children.current());
        let failure = Failure::new(Exit::Failed, reason);
        for waiting in self
            .waiting
            .extract_if(.., |waiting| waiting.generation == generation)
        {
            waiting.refuse(&failure);
        }
        if let Some(takeover) = self.takeover.as_mut()
            && takeover.generation == generation
        {
            takeover.failure = Some(failure);
        }
    }

    /// Lets go of generations that nobody serves any more, and of their plugins' descriptors.
    pub(super) fn forget_generations(&mut self) {
        let current = self.children.current();
        let rolling_out = self.children.rolling_out();
        let (previous, processes) = (self.previous, &self.processes);
        let before = self.generations.len();
        self.generations.retain(|number, _| {
            let wanted = [Some(current), rolling_out, previous].contains(&Some(*number));
            wanted || processes.has_generation(*number)
        });
        if self.generations.len() < before {
            let generations = &self.generations;
            let exists = |pool: &str| generations.values().any(|known| known.pool(pool).is_some());
            self.processes.keep_streaks(exists);
        }
    }

    /// Answers those with a failure whose generation is one of these.
    fn refuse_waiting(&mut self, generations: impl RangeBounds<u64>, failure: &Failure) {
        let is_meant = |waiting: &mut Waiting| generations.contains(&waiting.generation);
        for waiting in self.waiting.extract_if(.., is_meant) {
            waiting.refuse(failure);
        }
    }

    /// Answers those whose generation has taken over, and begins the reload that had to wait.
    pub(super) fn answer_waiting(&mut self) {
        self.waiting.retain(|waiting| !waiting.reply.is_closed());
        let current = self.children.current();
        let is_due = |waiting: &mut Waiting| waiting.generation <= current;
        // Looking at every seat is for those who wait.
        if self.waiting.iter_mut().any(&is_due) && self.children.is_settled() {
            for waiting in self.waiting.extract_if(.., is_due) {
                let _ = waiting.reply.send(Response::Reloaded { generation: current });
            }
        }
        if self.reload_again && self.children.rolling_out().is_none() && self.stopping.is_none() {
            self.reload_again = false;
            if let Err(failure) = self.reload() {
                error!(error = %failure, "reload refused, the running generation goes on");
                self.refuse_waiting(self.last_generation + 1.., &failure);
            }
        }
    }
}
