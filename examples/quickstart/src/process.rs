//! A program that ends when it goes out of scope, whatever the reason.

use std::{
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::failure::Failure;

/// How long a program may take to end once it was told to, before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running program, which leads a process group of its own: ^C reaches the quickstart alone, which then ends its
/// programs in order, and a build ends together with the compilers that it has started.
pub(crate) struct Process {
    child: Child,
    program: String,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let program = command.get_program().display().to_string();
        match command.stdin(Stdio::null()).process_group(0).spawn() {
            Ok(child) => Ok(Self { child, program }),
            Err(source) => Err(Failure::Run { program, source }),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has.
    pub(crate) fn status(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let program = || self.program.clone();
        self.child.try_wait().map_err(|source| Failure::Run {
            program: program(),
            source,
        })
    }

    /// The failure that this program has ended with `status`.
    pub(crate) fn ended(&self, status: ExitStatus) -> Failure {
        Failure::Ended {
            program: self.program.clone(),
            status,
        }
    }

    /// Whether it has ended with success. Another end is a failure.
    pub(crate) fn succeeded(&mut self) -> Result<Option<()>, Failure> {
        match self.status()? {
            Some(status) if !status.success() => Err(self.ended(status)),
            status => Ok(status.map(drop)),
        }
    }

    /// That it still runs. Any end is a failure.
    pub(crate) fn expect_running(&mut self) -> Result<(), Failure> {
        self.status()?.map_or(Ok(()), |status| Err(self.ended(status)))
    }

    fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The number is still the child's: only `try_wait` and `wait` free it.
        let Ok(group) = i32::try_from(self.id()).map(Pid::from_raw) else {
            return;
        };
        if self.runs() {
            let _ends_by_itself = killpg(group, Signal::SIGTERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while self.runs() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if self.runs() {
            let _ends_by_itself = killpg(group, Signal::SIGKILL);
            let _status = self.child.wait();
        }
    }
}

/// A command as one would type it into a shell.
pub(crate) fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        let plain = |character: char| character.is_alphanumeric() || "/._-=:".contains(character);
        match word.chars().all(plain) {
            true => word.into_owned(),
            false => format!("'{}'", word.replace('\'', r"'\''")),
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}
