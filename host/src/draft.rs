//! Names of files and directories that are made beside their place and renamed into it when they are whole.
//!
//! Whoever makes one removes it where that fails. A process that is killed cannot, so whoever makes the next one for
//! the same place removes what it finds of processes that are gone.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process,
};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

/// What the name of a draft ends with: nobody else's file is taken for one.
const ENDING: &str = ".asynccall-draft";

/// Where this process makes what is to be renamed to `place`: `.NAME.PID.asynccall-draft` in the same directory.
///
/// Nothing is there, unless it cannot be removed; nor are drafts of processes that are gone. For one draft of a place
/// at a time, in a directory whose other users run on this machine.
pub(crate) fn beside(place: &Path) -> PathBuf {
    let directory = match place.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // Nothing depends on it: what is in the way is told by making the draft.
    let _ = remove_abandoned(directory, place);
    directory.join(name(place, process::id()))
}

fn name(place: &Path, pid: u32) -> OsString {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(format!(".{pid}{ENDING}"));
    name
}

fn remove_abandoned(directory: &Path, place: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let maker = maker(&entry.file_name(), place);
        if maker.is_some_and(is_gone) {
            // Another process may do the same.
            let _ = match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path()),
                false => fs::remove_file(entry.path()),
            };
        }
    }
    Ok(())
}

/// The process whose draft of that place has this name.
fn maker(found: &OsStr, place: &Path) -> Option<Pid> {
    let rest = found.as_bytes().strip_prefix(b".")?;
    let rest = rest.strip_prefix(place.file_name()?.as_bytes())?;
    let pid = rest.strip_prefix(b".")?.strip_suffix(ENDING.as_bytes())?;
    let pid: i32 = std::str::from_utf8(pid).ok()?.parse().ok()?;
    (pid > 0).then(|| Pid::from_raw(pid))
}

/// Whether no such process makes a draft: this one has not begun yet, so what has its number is of an earlier one.
fn is_gone(pid: Pid) -> bool {
    pid == Pid::this() || kill(pid, None) == Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The number of a process that has ended.
    fn gone() -> u32 {
        let mut child = Command::new("true").spawn().expect("it runs");
        child.wait().expect("it is ours");
        child.id()
    }

    #[test]
    fn drafts_of_processes_that_are_gone_are_removed_and_nothing_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("mailer");
        let gone = gone();
        let path = |name: OsString| directory.path().join(name);
        fs::create_dir_all(path(name(&place, gone)).join("src")).expect("a directory");
        fs::write(path(name(&place, process::id())), "of an earlier process").expect("a file");
        let kept = [
            // The first process of every system.
            name(&place, 1),
            name(Path::new("other"), gone),
            format!(".mailer.{gone}").into(),
            format!(".mailer.-{gone}{ENDING}").into(),
            format!("mailer.{gone}{ENDING}").into(),
        ];
        for kept in &kept {
            fs::write(path(kept.clone()), "").expect("a file");
        }
        let draft = beside(&place);
        assert_eq!(draft, path(name(&place, process::id())));
        let mut left: Vec<_> = fs::read_dir(directory.path())
            .expect("it is ours")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        left.sort();
        let mut kept = kept.to_vec();
        kept.sort();
        assert_eq!(left, kept);
    }

    #[test]
    fn the_draft_of_a_bare_name_is_in_the_working_directory() {
        let draft = beside(Path::new("plugins.lock"));
        assert_eq!(
            draft,
            Path::new(".").join(name(Path::new("plugins.lock"), process::id()))
        );
    }
}
