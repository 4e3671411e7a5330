//! A copy of the binary that a test may replace: what an upgrade does, well or badly.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{Daemon, Directory, Ended, plugins::daemon_binary};

/// The copy, in a directory of its own.
pub(crate) struct Installed(Directory);

impl Installed {
    /// A copy of the built daemon.
    #[track_caller]
    pub(crate) fn new() -> Installed {
        let installed = Installed(Directory::new());
        copy_program(daemon_binary(), &installed.path());
        installed
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path("asynccall-host")
    }

    /// A path beside it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Puts a program that can be executed in its place.
    #[track_caller]
    pub(crate) fn replace(&self, content: impl AsRef<[u8]>) {
        let written = self.0.write("written", content);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&written, mode).expect("it is ours");
        let new = self.beside("new");
        copy_program(&written, &new);
        fs::rename(new, self.path()).expect("it is installed");
    }

    /// Puts a shell script in its place. In it `$REAL` is the built daemon and `$HERE` this directory.
    #[track_caller]
    pub(crate) fn replace_by_script(&self, script: &str) {
        let (real, here) = (daemon_binary().display(), self.0.root().display());
        self.replace(format!("#!/bin/sh\nREAL='{real}' HERE='{here}'\n{script}\n"));
    }
}

/// Copies a program without ever having it open for writing in this process: a child that another test forks at that
/// moment would inherit it, and what somebody has open for writing cannot be executed.
#[track_caller]
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-p").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// A command of the built daemon, whatever is installed, for the daemon that runs.
fn asking(daemon: &Daemon, words: &[&str]) -> Command {
    let mut command = Command::new(daemon_binary());
    command.args(words).args(daemon.host().target());
    command
}

/// Runs such a command to its end.
#[track_caller]
pub(crate) fn ask(daemon: &Daemon, words: &[&str]) -> Ended {
    daemon.host().run_command(asking(daemon, words))
}

/// Starts such a command, and does not wait for it.
#[track_caller]
pub(crate) fn begin(daemon: &Daemon, words: &[&str]) -> Child {
    let mut command = asking(daemon, words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary runs")
}
