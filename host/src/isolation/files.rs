//! The paths that stay open where a pool closes files: those that are declared, and those that a worker needs itself.
//!
//! A rule is of the file or directory that was there when the worker began: what replaces a declared file is closed,
//! and what comes into a declared directory is open (landlock(7)).

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::RawFd,
        unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use landlock::{AccessFs, BitFlags, PathBeneath, RulesetCreated, RulesetCreatedAttr, make_bitflags};
use nix::libc;

use super::{IsolationError, Needs, kernel};
use crate::config::Isolation;

type Rights = BitFlags<AccessFs>;

const READ: Rights = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const EXECUTE: Rights = make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir});
/// Everything but devices, which nobody makes in a day's work.
const WRITE: Rights = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | RemoveDir | RemoveFile | MakeDir | MakeReg | MakeSock | MakeFifo | MakeSym | Refer
});
/// What opening a log file anew takes after a rotation.
const LOG: Rights = make_bitflags!(AccessFs::{WriteFile | MakeReg});
const DEVICE: Rights = make_bitflags!(AccessFs::{ReadFile | WriteFile});

/// The libraries that plugins and programs are linked against, and what the dynamic linker reads to find them (ld.so(8)).
const LIBRARIES: [&str; 8] = [
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
];
/// The time zones, of which a log line needs one.
const TIME: [&str; 2] = ["/etc/localtime", "/usr/share/zoneinfo"];
/// Devices without content.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];
/// The dynamic linkers of glibc and musl, which the kernel executes for every program that is linked against libraries.
const LINKERS: [&str; 5] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// The declared paths with their settings.
pub(super) fn declared(isolation: &Isolation) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let Isolation {
        read, write, execute, ..
    } = isolation;
    let all = [("read", read), ("write", write), ("execute", execute)];
    all.into_iter()
        .flat_map(|(key, paths)| paths.iter().flatten().map(move |path| (key, path)))
}

/// A path as a rule names it: without any right to its content, and wherever a symbolic link leads.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
}

/// Adds the rules.
pub(super) fn allow(
    mut ruleset: RulesetCreated,
    isolation: &Isolation,
    needs: &Needs<'_>,
) -> Result<RulesetCreated, IsolationError> {
    for (key, path) in declared(isolation) {
        let rights = match key {
            "read" => READ,
            "write" => WRITE,
            _ => EXECUTE,
        };
        let opened = open(path).map_err(|source| IsolationError::declared(key, path, source))?;
        ruleset = add(ruleset, opened, rights)?;
    }
    for (path, rights) in own(isolation, needs) {
        match open(&path) {
            Ok(opened) => ruleset = add(ruleset, opened, rights)?,
            // Not every system has all of them.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(IsolationError::Own { path, source }),
        }
    }
    Ok(ruleset)
}

/// What a worker needs for itself, whatever is declared. What is not there is not needed.
fn own(isolation: &Isolation, needs: &Needs<'_>) -> Vec<(PathBuf, Rights)> {
    let paths = |paths: &[&str], rights| {
        let paths = paths.iter().map(|path| (PathBuf::from(path), rights));
        paths.collect::<Vec<_>>()
    };
    let mut own = paths(&LIBRARIES, READ);
    own.extend(paths(&TIME, READ));
    own.extend(paths(&DEVICES, DEVICE));
    // Without anything to execute, there is no program to be linked.
    if isolation.execute.as_ref().is_some_and(|paths| !paths.is_empty()) {
        own.extend(paths(&LINKERS, EXECUTE));
    }
    own.extend(
        needs
            .log
            .and_then(log_directory)
            .map(|directory| (directory, LOG)),
    );
    let copies = needs.plugins.iter().filter_map(|copy| copy_on_disk(*copy));
    own.extend(copies.map(|copy| (copy, READ)));
    own
}

/// Where a log file that may be rotated comes to be anew. A device or a pipe is never opened a second time.
fn log_directory(log: &Path) -> Option<PathBuf> {
    let log = fs::canonicalize(log).ok().filter(|log| log.is_file())?;
    log.parent().map(Path::to_owned)
}

/// The name of a plugin's copy that is on disk. One in memory is beneath no path, and open to whoever has its
/// descriptor.
fn copy_on_disk(copy: RawFd) -> Option<PathBuf> {
    let name = PathBuf::from(format!("/proc/self/fd/{copy}"));
    let leads_to = fs::read_link(&name).ok()?;
    (!leads_to.as_os_str().as_bytes().starts_with(b"/memfd:")).then_some(name)
}

/// Adds a rule. A file takes fewer rights than a directory.
fn add(ruleset: RulesetCreated, opened: File, rights: Rights) -> Result<RulesetCreated, IsolationError> {
    let is_directory = opened.metadata().is_ok_and(|found| found.is_dir());
    let rights = match is_directory {
        true => rights,
        false => rights & AccessFs::from_file(kernel::FILES),
    };
    match rights.is_empty() {
        true => Ok(ruleset),
        false => Ok(ruleset.add_rule(PathBeneath::new(opened, rights))?),
    }
}
