//! The supervisor: one loop that takes events and carries out effects.
//!
//! It never loads a plugin and never reserves a job. In reading order:
//!
//! - this module: the events, and what each one means,
//! - [`start`]: from settings to a running loop,
//! - [`signals`]: what they ask for,
//! - [`children`]: who exists and what has to happen next, without doing it,
//! - [`generation`], [`set_id`]: settings and staged plugins, checked against each other,
//! - [`assignment`]: what these make of a pool,
//! - [`rollout`]: how a generation takes over, and what a reload answers,
//! - [`watch`]: reloading when the plugins change,
//! - [`spawn`], [`processes`], [`link`], [`output`]: worker processes, their rows, links and output,
//! - [`autopsy`], [`blame`]: what is learnt from a dead worker, and who is to blame,
//! - [`certificates`]: what the next master has to know of that,
//! - [`capacity`]: pausing pools and changing their size,
//! - [`breakers`], [`resting`]: pools whose handler fails again and again,
//! - [`overrun`]: jobs that run too long in workers that do not see to it,
//! - [`ending`]: stopping, in order or at once,
//! - [`restart`], [`preflight`], [`handover`], [`adoption`]: executing the binary anew, with the workers handed over,
//! - [`notify`]: what the service manager is told,
//! - [`report`], [`metrics`]: the answer of `status`, and what plugins add to it,
//! - [`privileges`]: which user a master is, and what that user may use,
//! - [`pidfile`], [`daemonize`], [`invocation`]: being the one daemon, in the background, and as what.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::timeout_at};
use tracing::error;

use crate::{
    config::{Daemon, Sources},
    control::{
        Instance, Request, Response,
        server::{Call, Server},
    },
    exit::Exit,
    ipc::ToMaster,
    observe::status::Totals,
    title::Title,
};

mod adoption;
pub(crate) mod assignment;
mod autopsy;
mod blame;
pub mod breakers;
mod capacity;
mod certificates;
pub mod children;
pub mod daemonize;
mod ending;
pub mod generation;
pub mod handover;
pub mod invocation;
mod link;
mod metrics;
mod notify;
pub mod output;
mod overrun;
pub mod pidfile;
mod preflight;
pub(crate) mod privileges;
pub mod processes;
mod report;
mod restart;
mod resting;
mod rollout;
mod set_id;
mod signals;
pub mod spawn;
mod start;
mod watch;

use breakers::Breakers;
use certificates::Certificates;
use children::{Children, Id};
use daemonize::Starter;
use ending::Stopping;
use generation::Generation;
use invocation::Invocation;
use metrics::Legacy;
use notify::Manager;
use output::Outputs;
use overrun::Looks;
use pidfile::{PidFile, PidFileError};
use processes::Processes;
use restart::{Restart, Takeover};
use rollout::Waiting;
use signals::Signal;
use start::Places;
use watch::PluginWatch;

pub use start::run;

/// Why a daemon does not start, does not reload, or ends.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// The exit code that fits.
    pub exit: Exit,
    /// What to tell the operator.
    pub error: String,
}

impl Failure {
    /// A failure with its exit code.
    pub fn new(exit: Exit, error: impl Into<String>) -> Failure {
        Failure {
            exit,
            error: error.into(),
        }
    }

    /// What a command is told.
    fn response(&self) -> Response {
        Response::Failed {
            exit: self.exit.code(),
            error: self.error.clone(),
        }
    }

    fn cannot(action: &str, error: io::Error) -> Failure {
        Failure::new(Exit::CannotCreate, format!("cannot {action}: {error}"))
    }
}

impl From<PidFileError> for Failure {
    fn from(error: PidFileError) -> Failure {
        Failure::new(error.exit(), error.to_string())
    }
}

/// Everything that can happen to a master.
enum Event {
    Signal(Signal),
    ChildExited,
    FromWorker(Id, ToMaster),
    LinkClosed(Id),
    Output,
    /// Something has changed where plugins are looked for.
    Plugins,
    Call(Call),
    /// Everybody who was accepted before the control socket rested has an answer.
    Answered,
}

/// A daemon's master process.
pub struct Master {
    sources: Sources,
    /// The settings that it was started with, where they could be read.
    daemon: Option<Daemon>,
    invocation: Invocation,
    /// Tells this instance from others with the same pid.
    instance: u64,
    /// When the first instance was started.
    started: Instant,
    pid_file: PidFile,
    children: Children,
    processes: Processes,
    outputs: Outputs,
    certificates: Certificates,
    places: Places,
    manager: Manager,
    overruns: Looks,
    watch: PluginWatch,
    /// By number: the current one, one on its way, and those whose workers still finish.
    generations: BTreeMap<u64, Generation>,
    last_generation: u64,
    /// The generation that serves, and the one that served before it.
    serving: Option<u64>,
    previous: Option<u64>,
    totals: Totals,
    /// What plugins of workers that are gone have recorded.
    metrics: Legacy,
    waiting: Vec<Waiting>,
    reload_again: bool,
    /// Pools that reserve nothing for now.
    paused: BTreeSet<String>,
    breakers: Breakers,
    stopping: Option<Stopping>,
    restart: Option<Restart>,
    takeover: Option<Takeover>,
    control: Server,
    starter: Option<Starter>,
    /// What `ps` shows, where that can be changed.
    title: Option<Title>,
    /// Why the first generation did not start.
    fatal: Option<Failure>,
    events: mpsc::UnboundedSender<Event>,
}

impl Master {
    /// Handles events until the last worker is gone.
    async fn serve(&mut self, inbox: &mut mpsc::UnboundedReceiver<Event>) {
        loop {
            self.show_title();
            self.execute_when_due(inbox).await;
            // Before any event, as a start may be over when its first worker could not be spawned.
            if self.processes.is_empty() && self.stopping.is_some() {
                return;
            }
            let event = match self.deadline() {
                Some(deadline) => timeout_at(deadline.into(), inbox.recv()).await.ok().flatten(),
                None => inbox.recv().await,
            };
            if let Some(event) = event {
                self.handle(event);
            }
            self.on_time();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Signal(Signal::Stop) => self.stop(),
            Event::Signal(Signal::Reload) => {
                if let Err(failure) = self.reload() {
                    error!(error = %failure, "reload refused, the running generation goes on");
                }
            }
            Event::Signal(Signal::Pause(paused)) => drop(self.pause(None, paused)),
            Event::Signal(Signal::Scale(by)) => self.scale_all(by),
            Event::ChildExited => {
                for ended in self.processes.reap() {
                    self.on_other_exit(ended);
                }
                self.bury_the_gone();
            }
            Event::FromWorker(id, message) => self.on_message(id, message),
            Event::LinkClosed(id) => {
                self.processes.link_closed(id);
                self.bury_the_gone();
            }
            Event::Output => self.outputs.grown(Instant::now()),
            Event::Plugins => self.watch.changed(Instant::now()),
            Event::Call(call) => self.answer(call),
            Event::Answered => self.on_answered(),
        }
    }

    fn answer(&mut self, call: Call) {
        let response = match call.request {
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Reload { wait: true } => return self.reload_and_answer(call.reply),
            Request::Reload { wait: false } => match self.reload() {
                Ok(generation) => Response::Reloaded { generation },
                Err(failure) => failure.response(),
            },
            Request::Rollback => return self.roll_back_and_answer(call.reply),
            Request::Pause { pool } => self.pause(pool.as_deref(), true),
            Request::Resume { pool } => self.pause(pool.as_deref(), false),
            Request::Scale { pool, workers } => self
                .scale(&pool, workers)
                .unwrap_or_else(|failure| failure.response()),
            Request::Stop => {
                self.stop_in_order();
                Response::Instance(self.instance())
            }
            Request::Restart => return self.restart_and_answer(call.reply),
            Request::Restarted { from } => return self.answer_restarted(from, call.reply),
        };
        // A client that went away does not care for its answer.
        let _ = call.reply.send(response);
    }

    fn instance(&self) -> Instance {
        let grace_ms = self.grace().as_millis() as u64;
        Instance {
            id: self.instance,
            grace_ms,
        }
    }

    fn grace(&self) -> Duration {
        let newest = self.generations.values().next_back();
        newest.map_or(Duration::ZERO, |generation| generation.config.daemon.grace)
    }

    fn on_message(&mut self, id: Id, message: ToMaster) {
        let now = Instant::now();
        let effects = match message {
            ToMaster::Ready => {
                self.log_worker(id, "ready");
                self.children.ready(id, now)
            }
            ToMaster::Failed { error } => {
                self.processes.said(id, error);
                return;
            }
            ToMaster::Retire { reason } => {
                self.log_worker(id, &format!("wants a successor: {reason}"));
                self.children.retire(id, now)
            }
            ToMaster::Quiet => {
                self.log_worker(id, "quiet");
                self.children.quiet(id, now)
            }
            ToMaster::Tripped { error } => return self.on_tripped(id, &error),
            ToMaster::Probed { error } => return self.on_probed(id, error.as_deref()),
        };
        self.carry_out(effects);
    }
}
