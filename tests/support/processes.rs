//! Processes of the daemon, seen from outside.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::eventually;

/// Sends a signal; a process that is gone is none the worse.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// Whether a process exists and is more than a zombie.
pub(crate) fn lives(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// Whether a process executes `binary`, or a file that was there before.
pub(crate) fn runs(pid: u32, binary: &Path) -> bool {
    let executed = fs::read_link(format!("/proc/{pid}/exe"));
    executed.is_ok_and(|path| path.to_string_lossy().starts_with(&*binary.to_string_lossy()))
}

/// Every process of the system.
pub(crate) fn all() -> impl Iterator<Item = u32> {
    let processes = fs::read_dir("/proc").expect("a Linux system");
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    all()
        .filter(|child| stat(*child).is_some_and(|(_, parent)| parent == pid))
        .collect()
}

/// Waits until a process is gone.
#[track_caller]
pub(crate) fn wait_until_gone(pid: u32) {
    eventually(&format!("process {pid} ends"), || (!lives(pid)).then_some(()));
}

/// State and parent (proc_pid_stat(5)).
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may have spaces and parentheses itself.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The scheduling policy of a process (sched(7)), as its number in proc_pid_stat(5).
pub(crate) fn policy(pid: u32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process exists");
    let fields = text.rsplit_once(')').expect("a stat line").1;
    let policy = fields.split_whitespace().nth(38).expect("the 41st field");
    policy.parse().expect("a number")
}

/// User and system time that a process has used (proc_pid_stat(5)), in clock ticks of 10 ms.
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process exists");
    let fields = text.rsplit_once(')').expect("a stat line").1;
    let times = fields.split_whitespace().skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// How often the threads of a process have waited for something and were woken (`voluntary_ctxt_switches` of
/// proc_pid_status(5)).
pub(crate) fn wake_ups(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process exists");
    let of_task = |task: PathBuf| {
        // A thread that has ended since counts no more.
        let text = fs::read_to_string(task.join("status")).unwrap_or_default();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.map_or(0, |count| count.trim().parse().expect("a number"))
    };
    tasks.flatten().map(|task| of_task(task.path())).sum::<u64>()
}

/// How many directories and files a process watches (proc_pid_fdinfo(5)).
pub(crate) fn inotify_watches(pid: u32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("the process exists");
    let watches = open.flatten().map(|descriptor| {
        let text = fs::read_to_string(descriptor.path()).unwrap_or_default();
        text.lines()
            .filter(|line| line.starts_with("inotify wd:"))
            .count()
    });
    watches.sum()
}
