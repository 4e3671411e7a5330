//! What was typed: commands and flags, with no side effect.
//!
//! The commands are clap's derive. The flags of the settings are made from `config::settings` and kept as the
//! text that was typed; what they mean, and whether they are right, is [`crate::config`]'s, which reports
//! everything that is wrong at once.

mod call;
mod flags;
mod plugin;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use call::Call;
pub use flags::{Flags, Producer, Search, Target, Trial};
pub use plugin::{Check, Docs, Document, List, Lock, New, Plugin, Run, Schema};

/// Below the options of a run.
const AFTER_HELP: &str = "Every option is also an environment variable: ASYNCCALL_WORKER_NUM for --worker-num, and \
    so on, with commas in lists. Flags beat the environment, the environment beats the file, and the file beats \
    the defaults.";

/// One command of the daemon.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Run in the foreground (the default)
    #[command(after_help = AFTER_HELP)]
    Run(Flags),
    /// Run in the background; return when workers are ready, or with the error
    #[command(after_help = AFTER_HELP)]
    Start(Flags),
    /// Let running jobs end, then end the daemon; wait for it
    Stop(Target),
    /// Execute the binary anew with the same pid while the workers work on; wait for the new ones
    Restart(Target),
    /// Replace the workers by ones with newly read plugins and configuration
    Reload(Reload),
    /// Replace the workers by ones with the plugins and configuration before the last reload; wait for it
    Rollback(Target),
    /// Reserve nothing more for now; running jobs end
    Pause(OfPool),
    /// Reserve again
    Resume(OfPool),
    /// Run another number of workers, until the next reload
    Scale(Scale),
    /// Show the daemon's workers, plugins and counters
    Status(Status),
    /// Check the configuration and the plugins' manifests, and start nothing
    #[command(after_help = AFTER_HELP)]
    Check(Flags),
    /// Put a job as the PHP library's client does, or any body
    Call(Box<Call>),
    /// Look into job bodies
    #[command(subcommand)]
    Payload(Payload),
    /// Begin, list, check and try plugins
    #[command(subcommand)]
    Plugin(Plugin),
    /// Be a worker of the master at the other end of this descriptor
    #[command(hide = true)]
    Worker(Linked),
    /// Try a handler for the parent at the other end of this descriptor
    #[command(hide = true)]
    Trial(Linked),
}

/// `reload`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Reload {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// Return when the new workers are ready and the old ones quiet, or with the error
    #[arg(long)]
    pub wait: bool,
}

/// `pause` and `resume`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct OfPool {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// Only this pool; all of them unless given
    #[arg(long, value_name = "NAME")]
    pub pool: Option<String>,
}

/// `scale`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Scale {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// The pool
    pub pool: String,
    /// How many workers
    pub workers: u32,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Status {
    /// Which daemon.
    #[command(flatten)]
    pub target: Target,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Print the counters as Prometheus reads them, those of plugins too
    #[arg(long, conflicts_with = "json")]
    pub metrics: bool,
}

/// `payload …`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Payload {
    /// Print the JSON view of a body (JSON or PHP serialize)
    Decode {
        /// File with the body; `-` or nothing: standard input
        #[arg(value_parser = input_file)]
        file: Option<Input>,
    },
}

/// Where a command reads a job body from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input, typed as `-`.
    Stdin,
    /// A file, as typed.
    File(PathBuf),
}

/// `worker` and `trial`: internal, started by another process of this binary only.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Linked {
    /// Descriptor of the link to that process
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(RawFd).range(0..))]
    pub link_fd: RawFd,
}

#[derive(Debug, Parser)]
#[command(
    name = "asynccall-host",
    version,
    about = "Runs beanstalkd jobs through handlers that live in plugins"
)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = AFTER_HELP)]
struct Typed {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

/// Reads a command line, the program's name first. Flags without a command mean [`Command::Run`].
///
/// # Errors
/// What clap says, which for `--help` and `--version` is the text that was asked for
/// ([`clap::Error::use_stderr`] tells them apart).
pub fn parse<I, T>(args: I) -> Result<Command, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let typed = Typed::try_parse_from(args)?;
    Ok(typed.command.unwrap_or(Command::Run(typed.flags)))
}

fn input_file(typed: &str) -> Result<Input, std::convert::Infallible> {
    Ok(if typed == "-" {
        Input::Stdin
    } else {
        Input::File(PathBuf::from(typed))
    })
}
