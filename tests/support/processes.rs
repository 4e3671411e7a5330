//! Processes of the daemon, seen from outside.

use std::{fs, path::Path};

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

/// The children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("a Linux system");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
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

/// User and system time that a process has used (proc_pid_stat(5)), in clock ticks of 10 ms.
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process exists");
    let fields = text.rsplit_once(')').expect("a stat line").1;
    let times = fields.split_whitespace().skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}
