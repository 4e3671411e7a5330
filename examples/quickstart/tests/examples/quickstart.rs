//! The quickstart as a newcomer runs it.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{ChildStdout, Command, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::stage::{Running, have};

/// One run, with a directory of its own for temporary files.
struct Run {
    running: Running,
    temporary: TempDir,
}

/// How a run has ended.
struct Ended {
    status: ExitStatus,
    out: String,
    error: String,
    temporary: TempDir,
}

impl Run {
    fn start(path: Option<&Path>) -> Self {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
        command
            .env("TMPDIR", temporary.path())
            .env("CARGO", env!("CARGO"))
            // A setting of the user's that must not matter.
            .env("ASYNCCALL_WORKER_NUM", "none")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let running = Running::start(&mut command);
        Self { running, temporary }
    }

    /// Reads lines until one begins like this.
    fn read_to(&mut self, beginning: &str) -> BufReader<ChildStdout> {
        let mut lines = BufReader::new(self.running.0.stdout.take().expect("it is piped"));
        let mut line = String::new();
        while !line.starts_with(beginning) {
            line.clear();
            let read = lines.read_line(&mut line).expect("it is text");
            assert_ne!(read, 0, "it ended before `{beginning}`");
        }
        lines
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.running.0.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    fn end(mut self) -> Ended {
        let (mut out, mut error) = (String::new(), String::new());
        // The quickstart says little on standard error, so reading one after the other does not block it.
        if let Some(mut pipe) = self.running.0.stdout.take() {
            pipe.read_to_string(&mut out).expect("it is text");
        }
        let mut pipe = self.running.0.stderr.take().expect("it is piped");
        pipe.read_to_string(&mut error).expect("it is text");
        let status = self.running.0.wait().expect("it is our child");
        Ended {
            status,
            out,
            error,
            temporary: self.temporary,
        }
    }
}

impl Ended {
    #[track_caller]
    fn assert_ended_with(&self, code: i32) {
        assert_eq!(self.status.code(), Some(code), "{}\n{}", self.out, self.error);
    }

    /// Every process of the run has its `TMPDIR` in the environment, whoever is its parent by now.
    #[track_caller]
    fn assert_nothing_is_left(&self) {
        let mark = format!("TMPDIR={}", self.temporary.path().display()).into_bytes();
        let processes = fs::read_dir("/proc").expect("a Linux system");
        let left = processes.filter_map(|entry| {
            let process = entry.ok()?.path();
            let environment = fs::read(process.join("environ")).ok()?;
            let is_ours = environment.split(|byte| *byte == 0).any(|word| word == mark);
            is_ours.then(|| fs::read_to_string(process.join("cmdline")).unwrap_or_default())
        });
        assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
        let files = fs::read_dir(self.temporary.path()).expect("the directory is still there");
        assert_eq!(files.count(), 0);
    }
}

#[test]
fn two_quickstarts_at_once_show_both_mails_each_and_leave_nothing() {
    if !have("beanstalkd") {
        return;
    }
    let runs = [Run::start(None), Run::start(None)];
    for run in runs {
        let ended = run.end();
        ended.assert_ended_with(0);
        for line in [
            "To: ann@example.org",
            "Subject: A JSON job",
            "To: bob@example.org",
            "Subject: A PHP job",
        ] {
            let shown = format!("   | {line}\n");
            assert_eq!(ended.out.matches(&shown).count(), 1, "{line}: {}", ended.out);
        }
        assert_eq!(ended.error, "");
        ended.assert_nothing_is_left();
    }
}

#[test]
fn a_signal_ends_it_in_order() {
    if !have("beanstalkd") {
        return;
    }
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut run = Run::start(None);
        let _open = run.read_to("3. ");
        run.signal(signal);
        let ended = run.end();
        ended.assert_ended_with(code);
        ended.assert_nothing_is_left();
    }
}

#[test]
fn without_beanstalkd_it_says_how_to_install_it() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    let ended = Run::start(Some(empty.path())).end();
    ended.assert_ended_with(69);
    assert_eq!(ended.out, "");
    assert_eq!(
        ended.error,
        "error: beanstalkd is not on PATH\n  hint: install it with `apt-get install beanstalkd` (Debian, Ubuntu), \
         `apk add beanstalkd` (Alpine) or `brew install beanstalkd` (macOS)\n"
    );
    ended.assert_nothing_is_left();
}

#[test]
fn a_failure_shows_the_daemons_log_and_leaves_nothing() {
    if !have("beanstalkd") {
        return;
    }
    let path = env::var_os("PATH").expect("beanstalkd was found on it");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let small = directory.path().join("beanstalkd");
    let script = "#!/bin/sh\nPATH=${PATH#*:}\nexec beanstalkd -z 10 \"$@\"\n";
    fs::write(&small, script).expect("a writable directory");
    fs::set_permissions(&small, fs::Permissions::from_mode(0o755)).expect("our own file");
    let first = env::join_paths(
        [directory.path().to_owned()]
            .into_iter()
            .chain(env::split_paths(&path)),
    );

    let ended = Run::start(Some(Path::new(&first.expect("no colon in it")))).end();
    ended.assert_ended_with(1);
    assert!(ended.out.contains("\nThe daemon's log:\n"), "{}", ended.out);
    assert!(
        ended.error.starts_with("error: cannot put the job: "),
        "{}",
        ended.error
    );
    ended.assert_nothing_is_left();
}

#[test]
fn a_wrong_argument_is_refused_and_help_is_help() {
    let quickstart =
        |argument| crate::stage::run(Command::new(env!("CARGO_BIN_EXE_quickstart")).arg(argument));
    let help = quickstart("--help");
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("Usage: cargo quickstart [--help]\n"));
    let refused = quickstart("--fast");
    assert_eq!(refused.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&refused.stderr).starts_with("error: unknown argument `--fast`\n"));
}
