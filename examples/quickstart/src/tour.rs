//! The steps, in the order in which they are shown.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    net::TcpListener,
    path::{self, Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use asynccall_client::connection::{Address, Connection, Options};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    build::build,
    events::Events,
    failure::Failure,
    jobs::{self, Job, TUBE},
    process::{Process, typed},
};

/// How long beanstalkd may take to answer, the mails to come, and the daemon to end.
const LIMIT: Duration = Duration::from_secs(60);
/// How often a server that does not answer yet is asked again.
const AGAIN: Duration = Duration::from_millis(10);
/// How many ports are tried: another program may take a free one before beanstalkd does.
const PORTS: usize = 20;

/// Shows everything on `out`. Nothing is left running when this returns, and no file.
pub(crate) fn run(out: &mut dyn Write) -> Result<(), Failure> {
    let events = Events::listen()?;
    let parent = env::temp_dir();
    let directory = path::absolute(&parent)
        .and_then(|parent| {
            tempfile::Builder::new()
                .prefix("asynccall-quickstart-")
                .tempdir_in(parent)
        })
        .map_err(|source| Failure::file(&parent, source))?;
    let tour = Tour { directory, events };
    let shown = tour.show(out);
    if let Err(failure) = &shown
        && !matches!(failure, Failure::Interrupted { .. })
        && let Ok(log) = fs::read_to_string(tour.file("daemon.log"))
    {
        writeln!(out, "\nThe daemon's log:")?;
        indent(out, &log)?;
    }
    let path = tour.directory.path().to_owned();
    let removed = tour.directory.close();
    shown?;
    removed.map_err(|source| Failure::file(&path, source))?;
    Ok(writeln!(
        out,
        "\nNothing is left running, and {} is removed.",
        path.display()
    )?)
}

struct Tour {
    directory: TempDir,
    events: Events,
}

impl Tour {
    /// The programs end in reverse order of their start, however this function ends.
    fn show(&self, out: &mut dyn Write) -> Result<(), Failure> {
        require_beanstalkd()?;
        writeln!(out, "1. Build the daemon and the plugin")?;
        let host = self.build("asynccall-host", "asynccall-host", out)?;
        let mailer = self.build("asynccall-mailer", "mailer", out)?;

        writeln!(out, "\n2. Start a queue server")?;
        let (mut beanstalkd, mut queue, port) = self.start_beanstalkd(out)?;

        writeln!(
            out,
            "\n3. Start the daemon with the plugin, which here writes its mails into a directory"
        )?;
        let mut daemon = self.start_daemon(&host, &mailer, port, out)?;

        let mails = self.file("mails");
        let _watcher = self.events.watch(&mails)?;
        for (number, job) in [jobs::json()?, jobs::php()?].iter().enumerate() {
            writeln!(out, "\n{}. {} on tube `{}`", 4 + number, job.title, job.tube)?;
            put(job, &mut queue, out)?;
        }

        writeln!(out, "\n6. Read the mails")?;
        let files = self.events.wait("the mails", LIMIT, None, || {
            beanstalkd.expect_running()?;
            daemon.expect_running()?;
            let files = written(&mails).map_err(|source| Failure::file(&mails, source))?;
            Ok((files.len() >= 2).then_some(files))
        })?;
        for file in files {
            let mail = fs::read_to_string(&file).map_err(|source| Failure::file(&file, source))?;
            writeln!(out, "   {}", file.display())?;
            indent(out, &mail)?;
        }

        writeln!(out, "\n7. Stop the daemon")?;
        self.stop(&host, out)?;
        self.events
            .wait("the daemon's end", LIMIT, None, || daemon.succeeded())
    }

    fn build(&self, package: &str, target: &'static str, out: &mut dyn Write) -> Result<PathBuf, Failure> {
        build(package, target, self.directory.path(), &self.events, |command| {
            Ok(writeln!(out, "   $ {command}")?)
        })
    }

    /// Starts beanstalkd on a port of its own, and connects to it.
    fn start_beanstalkd(&self, out: &mut dyn Write) -> Result<(Process, Connection, u16), Failure> {
        let mut tries = 1;
        loop {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            let port = free.map_err(Failure::Port)?.port();
            let mut command = Command::new("beanstalkd");
            command.args(["-l", "127.0.0.1", "-p", &port.to_string()]);
            let mut server = Process::start(command.stderr(Stdio::null()))?;
            let address = Address::Tcp {
                host: "127.0.0.1".to_owned(),
                port,
            };
            let answer = self.events.wait("beanstalkd", LIMIT, Some(AGAIN), || {
                server.expect_running()?;
                Ok(connect(&address, server.id()))
            });
            match answer {
                Ok(queue) => {
                    writeln!(out, "   $ {}", typed(&command))?;
                    return Ok((server, queue, port));
                }
                Err(Failure::Ended { .. }) if tries < PORTS => tries += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    fn start_daemon(
        &self,
        host: &Path,
        mailer: &Path,
        port: u16,
        out: &mut dyn Write,
    ) -> Result<Process, Failure> {
        let (mails, config, log) = (
            self.file("mails"),
            self.file("mailer.json"),
            self.file("daemon.log"),
        );
        fs::create_dir(&mails).map_err(|source| Failure::file(&mails, source))?;
        let settings = json!({"from": "quickstart@example.org", "file": {"dir": mails.to_string_lossy()}});
        fs::write(&config, settings.to_string()).map_err(|source| Failure::file(&config, source))?;
        let messages = File::create(&log).map_err(|source| Failure::file(&log, source))?;

        let mut command = daemon_command(host);
        command.arg("--plugin").arg(mailer);
        command.args(["--port", &port.to_string(), "--tube", TUBE]);
        command.arg("--handler-config");
        command.arg(format!("mailer={}", config.display()));
        command.arg("--pid-file").arg(self.file("daemon.pid"));
        writeln!(out, "   {} has {settings}", config.display())?;
        writeln!(out, "   $ {} 2> {}", typed(&command), log.display())?;
        Process::start(command.stderr(messages))
    }

    fn stop(&self, host: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let mut command = daemon_command(host);
        command.args(["stop", "--pid-file"]).arg(self.file("daemon.pid"));
        writeln!(out, "   $ {}", typed(&command))?;
        let mut stop = Process::start(command.stdout(Stdio::null()))?;
        self.events
            .wait("the daemon's end", LIMIT, None, || stop.succeeded())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Looks for beanstalkd before anything is built.
fn require_beanstalkd() -> Result<(), Failure> {
    match Command::new("beanstalkd")
        .arg("-v")
        .stdout(Stdio::null())
        .status()
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::NotInstalled),
        Err(source) => Err(Failure::Run {
            program: "beanstalkd".to_owned(),
            source,
        }),
    }
}

/// A connection to the very server with this pid: another one may have got the port first.
fn connect(address: &Address, pid: u32) -> Option<Connection> {
    let mut queue = Connection::connect(address, &Options::default()).ok()?;
    let is_ours = queue.stats().ok()?.number("pid") == Some(u64::from(pid));
    is_ours.then_some(queue)
}

/// The daemon without the settings that stand in the user's environment.
fn daemon_command(host: &Path) -> Command {
    let mut command = Command::new(host);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("ASYNCCALL_") {
            command.env_remove(name);
        }
    }
    command
}

fn put(job: &Job, queue: &mut Connection, out: &mut dyn Write) -> Result<(), Failure> {
    indent(out, &String::from_utf8_lossy(&job.body))?;
    queue.use_tube(&job.tube)?;
    let id = queue.put(job.priority, 0, 60, &job.body)?;
    Ok(writeln!(out, "   beanstalkd calls it job {id}")?)
}

/// The mails that are there, the oldest first.
fn written(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension() == Some(OsStr::new("eml")));
    files.sort();
    Ok(files)
}

fn indent(out: &mut dyn Write, text: &str) -> io::Result<()> {
    text.lines().try_for_each(|line| writeln!(out, "   | {line}"))
}
