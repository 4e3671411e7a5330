//! How a daemon is started: a builder, and what one run of the binary told.

use std::{
    env,
    ffi::OsString,
    fmt::{self, Display, Formatter},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::{
    Beanstalkd, Daemon, Directory,
    plugins::{self, plugin},
};

/// A command line, an environment and a directory, before the daemon runs.
///
/// Nothing of the surroundings counts but `PATH`: no `ASYNCCALL_*` variable, no run-time directory.
pub(crate) struct Host {
    directory: Directory,
    flags: Vec<OsString>,
    log_level: &'static str,
    config: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    working_directory: Option<PathBuf>,
    pid_file: PathBuf,
    names_pid_file: bool,
    binary: PathBuf,
}

impl Host {
    /// A daemon for this queue server, which logs at debug.
    pub(crate) fn new(queue: &Beanstalkd) -> Host {
        Host::unconnected().flags(queue.flags())
    }

    /// A daemon whose queue server is left to the settings.
    pub(crate) fn unconnected() -> Host {
        let directory = Directory::new();
        Host {
            pid_file: directory.path("host.pid"),
            directory,
            flags: Vec::new(),
            log_level: "debug",
            config: None,
            environment: vec![("TZ".into(), "UTC".into())],
            working_directory: None,
            names_pid_file: true,
            binary: plugins::daemon_binary().to_owned(),
        }
    }

    /// The daemon's own directory.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// A path in the daemon's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path(name)
    }

    /// One more flag, as `--slots=2`.
    pub(crate) fn flag(mut self, flag: impl Into<OsString>) -> Host {
        self.flags.push(flag.into());
        self
    }

    fn flags(self, flags: impl IntoIterator<Item = String>) -> Host {
        flags.into_iter().fold(self, Host::flag)
    }

    /// Loads one of the built plugins.
    #[track_caller]
    pub(crate) fn plugin(self, name: &str) -> Host {
        let path = plugin(name);
        self.load(path)
    }

    /// Loads a file.
    pub(crate) fn load(self, file: impl AsRef<Path>) -> Host {
        self.flag("--plugin").flag(file.as_ref())
    }

    /// Consumes a tube.
    pub(crate) fn tube(self, name: &str) -> Host {
        self.flag(format!("--tube={name}"))
    }

    /// Runs that many worker processes.
    pub(crate) fn workers(self, count: u32) -> Host {
        self.flag(format!("--worker-num={count}"))
    }

    /// Logs at another level than debug.
    pub(crate) fn log_level(mut self, directives: &'static str) -> Host {
        self.log_level = directives;
        self
    }

    /// Reads a configuration file of this text.
    pub(crate) fn config(mut self, text: &str) -> Host {
        self.config = Some(self.directory.write("host.toml", text));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Host {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts in another directory than the test's.
    pub(crate) fn working_directory(mut self, directory: impl Into<PathBuf>) -> Host {
        self.working_directory = Some(directory.into());
        self
    }

    /// Holds this pid file.
    pub(crate) fn pid_file(mut self, path: impl Into<PathBuf>) -> Host {
        self.pid_file = path.into();
        self
    }

    /// Leaves the pid file to the settings, which will lead to `path`.
    pub(crate) fn pid_file_unnamed(mut self, path: impl Into<PathBuf>) -> Host {
        self.pid_file = path.into();
        self.names_pid_file = false;
        self
    }

    /// Runs this copy of the binary.
    pub(crate) fn binary(mut self, path: impl Into<PathBuf>) -> Host {
        self.binary = path.into();
        self
    }

    /// The flags with which a command finds the daemon.
    pub(crate) fn target(&self) -> Vec<OsString> {
        match &self.config {
            _ if self.names_pid_file => vec!["--pid-file".into(), self.pid_file.clone().into()],
            Some(file) => vec!["--config".into(), file.into()],
            None => Vec::new(),
        }
    }

    /// Which pid file it holds.
    pub(crate) fn held(&self) -> &Path {
        &self.pid_file
    }

    /// The file that standard error of the daemon goes to.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.path("log")
    }

    /// Starts it in the foreground and waits until it serves.
    #[track_caller]
    pub(crate) fn start(self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.wait_until_serving();
        daemon
    }

    /// Starts it in the foreground.
    #[track_caller]
    pub(crate) fn spawn(self) -> Daemon {
        let command = self.command(&["run"]);
        self.spawn_as(command)
    }

    /// Starts `command`, which is to become the daemon, in the foreground.
    #[track_caller]
    pub(crate) fn spawn_as(self, mut command: Command) -> Daemon {
        let log = File::options().append(true).create(true).open(self.log_file());
        let child = command
            .stderr(log.expect("a log file"))
            .spawn()
            .expect("it starts");
        Daemon::of(self, Some(child))
    }

    /// Starts it in the background, and answers when `start` has returned.
    #[track_caller]
    pub(crate) fn start_in_background(self) -> (Ended, Daemon) {
        self.run_in_background(&["start"])
    }

    /// Runs a command that starts a daemon in the background.
    #[track_caller]
    pub(crate) fn run_in_background(self, words: &[&str]) -> (Ended, Daemon) {
        let log = self.log_file();
        let daemon = self.flag("--log-path").flag(log).in_background();
        let ended = daemon.host().run(words);
        (ended, daemon)
    }

    /// The daemon that will hold the pid file, whoever starts it.
    pub(crate) fn in_background(self) -> Daemon {
        Daemon::of(self, None)
    }

    /// The binary with a command, the flags and the environment.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.bare_command(words);
        command.args(&self.flags);
        if !self.log_level.is_empty() {
            command.args(["--log-level", self.log_level]);
        }
        if let Some(file) = &self.config {
            command.arg("--config").arg(file);
        }
        if self.names_pid_file {
            command.arg("--pid-file").arg(&self.pid_file);
        }
        command
    }

    /// The binary with these words alone, in the environment.
    pub(crate) fn bare_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        let path = env::var_os("PATH").unwrap_or_default();
        command
            .args(words)
            .env_clear()
            .env("PATH", path)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        if let Some(directory) = &self.working_directory {
            command.current_dir(directory);
        }
        command
    }

    /// Runs a command with all flags to its end.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.run_command(self.command(words))
    }

    /// Runs a command with only these words to its end.
    #[track_caller]
    pub(crate) fn run_bare(&self, words: &[&str]) -> Ended {
        self.run_command(self.bare_command(words))
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn run_command(&self, mut command: Command) -> Ended {
        self.ended(command.output().expect("the binary runs"))
    }

    /// The same, with a standard input.
    #[track_caller]
    pub(crate) fn run_with_input(&self, words: &[&str], input: &[u8]) -> Ended {
        let mut command = self.bare_command(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut stdin = child.stdin.take().expect("its input is ours");
        stdin.write_all(input).expect("it reads its input");
        drop(stdin);
        self.ended(child.wait_with_output().expect("it ends"))
    }

    /// What a run told, with the paths that differ from run to run replaced.
    fn ended(&self, output: Output) -> Ended {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let directory = fs::canonicalize(self.directory.root()).expect("the directory exists");
            let text = text.replace(&directory.display().to_string(), "DIR");
            let temporary = Path::new(env!("CARGO_TARGET_TMPDIR")).display().to_string();
            text.replace(&format!("{temporary}/plugins"), "PLUGINS")
        };
        Ended {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

/// How a run of the binary ended. Its `Display` is for snapshots.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None where a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Standard output of a run that did what it was asked to do.
    #[track_caller]
    pub(crate) fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.out
    }

    /// Standard error of a run that failed with this code and printed nothing else.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self}");
        assert_eq!(self.out, "", "{self}");
        self.err
    }
}

impl Display for Ended {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "exit {code}")?,
            None => write!(f, "ended by a signal")?,
        }
        write!(f, "\n{}{}", self.out, self.err)
    }
}
