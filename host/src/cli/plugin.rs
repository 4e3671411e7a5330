//! `plugin …`: what is typed about plugin files, outside of any daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};

use super::{Input, Search, Trial, input_file};

/// `plugin …`.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Plugin {
    /// Write the crate of a new plugin into a directory of that name
    New(New),
    /// Print asynccall_plugin.h, which plugins in C and C++ include
    Header,
    /// List the plugins of the search path, and why one would be refused; executes none of them
    List(List),
    /// Write the lock file: agree to the plugins that a start would load, as they are now
    Lock(Lock),
    /// Check a plugin, and whether its handlers come up, each in a process of its own
    Check(Check),
    /// Run a handler on a job without a queue, in a process of its own
    Run(Box<Run>),
    /// Print the JSON Schemas of what a handler is configured with and what its jobs carry
    Schema(Schema),
    /// Write a page in Markdown about each handler: its configuration and its payload
    Docs(Docs),
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

/// `plugin check`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Check {
    /// The plugin: a path, or a name looked up in `[plugins] dirs` and the drop-in directories
    #[arg(value_name = "FILE|NAME", value_parser = NonEmptyStringValueParser::new())]
    pub plugin: String,
    /// Only this handler [default: all of the plugin's]
    #[arg(long, value_name = "NAME")]
    pub handler: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How it is found, configured and tried.
    #[command(flatten)]
    pub settings: Trial,
}

/// `plugin run`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Run {
    /// The plugin: a path, or a name looked up in `[plugins] dirs` and the drop-in directories
    #[arg(value_name = "FILE|NAME", value_parser = NonEmptyStringValueParser::new())]
    pub plugin: String,
    /// The handler [default: the plugin's only one]
    pub handler: Option<String>,
    /// File with the job's body; `-`: standard input [default: the body `null`]
    #[arg(long, value_name = "FILE", value_parser = input_file)]
    pub body: Option<Input>,
    /// Run the job this many times, one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Seconds that each run may take [default: without limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,
    /// Tube that the job is said to be from
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = NonEmptyStringValueParser::new())]
    pub tube: String,
    /// Attempt that it is said to be
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub attempt: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How the plugin is found, configured and tried.
    #[command(flatten)]
    pub settings: Trial,
}

/// `plugin schema`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Schema {
    /// The plugin: a path, or a name looked up in `[plugins] dirs` and the drop-in directories
    #[arg(value_name = "FILE|NAME", value_parser = NonEmptyStringValueParser::new())]
    pub plugin: String,
    /// The handler [default: the plugin's only one]
    pub handler: Option<String>,
    /// Print only the schema of this document [default: an object with both]
    #[arg(long, value_name = "WHICH")]
    pub only: Option<Document>,
    /// How the plugin is found and tried.
    #[command(flatten)]
    pub settings: Trial,
}

/// A document that a handler is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// Its configuration.
    #[value(help = None)]
    Config,
    /// What its jobs carry.
    #[value(help = None)]
    Payload,
}

/// `plugin docs`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Docs {
    /// The plugin: a path, or a name looked up in `[plugins] dirs` and the drop-in directories
    #[arg(value_name = "FILE|NAME", value_parser = NonEmptyStringValueParser::new())]
    pub plugin: String,
    /// Only this handler [default: all of the plugin's]
    pub handler: Option<String>,
    /// Directory to write `HANDLER.md` files into [default: print the pages]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// How the plugin is found and tried.
    #[command(flatten)]
    pub settings: Trial,
}
