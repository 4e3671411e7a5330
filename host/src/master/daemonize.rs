//! Leaves the terminal, and reports to the process that was asked to.
//!
//! The starting process stays until the daemon has a generation that works, or
//! says why it has not: it prints the error and takes over the exit code.
#![allow(unsafe_code, reason = "fork; each block carries its argument")]

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    process,
};

use nix::unistd::{ForkResult, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe, setsid};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// Tells the starting process how the start went. Dropping it without a word reads as a crash.
#[derive(Debug)]
pub struct Starter {
    pipe: File,
}

#[derive(Serialize, Deserialize)]
struct Report {
    exit: u8,
    error: String,
}

impl Starter {
    /// The daemon works: the starting process exits with success.
    pub fn ready(self) {
        self.report(Exit::Ok, "");
    }

    /// The daemon does not start: the starting process prints `error` and exits with that code.
    pub fn failed(self, exit: Exit, error: &str) {
        self.report(exit, error);
    }

    fn report(mut self, exit: Exit, error: &str) {
        let report = Report {
            exit: exit.code(),
            error: error.to_owned(),
        };
        if let Ok(text) = serde_json::to_vec(&report) {
            // A starting process that was killed needs no report.
            let _ = self.pipe.write_all(&text);
        }
    }
}

/// Forks twice; returns in the daemon, whose standard streams lead nowhere.
///
/// The starting process does not return: it waits for the [`Starter`]'s report,
/// calls `finish` with the exit code and the error, and exits with what that answers.
/// Must be called before any thread exists.
pub fn daemonize(finish: impl FnOnce(u8, &str)) -> io::Result<Starter> {
    let (reader, writer) = pipe()?;
    // SAFETY: no other thread exists yet, so the child may go on as if nothing had happened.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        drop(writer);
        let (exit, error) = read_report(File::from(reader));
        finish(exit, &error);
        process::exit(exit.into());
    }
    drop(reader);
    setsid()?;
    // SAFETY: as above. The second fork makes sure that the daemon never gets a controlling terminal again.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        process::exit(0);
    }
    chdir("/")?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    nix::fcntl::fcntl(
        &writer,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC),
    )?;
    Ok(Starter {
        pipe: File::from(writer),
    })
}

fn read_report(mut pipe: File) -> (u8, String) {
    let mut text = Vec::new();
    let report = pipe
        .read_to_end(&mut text)
        .ok()
        .and_then(|_| serde_json::from_slice::<Report>(&text).ok());
    match report {
        Some(report) => (report.exit, report.error),
        None => (
            Exit::Internal.code(),
            "the daemon died before it was ready; its log may say why".to_owned(),
        ),
    }
}
