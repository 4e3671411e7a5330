//! What the daemon delivers, beside what the queue server can: one table. See README.md beside this directory.
//!
//! - [`rows`]: what is measured, a module for each group of rows,
//! - [`drain`]: how tubes are emptied and watched, [`load`]: how it is filled,
//! - [`consumer`]: who empties it, [`raw`]: the client that sets the measure,
//! - [`process`]: what processes use, and on which terms,
//! - [`tap`]: when the server answered,
//! - [`table`]: medians, ratios, targets; [`plot`]: what went on over time.
//!
//! Nothing here fails because something was slow: what takes time is printed as a ratio to something that was measured in
//! turn with it. The rows of [`rows::counts`] are of another kind: they count, so they are the ones that run as a test.

#[path = "../../../tests/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use all of it")]
mod support;

mod consumer;
mod drain;
mod load;
mod plot;
mod process;
mod raw;
mod rows;
mod table;
mod tap;

use std::{env, process::ExitCode};

use asynccall_host::{
    cli::{self, Command},
    commands, worker,
};
use clap::{Parser, Subcommand};

/// How fast the daemon is, beside the fastest that this queue server can be.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    client: Option<Client>,
    #[command(flatten)]
    options: rows::Options,
    /// Groups of rows; all where none is named.
    #[arg(value_parser = rows::names())]
    groups: Vec<String>,
    /// Said by `cargo bench`; without it only what is counted runs, as a test.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Client {
    /// Takes jobs by the raw client, until it is killed.
    #[command(hide = true)]
    Raw(raw::Arguments),
}

fn main() -> ExitCode {
    let first = env::args().nth(1);
    if matches!(first.as_deref(), Some("run" | "worker")) {
        return daemon();
    }
    if !env::args().any(|argument| argument == "--bench" || argument == "raw") {
        return test(env::args().skip(1));
    }
    let arguments = Arguments::parse();
    match arguments.client {
        Some(Client::Raw(raw)) => {
            raw::main(raw);
            ExitCode::SUCCESS
        }
        None => rows::print(&arguments.groups, &arguments.options),
    }
}

/// Counts what can be counted, unless `cargo test` was asked for other tests only.
fn test(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let is_other = |argument: String| {
        let is_filter = argument.starts_with(char::is_alphabetic);
        argument == "--list" || (is_filter && !"counts".contains(&*argument))
    };
    match arguments.any(is_other) {
        true => ExitCode::SUCCESS,
        false => rows::print(&["counts".to_owned()], &rows::Options::default()),
    }
}

/// This program is the daemon, one whose allocations are counted: see [`rows::counts`].
fn daemon() -> ExitCode {
    let ended = match cli::parse(env::args_os()) {
        Ok(Command::Worker(arguments)) => {
            let exit = worker::run(arguments.link_fd);
            rows::counts::report_allocations();
            return exit.into();
        }
        Ok(Command::Run(flags)) => commands::run(flags, false, |_| {}, |_, _| {}),
        _ => unreachable!("nobody asks it for anything else"),
    };
    match ended {
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => failure.exit.into(),
    }
}
