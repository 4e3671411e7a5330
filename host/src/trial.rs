//! A handler in a process of its own, to see whether it comes up and what it answers: what `plugin check` and
//! `plugin run` do, and `plugin schema` and `plugin docs` to hear what is said of it.
//!
//! The parent stages the plugin as a master does; the child loads the copy that it inherits with a [`Runner`], so a
//! trial loads nothing in another way than a worker. Whatever the plugin does to its process, the parent lives and says
//! what became of it. There is no queue, and neither the limits nor the isolation of a pool: those of the caller hold.
//!
//! ```text
//!  parent                                       child (`trial --link-fd N`)
//!  Trial::start ── Setup, body ──────────────▶  load ▸ check ▸ create ▸ self-check ▸ a job, `repeat` times ▸ exit
//!  Trial::hear  ◀─ Said: one for each of them ─┘
//! ```
//!
//! The link is a Unix stream socket. The first line that the child reads is the [`Setup`], and the body follows it as it
//! is; every line that the child writes is one [`Said`].

mod child;
mod family;
mod process;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    config::HandlerConfig,
    exit::Exit,
    observe::log,
    plugin::{StagedRef, description::Description},
};

#[cfg(doc)]
use crate::local::Runner;

pub use child::run;
pub use process::{End, Limits, Stage, Trial, TrialError};

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The staged plugins, as inherited descriptors.
    pub plugins: Vec<StagedRef>,
    /// The handler to make.
    pub handler: String,
    /// Its configuration.
    pub config: HandlerConfig,
    /// How it logs, to the parent's standard error.
    pub log: log::Settings,
    /// What to do once the plugins are loaded.
    pub task: Task,
}

/// What a child does with a handler.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Asks the plugin what it says of it.
    Describe,
    /// Makes it and has it check itself.
    Make,
    /// Makes it, has it check itself, and runs jobs.
    Run(Jobs),
}

/// The same job, several times.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jobs {
    /// Bytes of the body, which follow the setup.
    pub length: usize,
    /// How often it runs.
    pub repeat: u32,
    /// The tube that it is said to be from.
    pub tube: String,
    /// Which attempt it is said to be, from 1.
    pub attempt: u32,
}

/// What the child has done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The plugins are loaded.
    Loaded,
    /// What the plugin says of the handler. Nothing follows.
    Described(Description),
    /// The configuration fits its schema.
    Fitted {
        /// Whether there is one.
        schema: bool,
    },
    /// The handler is made.
    Created,
    /// The handler has checked itself.
    Checked,
    /// One job has ended.
    Answered(Answer),
    /// The handler cannot be used. Nothing follows.
    Refused {
        /// [`Exit::code`] of the command.
        exit: u8,
        /// The error, with its hint.
        error: String,
    },
}

/// What a handler answered to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// How the job ended.
    pub verdict: Verdict,
    /// When the handler wants another try; `None`: whenever the host likes.
    pub delay: Option<Duration>,
    /// The priority that the handler asks for.
    pub priority: Option<u32>,
    /// Why, in one line; may be empty.
    pub message: String,
    /// A JSON document; empty where there is none.
    pub result: String,
    /// From the call of the handler to its answer.
    pub took: Duration,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is done.
    Done,
    /// The handler wants another try.
    Retry,
    /// The handler wants a person to look at it.
    Bury,
    /// The handler failed.
    Failed,
    /// The handler panicked, or raised an exception in its own language.
    Exception,
}

impl Verdict {
    /// How a command ends that saw it.
    pub const fn exit(self) -> Exit {
        match self {
            Verdict::Done => Exit::Ok,
            Verdict::Failed => Exit::Failed,
            Verdict::Retry => Exit::Retry,
            Verdict::Bury => Exit::Bury,
            Verdict::Exception => Exit::Exception,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Done => "done",
            Verdict::Retry => "retry",
            Verdict::Bury => "bury",
            Verdict::Failed => "failed",
            Verdict::Exception => "exception",
        })
    }
}
