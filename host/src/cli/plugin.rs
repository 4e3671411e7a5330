//! `plugin …`: what is typed about plugin files, outside of any daemon.

use clap::{Args, Subcommand};

use super::Search;

/// `plugin …`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Plugin {
    /// List the plugins of the search path, and why one would be refused; executes none of them
    List(List),
    /// Write the lock file: agree to the plugins that a start would load, as they are now
    Lock(Lock),
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
