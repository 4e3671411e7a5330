//! The command line: parse, dispatch, print once, exit.

use std::{
    borrow::Cow,
    io::{self, Write},
    process::ExitCode,
};

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
        Command::Status(status) => commands::status(status),
        Command::Call(call) => commands::call(*call),
        Command::Payload(Payload::Decode { file }) => commands::decode_payload(file),
        Command::Plugin(plugin) => commands::plugin(plugin, |text| {
            print(text);
        }),
    };
    match ended {
        Ok(text) => print(&text).into(),
        Err(Failure { exit, error }) => {
            complain("error", &error);
            exit.into()
        }
    }
}

/// What whoever starts a daemon should hear.
fn warn(text: &str) {
    complain("warning", text);
}

/// What the process that started a daemon in the background says at its end.
fn finish_start(exit: u8, error: &str) {
    if exit != Exit::Ok.code() {
        complain("error", error);
    }
}

/// Prints what a command has found. That its reader has gone away is no failure, but that it was not written is one.
fn print(text: &str) -> Exit {
    if text.is_empty() {
        return Exit::Ok;
    }
    let mut out = io::stdout();
    match writeln!(out, "{}", printable(text)).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain("error", &format!("cannot write to standard output: {error}"));
            Exit::Failed
        }
        _ => Exit::Ok,
    }
}

fn complain(what: &str, text: &str) {
    // Where it cannot be told, there is nobody to tell.
    let _ = writeln!(io::stderr(), "{what}: {}", printable(text));
}

/// The text, but for control characters: a handler's words and a file's name must not steer the terminal. They are
/// escaped as JSON does it, so that a document stays what it is.
fn printable(text: &str) -> Cow<'_, str> {
    let steers = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        match steers(letter) {
            true => printable.push_str(&format!("\\u{:04x}", u32::from(letter))),
            false => printable.push(letter),
        }
    }
    Cow::Owned(printable)
}
