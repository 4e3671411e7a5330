//! `plugin …`: what is typed about plugin files, outside of any daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Search;

/// `plugin …`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Plugin {
    /// Write the crate of a new plugin into a directory of that name
    New(New),
    /// List the plugins of the search path, and why one would be refused; executes none of them
    List(List),
    /// Write the lock file: agree to the plugins that a start would load, as they are now
    Lock(Lock),
}

/// `plugin new`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct New {
    /// Name of the crate; its handler has the same, with `_` for `-`
    pub name: String,
    /// Write an asynchronous handler, on tokio
    #[arg(long = "async")]
    pub asynchronous: bool,
    /// Directory of a local plugin-api, to be used instead of the registry's
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
}

/// `plugin list`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct List {
    /// Where plugins are searched.
    #[command(flatten)]
    pub search: Search,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `plugin lock`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Lock {
    /// Where plugins are searched, and where the lock file lies.
    #[command(flatten)]
    pub search: Search,
}
