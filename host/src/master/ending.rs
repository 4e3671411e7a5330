//! How a master ends: it lets its workers finish, then exits or executes its binary anew.

use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::{Failure, Master, generation::Generation, handover};
use crate::{exit::Exit, ipc::ToWorker};

/// How long workers that were told to leave at once are given before they are killed.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How the master leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Exit,
    Restart,
}

/// The master on its way out.
pub(super) struct Stopping {
    pub(super) ending: Ending,
    /// When workers are told to leave at once.
    now_at: Instant,
    /// When those who still have not left are killed.
    kill_at: Option<Instant>,
}

fn stopping_already() -> Failure {
    Failure::new(Exit::Failed, "the daemon is stopping")
}

impl Master {
    /// First call: let everybody finish. Second call: everybody leaves at once.
    pub(super) fn stop(&mut self, ending: Ending) {
        let now = Instant::now();
        if let Some(stopping) = &mut self.stopping {
            stopping.ending = if ending == Ending::Exit {
                ending
            } else {
                stopping.ending
            };
            return self.leave_now(now);
        }
        for waiting in self.waiting.drain(..) {
            waiting.refuse(&stopping_already());
        }
        let grace = self.grace();
        info!(grace = ?grace, "stopping: running jobs may finish");
        match ending {
            Ending::Exit => self.manager.stopping(),
            // To the service manager it is one service all the time.
            Ending::Restart => self.manager.reloading(),
        }
        self.stopping = Some(Stopping {
            ending,
            now_at: now + grace,
            kill_at: None,
        });
        let effects = self.children.stop(now);
        self.carry_out(effects);
    }

    /// Stops as a first [`Master::stop`] does, however often it is asked for.
    pub(super) fn stop_in_order(&mut self) {
        match &mut self.stopping {
            Some(stopping) => stopping.ending = Ending::Exit,
            None => self.stop(Ending::Exit),
        }
    }

    /// Begins a restart, where it can be expected to succeed.
    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        if self.stopping.is_some() {
            return Err(stopping_already());
        }
        handover::executable(&self.binary).map_err(|error| {
            let text = format!("cannot execute `{}`: {error}", self.binary.display());
            Failure::new(Exit::NoInput, text)
        })?;
        Generation::prepare(0, &self.sources)?;
        self.stop(Ending::Restart);
        Ok(())
    }

    pub(super) fn leave_now(&mut self, now: Instant) {
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        if stopping.kill_at.is_none() {
            warn!("stopping: running jobs are given back");
            stopping.kill_at = Some(now + LAST_WORDS);
            self.processes.send_all(|| ToWorker::Now);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let own = match &self.stopping {
            Some(stopping) => Some(stopping.kill_at.unwrap_or(stopping.now_at)),
            None => {
                let deadlines = [self.children.deadline(), self.breakers.deadline()];
                deadlines.into_iter().flatten().min()
            }
        };
        let others = [
            self.processes.deadline(),
            self.outputs.deadline(),
            self.manager.deadline(),
            self.next_overrun_look(),
            self.plugin_look(),
        ];
        own.into_iter().chain(others.into_iter().flatten()).min()
    }

    /// Does what is due by now.
    pub(super) fn on_time(&mut self) {
        let now = Instant::now();
        self.manager.alive(now);
        self.look_at_outputs(now);
        self.end_overruns(now);
        if self.processes.give_up_links(now) {
            self.bury_the_gone();
        }
        match &mut self.stopping {
            None => {
                let effects = self.children.next(now);
                self.carry_out(effects);
                self.mind_breakers(now);
            }
            Some(Stopping {
                kill_at: Some(kill_at),
                ..
            }) if now >= *kill_at => {
                *kill_at = now + LAST_WORDS;
                self.processes.kill_all();
            }
            Some(Stopping {
                kill_at: None,
                now_at,
                ..
            }) if now >= *now_at => self.leave_now(now),
            Some(_) => {}
        }
        self.look_at_plugins(now);
    }

    pub(super) fn end(self, ending: Ending) -> Result<(), Failure> {
        if ending == Ending::Restart {
            info!("restarting");
            let handover = handover::Leaving {
                binary: &self.binary,
                sources: self.sources,
                log: self.processes.log().clone(),
                pid_file: &self.pid_file,
            };
            let error = handover.execute();
            let text = format!("cannot execute `{}`: {error}", self.binary.display());
            error!("{text}");
            let _ = std::fs::remove_file(&self.places.socket);
            self.pid_file.release();
            return Err(Failure::new(Exit::Internal, text));
        }
        // A socket that cannot be removed is removed by the next start. The state directory stays: certificates
        // of jobs that are still in the queue lie there.
        let _ = std::fs::remove_file(&self.places.socket);
        info!("stopped");
        self.pid_file.release();
        match (self.fatal, self.starter) {
            (None, _) => Ok(()),
            (Some(failure), None) => Err(failure),
            (Some(failure), Some(starter)) => {
                starter.failed(failure.exit, &failure.error);
                Err(failure)
            }
        }
    }
}
