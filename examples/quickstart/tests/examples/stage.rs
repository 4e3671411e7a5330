//! What the tests stand on: programs that are there or not, things that cargo builds, a beanstalkd of one's own.

use std::{
    env,
    io::{self, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use asynccall_client::connection::{Address, Connection, Options};
use serde_json::Value;

/// How long anything may take. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a program is on PATH. Where it is not, that is said aloud, and a failure with `CI=true`.
#[track_caller]
pub(crate) fn have(program: &str) -> bool {
    let asked = Command::new(program)
        .arg("-v")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let missing = asked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if missing {
        assert!(
            env::var("CI").as_deref() != Ok("true"),
            "{program} is not on PATH, and CI needs it"
        );
        // Not by `eprintln!`, which the test harness keeps to itself.
        let _closed = writeln!(io::stderr(), "SKIPPED: {program} is not on PATH");
    }
    !missing
}

/// A file of this directory's examples, such as `producers/producer.php`.
pub(crate) fn example(name: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    examples.expect("the crate lies in a directory").join(name)
}

/// The daemon's binary.
pub(crate) fn daemon() -> PathBuf {
    built(&["--package", "asynccall-host"], "asynccall-host")
}

/// What `cargo build` makes of `target`.
#[track_caller]
pub(crate) fn built(arguments: &[&str], target: &str) -> PathBuf {
    let output = run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--message-format=json"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR")));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let path = |message: Value| {
        let file = message["executable"]
            .as_str()
            .or(message["filenames"][0].as_str())?;
        let is_linked = file.ends_with(".so") || message["executable"].is_string();
        (message["target"]["name"] == target && is_linked).then(|| PathBuf::from(file))
    };
    messages
        .filter_map(|line| serde_json::from_slice(line).ok())
        .find_map(path)
        .expect("cargo tells where it is")
}

#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
}

/// A program that is killed with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _already_ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A beanstalkd on a loopback port.
pub(crate) struct Beanstalkd {
    _server: Running,
    pub(crate) address: String,
    pub(crate) queue: Connection,
}

impl Beanstalkd {
    /// `None`, said aloud, where it is not installed.
    #[track_caller]
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        have("beanstalkd").then(|| {
            let started = (0..20).find_map(|_| Self::on_port(unused_port(), arguments));
            started.expect("beanstalkd listens on one of 20 ports")
        })
    }

    /// `None` where another program has taken the port in between.
    fn on_port(port: u16, arguments: &[&str]) -> Option<Self> {
        let address = format!("127.0.0.1:{port}");
        let mut server = Running::start(
            Command::new("beanstalkd")
                .args(["-l", "127.0.0.1", "-p", &port.to_string()])
                .args(arguments)
                .stderr(Stdio::null()),
        );
        let parsed: Address = address.parse().expect("an address");
        let queue = eventually("beanstalkd answers", || {
            if server.0.try_wait().expect("it is our child").is_some() {
                return Some(None);
            }
            let mut queue = Connection::connect(&parsed, &Options::default()).ok()?;
            let pid = queue.stats().ok()?.number("pid")?;
            (pid == u64::from(server.0.id())).then_some(Some(queue))
        })?;
        Some(Self {
            _server: server,
            address,
            queue,
        })
    }

    pub(crate) fn port(&self) -> &str {
        let (_, port) = self.address.split_once(':').expect("a host and a port");
        port
    }
}

/// A port that nobody listens on just now.
pub(crate) fn unused_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}
