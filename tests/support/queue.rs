//! A beanstalkd of the test's own, ended with the test.

use std::{
    net::TcpListener,
    process::{self, Child, Stdio},
};

use asynccall_client::{
    connection::{Address, Connection, Options},
    protocol::{Body, Command, JobId, JobState, Reply},
    tube::{TubeName, crc32_name},
};
use nix::sys::signal::Signal;

use super::{Directory, eventually, have, processes};

/// The priority that [`Beanstalkd::put`] gives: unlike any default, so that a job that keeps it shows it.
pub(crate) const PRIORITY: u32 = 4242;

/// The server.
pub(crate) struct Beanstalkd {
    child: Option<Child>,
    address: Address,
    listen: Vec<String>,
    /// Whether it writes down its jobs, in its directory.
    keeps_jobs: bool,
    directory: Directory,
}

/// What a server listens on.
#[derive(Clone, Copy)]
pub(crate) enum Listen {
    Tcp,
    Unix,
}

/// What `stats-job` says.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) tube: String,
    pub(crate) state: JobState,
    pub(crate) pri: u32,
    /// As it was asked for, in seconds.
    pub(crate) delay: u64,
    /// In seconds.
    pub(crate) ttr: u64,
    pub(crate) reserves: u64,
    pub(crate) releases: u64,
}

impl Beanstalkd {
    /// A server on a free loopback port; `None`, said aloud, where there is no beanstalkd.
    #[track_caller]
    pub(crate) fn start() -> Option<Beanstalkd> {
        Beanstalkd::start_on(Listen::Tcp, true)
    }

    /// A server on a Unix socket.
    #[track_caller]
    pub(crate) fn start_on_unix() -> Option<Beanstalkd> {
        Beanstalkd::start_on(Listen::Unix, true)
    }

    /// A server that has forgotten its jobs when it ends, and is the faster for it.
    #[track_caller]
    #[allow(dead_code, reason = "the benchmark uses it")]
    pub(crate) fn start_in_memory(listen: Listen) -> Option<Beanstalkd> {
        Beanstalkd::start_on(listen, false)
    }

    #[track_caller]
    fn start_on(listen: Listen, keeps_jobs: bool) -> Option<Beanstalkd> {
        if !installed() {
            return None;
        }
        if let Listen::Unix = listen {
            let directory = Directory::new();
            let address = Address::Unix(directory.path("queue.sock"));
            let listen = vec!["-l".to_owned(), address.to_string()];
            let server = Beanstalkd::launch(address, listen, keeps_jobs, directory);
            return Some(server.expect("beanstalkd listens on a Unix socket"));
        }
        // Another process may take the port between our look and the server's bind: then this one
        // ends, and the next port is tried.
        let server = (0..20).find_map(|_| {
            let port = free_port();
            let listen = ["-l", "127.0.0.1", "-p"].map(str::to_owned).into_iter();
            let listen = listen.chain([port.to_string()]).collect();
            let address = Address::from_host_and_port("127.0.0.1", port).expect("an address");
            Beanstalkd::launch(address, listen, keeps_jobs, Directory::new())
        });
        Some(server.expect("beanstalkd listens on one of 20 ports"))
    }

    fn launch(
        address: Address,
        listen: Vec<String>,
        keeps_jobs: bool,
        directory: Directory,
    ) -> Option<Beanstalkd> {
        let mut server = Beanstalkd {
            child: None,
            address,
            listen,
            keeps_jobs,
            directory,
        };
        server.resume().then_some(server)
    }

    /// Ends the server, as a crash would.
    pub(crate) fn halt(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it is our child");
            child.wait().expect("it is our child");
        }
    }

    /// Stops the server in its tracks: its connections stay, and nothing is answered.
    pub(crate) fn freeze(&self) {
        if let Some(child) = &self.child {
            processes::signal(child.id(), Signal::SIGSTOP);
        }
    }

    /// Has a frozen server go on.
    pub(crate) fn thaw(&self) {
        if let Some(child) = &self.child {
            processes::signal(child.id(), Signal::SIGCONT);
        }
    }

    /// Has the server take no new jobs.
    pub(crate) fn drain(&self) {
        if let Some(child) = &self.child {
            processes::signal(child.id(), Signal::SIGUSR1);
        }
    }

    /// Starts the server, anew where it was halted; it has kept its jobs. `false` where its port is taken.
    #[track_caller]
    pub(crate) fn resume(&mut self) -> bool {
        let mut command = process::Command::new("beanstalkd");
        command.args(&self.listen).stderr(Stdio::null());
        if self.keeps_jobs {
            // What was written outlives the process; that the disk has it is of no interest.
            command.args(["-F", "-b"]).arg(self.directory.root());
        }
        let child = command.spawn().expect("beanstalkd starts");
        let pid = u64::from(child.id());
        let child = self.child.insert(child);
        let address = &self.address;
        eventually("beanstalkd listens", || {
            if child.try_wait().expect("it is our child").is_some() {
                return Some(false);
            }
            let mut connection = Connection::connect(address, &Options::default()).ok()?;
            let stats = connection.stats().ok()?;
            (stats.number("pid") == Some(pid)).then_some(true)
        })
    }

    /// The flags with which a daemon finds it.
    pub(crate) fn flags(&self) -> Vec<String> {
        match &self.address {
            Address::Tcp { host, port } => vec![format!("--host={host}"), format!("--port={port}")],
            unix @ Address::Unix(_) => vec![format!("--host={unix}")],
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Its TCP port.
    #[track_caller]
    pub(crate) fn port(&self) -> u16 {
        match self.address {
            Address::Tcp { port, .. } => port,
            Address::Unix(_) => panic!("it listens on a Unix socket"),
        }
    }

    /// A connection of its own, as a producer has it.
    #[track_caller]
    pub(crate) fn client(&self) -> Connection {
        Connection::connect(&self.address, &Options::default()).expect("beanstalkd answers")
    }

    /// Puts a job into the tube of exactly this name.
    #[track_caller]
    pub(crate) fn put(&self, tube: &str, body: impl AsRef<[u8]>) -> u64 {
        self.put_all(tube, [body])[0]
    }

    /// Puts a job with another time to run than a minute, in seconds.
    #[track_caller]
    pub(crate) fn put_with_ttr(&self, tube: &str, ttr: u32, body: &str) -> u64 {
        let mut client = self.client();
        client.use_tube(&name(tube)).expect("the tube is used");
        let put = client.put(PRIORITY, 0, ttr, body.as_bytes());
        put.expect("the job is put").0
    }

    /// Puts one job after the other.
    #[track_caller]
    pub(crate) fn put_all<B: AsRef<[u8]>>(
        &self,
        tube: &str,
        bodies: impl IntoIterator<Item = B>,
    ) -> Vec<u64> {
        const IN_ONE_WRITE: usize = 256;
        let mut client = self.client();
        client.use_tube(&name(tube)).expect("the tube is used");
        let mut bodies = bodies.into_iter().peekable();
        let mut ids = Vec::new();
        while bodies.peek().is_some() {
            let some = bodies.by_ref().take(IN_ONE_WRITE);
            let count = some.map(|body| client.queue(&put(body.as_ref()))).count();
            ids.extend((0..count).map(|_| match client.receive() {
                Ok(Reply::Inserted(id)) => id.0,
                other => panic!("the job is not put: {other:?}"),
            }));
        }
        ids
    }

    /// A job as the server sees it; `None` once it is deleted.
    #[track_caller]
    pub(crate) fn job(&self, id: u64) -> Option<Job> {
        let mut client = self.client();
        let stats = client.stats_job(JobId(id)).expect("beanstalkd answers")?;
        Some(Job {
            tube: stats.tube.to_owned(),
            state: stats.state,
            pri: stats.pri,
            delay: stats.delay,
            ttr: stats.ttr,
            reserves: stats.reserves,
            releases: stats.releases,
        })
    }

    /// Waits until a job is in a state.
    #[track_caller]
    pub(crate) fn wait_for(&self, id: u64, state: JobState) -> Job {
        eventually(&format!("job {id} is {state:?}"), || {
            self.job(id).filter(|job| job.state == state)
        })
    }

    /// Waits until a job is deleted.
    #[track_caller]
    pub(crate) fn wait_until_gone(&self, id: u64) {
        eventually(&format!("job {id} is deleted"), || {
            self.job(id).is_none().then_some(())
        });
    }

    /// The body of a job.
    #[track_caller]
    pub(crate) fn body(&self, id: u64) -> Vec<u8> {
        let mut client = self.client();
        let job = client.peek(JobId(id)).expect("beanstalkd answers");
        job.expect("the job is there").body.to_vec()
    }

    /// A number of the server's statistics.
    #[track_caller]
    pub(crate) fn stat(&self, key: &str) -> u64 {
        let mut client = self.client();
        let stats = client.stats().expect("beanstalkd answers");
        stats.number(key).expect("a number of this name")
    }

    /// A number of a tube's statistics; 0 where there is no such tube.
    #[track_caller]
    pub(crate) fn tube_stat(&self, tube: &str, key: &str) -> u64 {
        let mut client = self.client();
        let stats = client.stats_tube(&name(tube)).expect("beanstalkd answers");
        stats.map_or(0, |stats| stats.number(key).expect("a number of this name"))
    }

    /// Deletes a job in a moment in which nobody has it reserved.
    #[track_caller]
    pub(crate) fn delete(&self, id: u64) {
        let mut client = self.client();
        eventually(&format!("job {id} can be deleted"), || {
            let deleted = client.delete(JobId(id)).expect("beanstalkd answers");
            deleted.then_some(())
        });
    }

    /// Makes a delayed or buried job ready.
    #[track_caller]
    pub(crate) fn kick(&self, id: u64) {
        let kicked = self.client().kick_job(JobId(id)).expect("beanstalkd answers");
        assert!(kicked, "job {id} is neither delayed nor buried");
    }
}

impl Drop for Beanstalkd {
    fn drop(&mut self) {
        self.halt();
    }
}

#[track_caller]
fn installed() -> bool {
    have("beanstalkd", &["-v"], "Debian: apt-get install beanstalkd")
}

fn put(body: &[u8]) -> Command<'_> {
    Command::Put {
        pri: PRIORITY,
        delay: 0,
        ttr: 60,
        body: Body::new(body).expect("a body of ordinary size"),
    }
}

/// A port that nobody listens on at this moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// The tube on which the PHP library puts jobs for `tube`.
pub(crate) fn php_tube(tube: &str) -> String {
    crc32_name(tube).as_str().to_owned()
}

fn name(tube: &str) -> TubeName {
    TubeName::new(tube).expect("a tube that beanstalkd takes")
}
