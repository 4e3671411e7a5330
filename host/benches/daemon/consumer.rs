//! Who takes the jobs: the daemon, the raw client, the clients of others. Each runs in processes of its own.

use std::{
    any::Any,
    env,
    process::{Child, Command, Stdio},
};

use asynccall_client::connection::Address;

use crate::support::{Beanstalkd, Daemon, Host, plugins};

/// Somebody who takes jobs from a tube until told to end.
pub(crate) struct Consumer {
    pub(crate) name: String,
    /// How many reserves of it wait where there is nothing to do.
    pub(crate) waiting: usize,
    start: Box<Start>,
}

/// Starts it for a tube.
type Start = dyn Fn(&Beanstalkd, &str) -> Running;

/// A consumer at work; it ends when this is dropped.
pub(crate) struct Running {
    /// All of its processes.
    pub(crate) pids: Vec<u32>,
    /// What ends them.
    _alive: Box<dyn Any>,
}

/// Processes that are killed when this is dropped.
struct Children(Vec<Child>);

impl Consumer {
    pub(crate) fn new(
        name: impl Into<String>,
        waiting: usize,
        start: impl Fn(&Beanstalkd, &str) -> Running + 'static,
    ) -> Consumer {
        Consumer {
            name: name.into(),
            waiting,
            start: Box::new(start),
        }
    }

    pub(crate) fn start(&self, queue: &Beanstalkd, tube: &str) -> Running {
        (self.start)(queue, tube)
    }

    /// The daemon with the handler `stopwatch`, which decodes each payload.
    pub(crate) fn daemon(workers: u32, slots: u32) -> Consumer {
        let name = format!("daemon, {workers} × {slots}");
        Consumer::new(name, (workers * slots) as usize, move |queue, tube| {
            Running::of_daemon(daemon(queue, workers, slots).tube(tube).start())
        })
    }

    /// The raw client, as one process.
    pub(crate) fn raw(connections: usize, strategy: &'static str) -> Consumer {
        let name = match strategy {
            "batch" => format!("batch ceiling, {connections} connections"),
            "ahead" => format!("raw client that reads ahead, {connections} connections"),
            _ => format!("raw client, {connections} connections"),
        };
        Consumer::new(name, connections, move |queue, tube| {
            let mut command = raw(queue.address(), tube);
            command.arg(format!("--connections={connections}"));
            command.arg(format!("--strategy={strategy}"));
            Running::of_children([command])
        })
    }

    /// The raw client, as processes of one connection each.
    pub(crate) fn raw_processes(count: usize) -> Consumer {
        let name = format!("raw client, {count} processes");
        Consumer::new(name, count, move |queue, tube| {
            Running::of_children((0..count).map(|_| raw(queue.address(), tube)))
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

impl Running {
    pub(crate) fn of_daemon(daemon: Daemon) -> Running {
        let mut pids = daemon.workers();
        pids.push(daemon.pid());
        Running {
            pids,
            _alive: Box::new(daemon),
        }
    }

    pub(crate) fn of_children(commands: impl IntoIterator<Item = Command>) -> Running {
        let start = |mut command: Command| {
            let child = command.stdin(Stdio::null()).spawn();
            child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
        };
        let children: Vec<Child> = commands.into_iter().map(start).collect();
        Running {
            pids: children.iter().map(Child::id).collect(),
            _alive: Box::new(Children(children)),
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
