//! How a master ends: it lets its workers finish, then exits or executes its binary anew.

use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::{Failure, Master, handover};
use crate::{control::Response, exit::Exit, ipc::ToWorker};

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
            let error = "the daemon is stopping".to_owned();
            let _ = waiting.reply.send(Response::Failed {
                exit: Exit::Failed.code(),
                error,
            });
        }
        let grace = self.grace();
        info!(grace = ?grace, "stopping: running jobs may finish");
        self.stopping = Some(Stopping {
            ending,
            now_at: now + grace,
            kill_at: None,
        });
        let effects = self.children.stop(now);
        self.carry_out(effects);
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
        match &self.stopping {
            Some(stopping) => Some(stopping.kill_at.unwrap_or(stopping.now_at)),
            None => self.children.deadline(),
        }
    }

    /// Does what is due by now.
    pub(super) fn on_time(&mut self) {
        let now = Instant::now();
        match &mut self.stopping {
            None => {
                let effects = self.children.next(now);
                self.carry_out(effects);
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
    }

    pub(super) fn end(self, ending: Ending) -> Result<(), Failure> {
        if ending == Ending::Restart {
            info!("restarting");
            let error = handover::execute(&self.binary, self.sources, &self.pid_file);
            let text = format!("cannot execute `{}`: {error}", self.binary.display());
            error!("{text}");
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
