//! Whether a `sendmail` command could use the rights that it is installed with.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The bits of inode(7) that let a program run as its file's owner or group.
const SET_ID: u32 = 0o6000;
/// What Postfix's `sendmail`, itself without rights, hands mails to.
const POSTDROP: &str = "postdrop";

/// The program that would run in vain for want of its rights: the command itself, or the one beside it that it starts.
///
/// `None` where this process may still gain rights, as the host decides for each pool.
pub(super) fn denied(command: &Path) -> Option<PathBuf> {
    let may_gain = fs::read_to_string("/proc/self/status").map_or(true, |status| may_gain(&status));
    if may_gain { None } else { needing_rights(command) }
}

/// Whether a process with this status (proc_pid_status(5)) may gain rights by executing a program.
fn may_gain(status: &str) -> bool {
    let no_new_privs = status.lines().find_map(|line| line.strip_prefix("NoNewPrivs:"));
    no_new_privs.is_none_or(|value| value.trim() != "1")
}

fn needing_rights(command: &Path) -> Option<PathBuf> {
    let command = command.canonicalize().ok()?;
    let postdrop = command.with_file_name(POSTDROP);
    let is_set_id = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & SET_ID != 0)
    };
    [command, postdrop].into_iter().find(is_set_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_whether_rights_can_be_gained() {
        assert!(!may_gain("Name:\tasynccall-work\nNoNewPrivs:\t1\nSeccomp:\t0\n"));
        assert!(may_gain("Name:\tasynccall-work\nNoNewPrivs:\t0\nSeccomp:\t0\n"));
        assert!(may_gain(""), "an old kernel has no such thing");
    }

    #[test]
    fn a_set_id_command_and_the_helper_of_postfix_need_rights() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = |name: &str, mode| {
            let path = directory.path().join(name);
            fs::write(&path, "").expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            path.canonicalize().expect("it exists")
        };
        let plain = program("sendmail", 0o755);
        assert_eq!(needing_rights(&plain), None);
        let exim = program("exim4", 0o4755);
        let link = directory.path().join("mail");
        std::os::unix::fs::symlink(&exim, &link).expect("a link");
        assert_eq!(needing_rights(&link), Some(exim));
        let postdrop = program(POSTDROP, 0o2755);
        assert_eq!(needing_rights(&plain), Some(postdrop));
    }
}
