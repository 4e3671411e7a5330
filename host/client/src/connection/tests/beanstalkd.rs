//! A real beanstalkd for one test, ended when dropped.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::connection::{Address, Connection, Options};

/// How long a server may take to answer before a test gives up; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Beanstalkd {
    child: Child,
    pub(crate) address: Address,
    socket: Option<PathBuf>,
}

impl Beanstalkd {
    /// Starts a server on a free loopback port.
    ///
    /// `None` where beanstalkd is not installed: said aloud, and a failure where `CI` is `true`.
    #[track_caller]
    pub(crate) fn on_tcp(arguments: &[&str]) -> Option<Self> {
        for _ in 0..20 {
            let free = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let address = Address::from_host_and_port("127.0.0.1", free).unwrap();
            let listen = [
                "-l".to_owned(),
                "127.0.0.1".to_owned(),
                "-p".to_owned(),
                free.to_string(),
            ];
            let mut server = Self {
                child: spawn(&listen, arguments)?,
                address,
                socket: None,
            };
            // Another process may have taken the port in between; then this one ends, and the next port is tried.
            if server.answers() {
                return Some(server);
            }
        }
        panic!("beanstalkd ends at once on every port, started with {arguments:?}");
    }

    /// Starts a server on a Unix socket.
    #[track_caller]
    pub(crate) fn on_unix(arguments: &[&str]) -> Option<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let nth = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("asynccall-client-{}-{nth}.sock", std::process::id()));
        let address = Address::Unix(path.clone());
        let child = spawn(&["-l".to_owned(), address.to_string()], arguments)?;
        let mut server = Self {
            child,
            address,
            socket: Some(path),
        };
        assert!(
            server.answers(),
            "beanstalkd ended instead of listening on {}",
            server.address
        );
        Some(server)
    }

    /// Tells the server to take no new jobs (beanstalkd(1), "SIGUSR1").
    #[track_caller]
    pub(crate) fn drain(&self) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-USR1", &pid]).status();
        assert!(killed.unwrap().success());
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        Connection::connect(&self.address, &Options::default()).unwrap()
    }

    /// Waits until this very process answers; `false` if it has ended.
    fn answers(&mut self) -> bool {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            if let Ok(mut connection) = Connection::connect(&self.address, &Options::default())
                && connection
                    .stats()
                    .is_ok_and(|stats| stats.number("pid") == Some(u64::from(self.child.id())))
            {
                return true;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "beanstalkd does not answer on {}",
                self.address
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        false
    }
}

impl Drop for Beanstalkd {
    fn drop(&mut self) {
        let _already_ended = self.child.kill();
        let _status = self.child.wait();
        if let Some(path) = &self.socket {
            let _already_gone = std::fs::remove_file(path);
        }
    }
}

fn spawn(listen: &[String], arguments: &[&str]) -> Option<Child> {
    let spawned = Command::new("beanstalkd")
        .args(listen)
        .args(arguments)
        .stderr(Stdio::null())
        .spawn();
    match spawned {
        Ok(child) => Some(child),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "beanstalkd is not installed, and CI needs it"
            );
            eprintln!("SKIPPED: beanstalkd is not on PATH");
            None
        }
        Err(error) => panic!("cannot start beanstalkd: {error}"),
    }
}

/// Asks again and again until `check` holds, and fails when it never does.
#[track_caller]
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !check() {
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
