//! Who takes the jobs: the daemon, the raw client, the clients of others. Each runs in processes of its own.

use std::{
    env,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use asynccall_client::connection::Address;

use crate::{
    drain::stat,
    support::{Beanstalkd, Daemon, Host, eventually, plugins, processes},
};

/// Somebody who takes jobs from tubes until told to end.
pub(crate) struct Consumer {
    pub(crate) name: String,
    /// How many reserves of it wait where there is nothing to do.
    waiting: usize,
    start: Box<Start>,
}

/// Starts it for some tubes, and need not wait until it serves.
type Start = dyn Fn(&Beanstalkd, &[String]) -> Processes;

/// A consumer at work; it ends when this is dropped.
pub(crate) struct Running {
    /// All of its processes.
    pub(crate) pids: Vec<u32>,
    /// How long it took from its start until all of its reserves waited.
    pub(crate) start: Duration,
    _processes: Processes,
}

/// What was started; it ends when this is dropped.
pub(crate) enum Processes {
    Daemon(Box<Daemon>),
    Children(Vec<Child>),
}

impl Consumer {
    pub(crate) fn new(
        name: impl Into<String>,
        waiting: usize,
        start: impl Fn(&Beanstalkd, &[String]) -> Processes + 'static,
    ) -> Consumer {
        Consumer {
            name: name.into(),
            waiting,
            start: Box::new(start),
        }
    }

    /// Starts it for tubes that have nothing to give, and waits until all of its reserves do.
    pub(crate) fn start(&self, queue: &Beanstalkd, tubes: &[String]) -> Running {
        let mut control = queue.client();
        let begun = Instant::now();
        let processes = (self.start)(queue, tubes);
        eventually("all reserves wait", || {
            // A reserve waits for all of its tubes.
            (stat(&mut control, &tubes[0], "current-waiting") == self.waiting as u64).then_some(())
        });
        Running {
            start: begun.elapsed(),
            pids: processes.pids(),
            _processes: processes,
        }
    }

    /// The daemon with the handler `stopwatch`, which decodes each payload.
    pub(crate) fn daemon(workers: u32, slots: u32) -> Consumer {
        Consumer::daemon_with(workers, slots, |host| host)
    }

    /// The same with settings of its own.
    pub(crate) fn daemon_with(workers: u32, slots: u32, set: impl Fn(Host) -> Host + 'static) -> Consumer {
        let name = format!("daemon, {workers} × {slots}");
        Consumer::new(name, (workers * slots) as usize, move |queue, tubes| {
            let host = set(daemon(queue, workers, slots));
            Processes::of_host(tubes.iter().fold(host, |host, tube| host.tube(tube)))
        })
    }

    /// The raw client, as one process.
    pub(crate) fn raw(connections: usize, strategy: &'static str) -> Consumer {
        let name = match strategy {
            "batch" => format!("batch ceiling, {connections} connections"),
            "ahead" => format!("raw client that reads ahead, {connections} connections"),
            _ => format!("raw client, {connections} connections"),
        };
        Consumer::new(name, connections, move |queue, tubes| {
            let mut command = raw(queue.address(), &tubes[0]);
            command.args(tubes[1..].iter().map(|tube| format!("--tube={tube}")));
            command.arg(format!("--connections={connections}"));
            command.arg(format!("--strategy={strategy}"));
            let is_tcp = matches!(queue.address(), Address::Tcp { .. });
            if is_tcp && connections > 1 && strategy == "pair" {
                command.arg("--give-way");
            }
            Processes::of_commands([command])
        })
    }

    /// The raw client, as processes of one connection each.
    pub(crate) fn raw_processes(count: usize) -> Consumer {
        let name = format!("raw client, {count} processes");
        Consumer::new(name, count, move |queue, tubes| {
            Processes::of_commands((0..count).map(|_| {
                let mut command = raw(queue.address(), &tubes[0]);
                command.arg("--give-way");
                command
            }))
        })
    }
}

/// A daemon as all rows have it: one plain tube, and a log that is kept quiet as an operator's is.
pub(crate) fn daemon(queue: &Beanstalkd, workers: u32, slots: u32) -> Host {
    with_stopwatch(Host::new(queue), workers, slots)
}

/// The same for a daemon that knows its queue server already.
pub(crate) fn with_stopwatch(host: Host, workers: u32, slots: u32) -> Host {
    let host = host.log_level("info").flag("--tube-naming=plain");
    let host = host.load(plugins::built("zoo-stopwatch", "stopwatch"));
    host.flag("--handler=stopwatch")
        .workers(workers)
        .flag(format!("--slots={slots}"))
}

/// This program as the raw client of a tube.
pub(crate) fn raw(address: &Address, tube: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["raw", &format!("--address={address}")]);
    command.arg(format!("--tube={tube}"));
    command
}

impl Processes {
    pub(crate) fn of_host(host: Host) -> Processes {
        Processes::Daemon(Box::new(host.spawn()))
    }

    pub(crate) fn of_commands(commands: impl IntoIterator<Item = Command>) -> Processes {
        let start = |mut command: Command| {
            let child = command.stdin(Stdio::null()).spawn();
            child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
        };
        Processes::Children(commands.into_iter().map(start).collect())
    }

    /// Those that were started, and those that they have started.
    fn pids(&self) -> Vec<u32> {
        let mut pids = match self {
            Processes::Daemon(daemon) => vec![daemon.pid()],
            Processes::Children(children) => children.iter().map(Child::id).collect(),
        };
        let mut at = 0;
        while at < pids.len() {
            pids.extend(processes::children(pids[at]));
            at += 1;
        }
        pids
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        // A daemon sees to its own end.
        if let Processes::Children(children) = self {
            for child in children {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}
