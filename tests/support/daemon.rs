//! A running daemon: asked by its own commands, watched by its log, ended with the test.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Ended, Host, eventually, plugins::daemon_binary, processes};

/// How long a daemon may take to leave when its test is over, before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// The daemon.
pub(crate) struct Daemon {
    host: Host,
    /// None where it runs in the background, or has ended.
    child: Option<Child>,
}

impl Daemon {
    /// The daemon of a host: that child, or the one that holds its pid file.
    pub(super) fn of(host: Host, child: Option<Child>) -> Daemon {
        Daemon { host, child }
    }

    /// How it was started.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The master's pid.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        match &self.child {
            Some(child) => child.id(),
            None => self.held_by().expect("the pid file names the daemon"),
        }
    }

    fn held_by(&self) -> Option<u32> {
        fs::read_to_string(self.host.held()).ok()?.parse().ok()
    }

    /// Waits until a first generation serves with all of its workers.
    #[track_caller]
    pub(crate) fn wait_until_serving(&mut self) {
        let alive = |daemon: &mut Daemon| match &mut daemon.child {
            Some(child) => child.try_wait().expect("it is our child").is_none(),
            None => true,
        };
        eventually("the daemon serves", || {
            assert!(alive(self), "the daemon has ended instead:\n{}", self.log());
            let status = self.try_status()?;
            (status["generation"] != 0 && all_ready(&status)).then_some(())
        });
    }

    /// Runs a command that finds the daemon by its pid file.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        self.host.run_command(self.command(words))
    }

    /// The same, before it runs.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.host.bare_command(words);
        command.args(self.host.target());
        command
    }

    /// `status --json`.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let text = self.run(&["status", "--json"]).succeeded();
        serde_json::from_str(&text).expect("the status is JSON")
    }

    fn try_status(&self) -> Option<Value> {
        serde_json::from_str(&self.run(&["status", "--json"]).out).ok()
    }

    /// Waits until the status is as wished.
    #[track_caller]
    pub(crate) fn wait_for_status(&self, what: &str, wish: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.try_status().filter(&wish))
    }

    /// The jobs that slots work on now, as their ids.
    #[track_caller]
    pub(crate) fn running(&self) -> Vec<u64> {
        let status = self.status();
        slots(&status)
            .filter(|slot| slot["state"] == "running")
            .filter_map(|slot| slot["job"].as_u64())
            .collect()
    }

    /// Waits until a handler runs for a job.
    #[track_caller]
    pub(crate) fn wait_until_running(&self, job: u64) {
        eventually(&format!("job {job} runs"), || {
            self.running().contains(&job).then_some(())
        });
    }

    /// A number of the totals.
    #[track_caller]
    pub(crate) fn total(&self, name: &str) -> u64 {
        self.status()["totals"][name].as_u64().expect("a total")
    }

    /// Waits until a number of the totals has been reached.
    #[track_caller]
    pub(crate) fn wait_for_total(&self, name: &str, count: u64) {
        self.wait_for_status(&format!("{count} {name}"), |status| {
            status["totals"][name]
                .as_u64()
                .is_some_and(|total| total >= count)
        });
    }

    /// The pids of the workers that exist now.
    #[track_caller]
    pub(crate) fn workers(&self) -> Vec<u32> {
        processes::children(self.pid())
    }

    /// Everything that was logged to standard error, or to the log file of a daemon in the background.
    pub(crate) fn log(&self) -> String {
        fs::read(self.host.log_file()).map_or_else(
            |_| String::new(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The lines of the log that have all of these parts.
    pub(crate) fn lines_with(&self, parts: &[&str]) -> Vec<String> {
        let log = self.log();
        let complete = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        complete
            .filter(|line| parts.iter().all(|part| has(line, part)))
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// How often the handler `echo` ran for each job, by its debug lines.
    pub(crate) fn executions(&self) -> BTreeMap<u64, usize> {
        let mut executions = BTreeMap::new();
        for line in self.lines_with(&[" handler=echo ", "tag="]) {
            let id = line.split(" job=").nth(1).and_then(|rest| rest.split(' ').next());
            let job = id.and_then(|id| id.parse().ok()).expect("a job");
            *executions.entry(job).or_default() += 1;
        }
        executions
    }

    /// Waits for a line of the log that has all of these parts.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, parts: &[&str]) -> String {
        eventually(&format!("a log line with {parts:?}"), || {
            self.lines_with(parts).into_iter().next()
        })
    }

    /// The line that tells how a job was settled.
    #[track_caller]
    pub(crate) fn wait_for_settled(&self, job: u64) -> String {
        self.wait_for_line(&[&format!("job={job}"), "settled="])
    }

    /// Sends the master a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        processes::signal(self.pid(), signal);
    }

    /// Waits until the master has ended, and answers with its exit code where it was our child.
    #[track_caller]
    pub(crate) fn wait_for_end(&mut self) -> Option<i32> {
        let Some(mut child) = self.child.take() else {
            let held = self.held_by();
            held.into_iter().for_each(processes::wait_until_gone);
            return None;
        };
        let ended = eventually("the daemon ends", || child.try_wait().expect("it is our child"));
        ended.code()
    }

    /// Ends the daemon in order: TERM, and its exit code.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.wait_for_end()
    }

    /// A file in the daemon's own directory.
    #[track_caller]
    pub(crate) fn read(&self, name: impl AsRef<Path>) -> String {
        fs::read_to_string(self.host.directory().path(name)).expect("the file is there")
    }
}

/// Whether `line` has `part`, as a whole word where it is a field such as `job=1`.
fn has(line: &str, part: &str) -> bool {
    match part.contains('=') && !part.ends_with('=') && !part.contains(' ') {
        true => line.split_whitespace().any(|word| word == part),
        false => line.contains(part),
    }
}

/// Every slot of a status document.
pub(crate) fn slots(status: &Value) -> impl Iterator<Item = &Value> {
    workers(status).flat_map(|worker| worker["slots"].as_array().into_iter().flatten())
}

/// Every worker of a status document.
pub(crate) fn workers(status: &Value) -> impl Iterator<Item = &Value> {
    let pools = status["pools"].as_array().into_iter().flatten();
    pools.flat_map(|pool| pool["workers"].as_array().into_iter().flatten())
}

fn all_ready(status: &Value) -> bool {
    let is_empty = workers(status).next().is_none();
    !is_empty && workers(status).all(|worker| worker["state"] == "ready")
}

impl Drop for Daemon {
    #[allow(clippy::print_stderr, reason = "read by whoever looks into the failure")]
    fn drop(&mut self) {
        let master = match &self.child {
            Some(child) => Some(child.id()),
            // A stale pid file may name a stranger.
            None => self
                .held_by()
                .filter(|pid| processes::runs(*pid, daemon_binary())),
        };
        if let Some(master) = master {
            let workers = processes::children(master);
            self.end(master);
            workers.into_iter().for_each(end_group);
        }
        if thread::panicking() {
            eprintln!(
                "log of the daemon in {}:\n{}",
                self.host.directory().root().display(),
                self.log()
            );
        }
    }
}

impl Daemon {
    /// Tells a master to leave until it does, and kills it where it does not.
    fn end(&mut self, master: u32) {
        let gone = |daemon: &mut Daemon| match &mut daemon.child {
            Some(child) => child.try_wait().is_ok_and(|ended| ended.is_some()),
            None => !processes::lives(master),
        };
        let deadline = Instant::now() + LAST_WORDS;
        while Instant::now() < deadline {
            // The second one means that nobody waits for what runs.
            processes::signal(master, Signal::SIGTERM);
            thread::sleep(Duration::from_millis(20));
            if gone(self) {
                return;
            }
        }
        processes::signal(master, Signal::SIGKILL);
        if let Some(child) = &mut self.child {
            let _ = child.wait();
        }
    }
}

/// Ends what is left of a worker's process group.
fn end_group(leader: u32) {
    let group = nix::unistd::Pid::from_raw(leader.cast_signed());
    let _ = nix::sys::signal::killpg(group, Signal::SIGKILL);
}
