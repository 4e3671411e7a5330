//! The daemon under the storm: one master after the other over the same directory, and everything that they leave.
//!
//! It runs a copy of the binary of its own, so that every process of it can be found, orphans included.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
};

use nix::sys::signal::Signal;

use super::{Plan, dice::Dice};
use crate::support::{
    Daemon, Directory, Host, eventually, plugin,
    plugins::{daemon_binary, library},
    processes,
};

/// Tubes and pools have the same names. Workers: one in four has four slots.
pub(super) const POOLS: [&str; 3] = ["one", "other", "wide"];

/// The daemon.
pub(super) struct Subject {
    pub(super) directory: Directory,
    settings: String,
    binary: PathBuf,
    master: Option<Daemon>,
    /// How long the log was when the master was started, in bytes.
    log_before: usize,
}

/// What the next reload or start finds on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disk {
    /// A plugin and settings that work; the plugin's hash is new each time.
    Good,
    /// The first half of the plugin, as a copy that was interrupted leaves it.
    HalfAPlugin,
    NoPlugin,
    NoElf,
    /// The settings have a mistake.
    BadSettings,
    /// The handler cannot be made.
    HandlerRefuses,
    /// Making the handler ends the process.
    HandlerAborts,
}

/// What can be wrong.
pub(super) const BROKEN: [Disk; 6] = [
    Disk::HalfAPlugin,
    Disk::NoPlugin,
    Disk::NoElf,
    Disk::BadSettings,
    Disk::HandlerRefuses,
    Disk::HandlerAborts,
];

impl Subject {
    /// A daemon that finds its queue server at that port.
    pub(super) fn new(plan: &Plan, port: u16) -> Subject {
        let directory = Directory::new();
        let binary = directory.path("asynccall-host");
        // By another process: what this one has open for writing, a child of another test would inherit, and it
        // could not be executed.
        let copied = Command::new("cp").arg(daemon_binary()).arg(&binary).status();
        assert!(copied.expect("cp runs").success());
        let subject = Subject {
            settings: settings(plan, port, &directory),
            binary,
            directory,
            master: None,
            log_before: 0,
        };
        subject.prepare(Disk::Good, &mut Dice::new(0));
        subject
    }

    /// Puts plugin and settings on disk, as an installation does: whole files, renamed into place.
    pub(super) fn prepare(&self, disk: Disk, dice: &mut Dice) {
        let good = fs::read(plugin("diary")).expect("it is built");
        let bytes = match disk {
            Disk::HalfAPlugin => Some(good[..good.len() / 2].to_vec()),
            Disk::NoElf => Some(b"#!/bin/sh\n".to_vec()),
            Disk::NoPlugin => None,
            // What follows the ELF file's own end is part of its hash and of nothing else.
            _ => Some([good, dice.within(0..u64::MAX).to_ne_bytes().to_vec()].concat()),
        };
        let path = self.directory.path(library("diary"));
        match bytes {
            Some(bytes) => self.install(&path, &bytes),
            // It may be missing already.
            None => drop(fs::remove_file(path)),
        }
        let settings = match disk {
            Disk::BadSettings => self.settings.replace("slots", "slost"),
            Disk::HandlerRefuses => self.settings.replace("birth = 'well'", "birth = 'refuse'"),
            Disk::HandlerAborts => self.settings.replace("birth = 'well'", "birth = 'abort'"),
            _ => self.settings.clone(),
        };
        self.install(&self.directory.path("host.toml"), settings.as_bytes());
    }

    fn install(&self, path: &Path, bytes: &[u8]) {
        let new = self.directory.write("new", bytes);
        fs::rename(new, path).expect("the file is put in place");
    }

    /// Starts a master; it may need a moment until it serves.
    pub(super) fn start(&mut self) {
        let host = Host::unconnected()
            .binary(&self.binary)
            .flag("--config")
            .flag(self.directory.path("host.toml"))
            .pid_file(self.directory.path("host.pid"));
        self.log_before = self.read("log").len();
        self.master = Some(host.log_level("info").spawn());
    }

    /// Whether there is a master with a generation to fall back on.
    pub(super) fn serves(&self) -> bool {
        let log = self.read("log");
        let since = log.get(self.log_before..).unwrap_or_default();
        self.master.is_some() && since.contains(r#""message":"serving""#)
    }

    /// The master, while there is one.
    pub(super) fn master(&mut self) -> Option<&mut Daemon> {
        self.master.as_mut()
    }

    /// Kills the master; its workers are left to themselves.
    pub(super) fn kill_master(&mut self) {
        if let Some(mut master) = self.master.take() {
            master.signal(Signal::SIGKILL);
            master.wait_for_end();
        }
    }

    /// How the master ended where nobody has killed it: its exit code and its last words.
    pub(super) fn take_ended(&mut self) -> Option<String> {
        let mut master = self.master.take_if(|master| !processes::lives(master.pid()))?;
        let code = master.wait_for_end();
        Some(format!("exit code {code:?}: {}", master.log()))
    }

    /// A command that finds the daemon.
    pub(super) fn command(&self, words: &[&str]) -> Option<Command> {
        self.master.as_ref().map(|master| master.command(words))
    }

    /// Waits until a generation serves with all of its workers.
    #[track_caller]
    pub(super) fn wait_until_serving(&mut self) {
        let master = self.master.as_mut().expect("there is a master");
        master.wait_until_serving();
    }

    /// Runs a command that has to succeed.
    #[track_caller]
    pub(super) fn command_succeeds(&self, words: &[&str]) {
        let master = self.master.as_ref().expect("there is a master");
        master.run(words).succeeded();
    }

    /// Stops the daemon in order; its exit code.
    #[track_caller]
    pub(super) fn stop(&mut self) -> Option<i32> {
        self.master.take().expect("there is a master").stop()
    }

    /// Every process of the daemon but the master and commands: workers, orphaned ones too.
    pub(super) fn workers(&self) -> Vec<u32> {
        let is_ours = |pid: &u32| processes::runs(*pid, &self.binary);
        let mut found: Vec<u32> = processes::all().filter(is_ours).collect();
        // Asked for last: a command that was started meanwhile is none of them.
        let master_and_commands = processes::children(process::id());
        found.retain(|pid| !master_and_commands.contains(pid));
        found.sort_unstable();
        found
    }

    /// Reads a file of the daemon's directory.
    pub(super) fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.directory.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The master's open descriptors by kind, when as many workers serve as the settings say and all others are gone.
    #[track_caller]
    pub(super) fn settled_descriptors(&mut self, plan: &Plan) -> BTreeMap<String, usize> {
        eventually("the workers of earlier generations are gone", || {
            (self.workers().len() == plan.workers).then_some(())
        });
        self.wait_until_serving();
        let master = self.master.as_ref().expect("there is a master").pid();
        // The least of each kind: the connection of whoever has asked it last is closed in a moment.
        const LOOKS: usize = 20;
        let (mut least, mut looks) = (descriptors(master), 1);
        eventually("its descriptors are looked at often enough", || {
            let now = descriptors(master);
            least.retain(|kind, count| {
                *count = now.get(kind).copied().unwrap_or(0).min(*count);
                *count > 0
            });
            looks += 1;
            (looks == LOOKS).then_some(())
        });
        least
    }

    /// Files that the daemon should have taken with it when it stopped.
    pub(super) fn leftovers(&self) -> Vec<PathBuf> {
        let names = ["host.pid", "host.sock"].map(|name| self.directory.path(name));
        names.into_iter().filter(|path| path.exists()).collect()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        drop(self.master.take());
        for worker in self.workers() {
            processes::signal(worker, Signal::SIGKILL);
        }
    }
}

/// The settings. No tubes rest: the last jobs of a storm are those that fail each time, which is what a breaker opens at.
fn settings(plan: &Plan, port: u16, directory: &Directory) -> String {
    let path = |name: &str| directory.path(name).display().to_string();
    let wide = (plan.workers / 4).max(1);
    let one = (plan.workers - wide).div_ceil(2);
    let workers = [one, plan.workers - wide - one, wide];
    let mut text = format!(
        "[queue]\nhost = '127.0.0.1'\nport = {port}\nconnect_timeout = 2\n\
         [plugins]\nload = ['{}']\n\
         [handler.diary]\npath = '{}'\nbirth = 'well'\n\
         [daemon]\ngrace = 3\nstart_timeout = 20\nlog_path = '{}'\nlog_format = 'json'\n",
        path(&library("diary")),
        path("diary"),
        path("log"),
    );
    for ((pool, workers), slots) in POOLS.iter().zip(workers).zip([1, 1, 4]) {
        text += &format!(
            "[[pool]]\nname = '{pool}'\ntubes = ['{pool}']\ntube_naming = 'plain'\n\
             worker_num = {workers}\nslots = {slots}\nreserve_timeout = 1\n\
             max_request = 300\nmin_lifetime = 0\nmemory_soft = 96\nmemory_hard = 160\n\
             max_runtime = 4\ncancel_grace = 1\nmax_attempts = 8\n\
             [pool.backoff]\nfirst = 1\nfactor = 1\njitter = 0\n\
             [pool.breaker]\nfailures = 0\n"
        );
    }
    text
}

/// The open descriptors of a process by what they lead to: the last part of a path, without the numbers that tell two
/// of a kind apart.
fn descriptors(pid: u32) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("it is ours");
    for link in open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()) {
        let kind = link.file_name().unwrap_or_default().to_string_lossy();
        let kind = kind.replace(|character: char| character.is_ascii_digit(), "");
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}
