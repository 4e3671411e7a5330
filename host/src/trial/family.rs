//! Ends a child of this process together with everything that it and its programs have started.
//!
//! A group of processes would not do: programs may lead groups of their own, as those of the plugin `exec` do, and
//! a child in another group would not hear a terminal's ^C. So the child adopts what its programs leave behind
//! (`PR_SET_CHILD_SUBREAPER`, set where it is started), and all that it has started is below it as long as it lives.

use std::{
    collections::BTreeSet,
    fs,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

/// How long programs are killed before the child itself is, where they never become none.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often programs that were killed are looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Kills the child and its descendants, and reaps the child.
///
/// Nothing of one that has ended: its programs are below other processes then.
pub(super) fn kill_all(child: &mut Child) {
    // One that was reaped is not there to be stopped, and its number may be another's.
    if matches!(child.try_wait(), Ok(None)) {
        let pid = Pid::from_raw(child.id().cast_signed());
        if stop(pid) {
            kill_below(pid);
        }
        // Nothing to do about one that cannot be killed: it has ended.
        let _ = child.kill();
    }
    let _ = child.wait();
}

/// Stops a child, so that it starts nothing more. `false` where it has ended instead.
fn stop(child: Pid) -> bool {
    if kill(child, Signal::SIGSTOP).is_err() {
        return false;
    }
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    waitid(Id::Pid(child), flags).is_ok_and(|status| matches!(status, WaitStatus::Stopped(..)))
}

/// Kills until nothing is left: a program may start another one until it is dead.
fn kill_below(child: Pid) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = below(child);
        if found.is_empty() || Instant::now() >= deadline {
            return;
        }
        for pid in found {
            // It may have ended by itself.
            let _ = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(LOOK);
    }
}

/// Every living descendant.
fn below(ancestor: Pid) -> BTreeSet<Pid> {
    let alive: Vec<_> = processes().collect();
    let mut found = BTreeSet::from([ancestor]);
    loop {
        let children = alive.iter().filter(|(_, parent)| found.contains(parent));
        let children: BTreeSet<Pid> = children.map(|(pid, _)| *pid).collect();
        let known = found.len();
        found.extend(children);
        if found.len() == known {
            found.remove(&ancestor);
            return found;
        }
    }
}

/// All processes of this system that have not ended, each with its parent.
fn processes() -> impl Iterator<Item = (Pid, Pid)> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Some((Pid::from_raw(pid), parent(&stat)?))
    })
}

/// The parent that a `/proc/PID/stat` tells of (proc_pid_stat(5)); nothing of a zombie.
fn parent(stat: &[u8]) -> Option<Pid> {
    // The second field is the name in parentheses, which may be any bytes, parentheses among them.
    let behind = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = stat.get(behind..)?.split(|byte| *byte == b' ').skip(1);
    if matches!(fields.next()?, b"Z" | b"X") {
        return None;
    }
    let parent = std::str::from_utf8(fields.next()?).ok()?;
    parent.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_told_whatever_the_process_is_called() {
        assert_eq!(parent(b"7 (sh) S 3 7 7"), Some(Pid::from_raw(3)));
        assert_eq!(parent(b"7 (a) Z 9 (\xff) R 3 7"), Some(Pid::from_raw(3)));
        assert_eq!(parent(b"7 (sh) Z 3 7 7"), None);
        for broken in [&b""[..], b"7 (sh", b"7 (sh)", b"7 (sh) S", b"7 (sh) S x"] {
            assert_eq!(parent(broken), None);
        }
    }
}
