//! Children that live for many jobs: one per job that runs at a time, taken from the idle ones or started.
//!
//! - [`link`]: messages to and from one child,
//! - [`start`]: starting a child, up to its hello,
//! - [`child`]: its jobs, and its end where it has to be made to end,
//! - [`nursery`]: the thread that starts children and sees those off that are not needed any more.

mod child;
mod link;
mod nursery;
mod start;

use std::sync::{Mutex, MutexGuard, PoisonError};

use plugin_api::{Done, Error, Job, Result, serde_json, tracing::debug};

use self::{
    child::{Child, Failure},
    nursery::Nursery,
    start::StartError,
};
use crate::{
    config::{Limits, Persistence},
    frame,
    launch::Launch,
    message::Greeting,
};

/// The handler in this mode.
pub(crate) struct Persistent {
    /// The one that was used last is on top: it is the warmest, and the others may rest.
    idle: Mutex<Vec<Child>>,
    nursery: Nursery,
    settings: Persistence,
    limits: Limits,
}

impl Persistent {
    /// Starts no child yet.
    ///
    /// # Errors
    ///
    /// `options` that no message can hold, or a system that gives no thread.
    pub(crate) fn new(launch: Launch, limits: Limits, settings: Persistence) -> Result<Persistent, Error> {
        let greeting = Greeting::new(settings.class.as_deref(), &settings.options);
        let greeting = serde_json::to_vec(&greeting)?;
        let mut hello = Vec::new();
        frame::fill(&mut hello, |document| document.extend_from_slice(&greeting)).map_err(|length| {
            Error::failed(format_args!("`options` has {length} bytes, which is too much"))
        })?;
        let nursery = Nursery::start(launch, hello, limits, settings.start_timeout, settings.stop_grace)?;
        Ok(Persistent {
            idle: Mutex::default(),
            nursery,
            settings,
            limits,
        })
    }

    /// Starts the first child, so that a command that cannot work is known before any job is taken.
    ///
    /// # Errors
    ///
    /// Why the first child cannot be used.
    pub(crate) fn self_check(&self) -> Result<(), Error> {
        let child = self.child()?;
        self.idle().push(child);
        Ok(())
    }

    /// Has a child run this job.
    pub(crate) fn execute(&self, job: &Job<'_>) -> Result {
        let mut child = self.child()?;
        let reply = child.execute(job, self.limits, self.settings.stop_grace);
        let outcome = match reply {
            Ok(reply) => {
                if reply.leaves || self.is_worn(&child) {
                    debug!(pid = child.pid(), jobs = child.jobs(), "child leaves");
                    self.nursery.see_off(child);
                } else {
                    self.idle().push(child);
                }
                reply.answer.outcome
            }
            Err(Failure::Untold(error)) => {
                self.idle().push(child);
                Err(error)
            }
            Err(Failure::Broken(error)) => Err(error),
        };
        outcome.map(|result| result.map_or_else(Done::default, Done::from))
    }

    /// An idle child that still lives, else a new one.
    fn child(&self) -> Result<Child, StartError> {
        loop {
            let idle = self.idle().pop();
            match idle {
                Some(child) if child.has_left() => debug!(pid = child.pid(), "an idle child has left"),
                Some(child) => return Ok(child),
                None => return self.nursery.child(),
            }
        }
    }

    fn is_worn(&self, child: &Child) -> bool {
        self.settings.max_jobs.is_some_and(|limit| child.jobs() >= limit)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Child>> {
        // Pushing and popping leave nothing half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Persistent {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut *self.idle());
        idle.into_iter().for_each(|child| self.nursery.see_off(child));
    }
}
