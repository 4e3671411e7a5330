//! `cargo quickstart`: the whole way of a job on this machine, step by step, with every command that it runs.
//!
//! In reading order: `tour` (the steps), `jobs` (what is put), `build` (what cargo has to build), `process` (a program
//! that ends with us), `events` (what is waited for), `failure` (why it ended early).

mod build;
mod events;
mod failure;
mod jobs;
mod process;
mod tour;

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

const HELP: &str = "\
Shows the whole way of a job: builds the daemon and the mailer plugin, starts beanstalkd and the daemon, puts a
JSON job and a PHP job, shows the two mails, and leaves nothing running and no file behind.

Usage: cargo quickstart [--help]

beanstalkd must be on PATH. Nothing listens beyond this machine, and no mail leaves it. Every command is shown
before it runs. ^C ends it in order at any time.

Exit codes: 0 both mails came, 1 something failed, 64 wrong command line, 69 beanstalkd is not installed,
128 + N ended by signal N
";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [] => {}
        [flag] if flag == "--help" || flag == "-h" => {
            let _closed = io::stdout().write_all(HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        [unknown, ..] => {
            complain(&format!(
                "unknown argument `{}`\n  hint: see `cargo quickstart --help`",
                unknown.display()
            ));
            return ExitCode::from(64);
        }
    }
    match tour::run(&mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.full());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Says on standard error why nothing was shown, or not all of it.
fn complain(text: &str) {
    let _closed = writeln!(io::stderr(), "error: {text}");
}
