//! The command line: parse, dispatch, print once, exit.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the one place that prints"
)]

use std::process::ExitCode;

use asynccall_host::{
    cli::{self, Command, Payload},
    commands,
    control::Request,
    exit::Exit,
    master::Failure,
    trial, worker,
};

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            // Help and version come this way too; a closed pipe is no reason to complain.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Ok.into()
            };
        }
    };
    let ended = match command {
        Command::Worker(arguments) => return worker::run(arguments.link_fd).into(),
        Command::Trial(arguments) => return trial::run(arguments.link_fd).into(),
        Command::Run(flags) => commands::run(flags, false, warn, finish_start),
        Command::Start(flags) => commands::run(flags, true, warn, finish_start),
        Command::Check(flags) => commands::check(flags),
        Command::Stop(target) => commands::stop(target),
        Command::Restart(target) => commands::restart(target),
        Command::Reload(reload) => commands::reload(reload.target, reload.wait),
        Command::Rollback(target) => commands::roll_back(target),
        Command::Pause(of) => commands::change(of.target, Request::Pause { pool: of.pool }),
        Command::Resume(of) => commands::change(of.target, Request::Resume { pool: of.pool }),
        Command::Scale(scale) => {
            let request = Request::Scale {
                pool: scale.pool,
                workers: scale.workers,
            };
            commands::change(scale.target, request)
        }
        Command::Status(status) => commands::status(status.target, status.json),
        Command::Call(call) => commands::call(*call),
        Command::Payload(Payload::Decode { file }) => commands::decode_payload(file),
        Command::Plugin(plugin) => commands::plugin(plugin, print),
    };
    match ended {
        Ok(text) => {
            print(&text);
            Exit::Ok.into()
        }
        Err(Failure { exit, error }) => {
            eprintln!("error: {error}");
            exit.into()
        }
    }
}

/// What whoever starts a daemon should hear.
fn warn(text: &str) {
    eprintln!("warning: {text}");
}

/// What the process that started a daemon in the background says at its end.
fn finish_start(exit: u8, error: &str) {
    if exit != Exit::Ok.code() {
        eprintln!("error: {error}");
    }
}

/// Prints without a panic where the reader has gone away.
fn print(text: &str) {
    use std::io::Write;
    if !text.is_empty() {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}
