//! Who could have changed a plugin's file: root and the user that loads it, nobody else; root alone where the daemon has
//! become a user of lesser rights.
//!
//! The file is judged on its open descriptor, and every directory above its
//! canonical path by its own permissions, since whoever can write to one of them
//! can put another file in place. It reads nothing of the content, and decides
//! nothing about what is to be done with a finding but refusing or allowing it.
//!
//! Safe is what belongs to root or to this user, and can be written by nobody else:
//!
//! - a directory that others can write to is fine where it is sticky, such as
//!   `/tmp`: they cannot rename or remove what is not theirs (inode(7));
//! - group-writable is fine where the group is private to root or to this user: it
//!   is the user's primary group, carries the user's name and lists no member but
//!   root and the user, as Debian and Fedora make one for every user;
//! - write permissions in a POSIX ACL count as the group's, because the mode shows
//!   the list's mask there (acl(5)).

mod accounts;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{
    libc::{O_NOCTTY, O_NOFOLLOW, O_NONBLOCK},
    unistd::geteuid,
};
use thiserror::Error;

use crate::plugin::{
    error::{PluginError, PluginErrors, file_name, reason, shell_word},
    lock::LockError,
    nearby::{libraries_in, nearest},
};
use accounts::{Accounts, ROOT};

/// Permission bits for others to write, of inode(7).
const OTHERS_WRITE: u32 = 0o002;
/// Permission bit for the group to write.
const GROUP_WRITE: u32 = 0o020;
/// Only owners remove or rename what is in the directory.
const STICKY: u32 = 0o1000;

/// Which plugins are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Those that others could have changed, too.
    pub allow_unsafe: bool,
    /// Only root's are safe: this process's own user is one that jobs run as, and a job must not change what the next
    /// worker loads.
    pub root_alone: bool,
}

/// An open plugin file and what is to be known about its surroundings.
#[derive(Debug)]
pub struct Vetted {
    /// Open for reading, at its beginning.
    pub file: File,
    /// The canonical path, in UTF-8.
    pub path: PathBuf,
    /// What was tolerated because unsafe plugins are allowed.
    pub warnings: Vec<Warning>,
}

/// What the permissions of a file or directory let others do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file or directory.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner's name, or number where the user has no name.
    pub owner: String,
    /// The user that it should belong to, where the owner is neither root nor this user.
    pub wanted_owner: Option<String>,
    /// Its group's name, where that group can write to it and is nobody's private one.
    pub writing_group: Option<String>,
    /// Whether everybody can write to it.
    pub writable_by_all: bool,
}

impl Finding {
    /// The shell command that mends it.
    pub fn remedy(&self) -> String {
        let path = shell_word(&self.path);
        let mut commands = Vec::new();
        if let Some(owner) = &self.wanted_owner {
            commands.push(format!("chown {owner} {path}"));
        }
        let who = match (&self.writing_group, self.writable_by_all) {
            (Some(_), true) => "go",
            (Some(_), false) => "g",
            (None, true) => "o",
            (None, false) => "",
        };
        if !who.is_empty() {
            commands.push(format!("chmod {who}-w {path}"));
        }
        commands.join(" && ")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding {
            path, mode, owner, ..
        } = self;
        write!(f, "`{}` (mode {mode:04o}, owner `{owner}`) ", path.display())?;
        let mut faults = Vec::new();
        match &self.wanted_owner {
            Some(user) if user == "root" => faults.push("does not belong to root".to_owned()),
            Some(user) => faults.push(format!("belongs to neither root nor `{user}`")),
            None => {}
        }
        match (&self.writing_group, self.writable_by_all) {
            (_, true) => faults.push("can be written by everybody".to_owned()),
            (Some(group), false) => faults.push(format!("can be written by group `{group}`")),
            (None, false) => {}
        }
        f.write_str(&faults.join(" and "))
    }
}

/// Something that an operator should be told although the plugin is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// It is used only because unsafe plugins are allowed.
    Unsafe {
        /// The plugin's canonical path.
        plugin: PathBuf,
        /// What it would have been refused for.
        finding: Finding,
    },
    /// The lock file is believed only because unsafe plugins are allowed.
    UnsafeLock {
        /// The lock file's canonical path.
        lock: PathBuf,
        /// What it would have been refused for.
        finding: Finding,
    },
}

impl Warning {
    /// What is tolerated.
    pub fn finding(&self) -> &Finding {
        let (Warning::Unsafe { finding, .. } | Warning::UnsafeLock { finding, .. }) = self;
        finding
    }

    /// Puts it where it belongs under a policy: tolerated, or refused.
    pub(super) fn sort(self, policy: Policy, tolerated: &mut Vec<Warning>, refused: &mut Vec<PluginError>) {
        match policy.allow_unsafe {
            true => tolerated.push(self),
            false => refused.push(self.into()),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, file) = match self {
            Warning::Unsafe { plugin, .. } => ("loading UNSAFE plugin", plugin),
            Warning::UnsafeLock { lock, .. } => ("believing UNSAFE lock file", lock),
        };
        let finding = self.finding();
        write!(
            f,
            "{what} {}, as `--allow-unsafe-plugins` says: {finding}; mend it with `{}`",
            file_name(file),
            finding.remedy()
        )
    }
}

/// What would have been tolerated, refused.
impl From<Warning> for PluginError {
    fn from(warning: Warning) -> Self {
        match warning {
            Warning::Unsafe { plugin, finding } => PluginError::Unsafe {
                path: plugin,
                finding: Box::new(finding),
            },
            Warning::UnsafeLock { lock, finding } => PluginError::Lock {
                source: LockError::Unsafe {
                    lock,
                    finding: Box::new(finding),
                },
            },
        }
    }
}

/// Opens a plugin's file and judges it and every directory above it.
///
/// Where the policy allows unsafe ones, what it would be refused for comes back as warnings. What is
/// no regular file is refused either way, and never waited for.
pub fn open(asked: &Path, policy: Policy) -> Result<Vetted, PluginErrors> {
    let Seen { file, path, findings } = examine(asked, policy).map_err(|error| unopened(asked, error))?;
    let (mut warnings, mut errors) = (Vec::new(), Vec::new());
    for finding in findings {
        let plugin = path.clone();
        Warning::Unsafe { plugin, finding }.sort(policy, &mut warnings, &mut errors);
    }
    PluginErrors::or(errors, Vetted { file, path, warnings })
}

fn unopened(asked: &Path, error: Unopened) -> PluginError {
    match error {
        Unopened::System { path, source } => PluginError::Open {
            nearest: match source.kind() {
                io::ErrorKind::NotFound => neighbour(asked),
                _ => None,
            },
            path,
            source,
        },
        Unopened::Encoding { path } => PluginError::Encoding { path },
        Unopened::NotAFile { found } => PluginError::NotAFile {
            path: asked.to_owned(),
            found,
        },
    }
}

/// An open file, and what others could do to it.
pub(super) struct Seen {
    /// Open for reading, at its beginning.
    pub(super) file: File,
    /// The canonical path, in UTF-8.
    pub(super) path: PathBuf,
    /// About the file and the directories above it, from there upwards.
    pub(super) findings: Vec<Finding>,
}

/// Why there is nothing to judge.
#[derive(Debug, Error)]
pub(super) enum Unopened {
    /// The file, or a directory above it, cannot be opened or looked at.
    #[error("{}", reason(source))]
    System { path: PathBuf, source: io::Error },
    /// The canonical path cannot be written into a message.
    #[error("its path is not valid UTF-8")]
    Encoding { path: PathBuf },
    /// Something that is not a regular file, such as a `directory`.
    #[error("it is a {found}, not a regular file")]
    NotAFile { found: &'static str },
}

impl Unopened {
    pub(super) fn system(path: &Path, source: io::Error) -> Unopened {
        let path = path.to_owned();
        Unopened::System { path, source }
    }

    /// Whether there is no such file.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Unopened::System { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Opens a regular file and judges it and every directory above it. Never waits for it.
pub(super) fn examine(asked: &Path, policy: Policy) -> Result<Seen, Unopened> {
    let (file, path, metadata) = open_regular(asked)?;
    let accounts = match policy.root_alone {
        true => Accounts::trusting(ROOT),
        false => Accounts::trusting(geteuid()),
    };
    let mut findings = Vec::from_iter(Facts::of(&metadata).judge(&path, &accounts));
    for directory in path.ancestors().skip(1) {
        let metadata = directory
            .metadata()
            .map_err(|source| Unopened::system(directory, source))?;
        findings.extend(Facts::of(&metadata).judge(directory, &accounts));
    }
    Ok(Seen { file, path, findings })
}

fn open_regular(asked: &Path) -> Result<(File, PathBuf, Metadata), Unopened> {
    let failed = |source: io::Error| Unopened::system(asked, source);
    let path = asked.canonicalize().map_err(failed)?;
    if path.to_str().is_none() {
        return Err(Unopened::Encoding { path });
    }
    // Without O_NONBLOCK the open of a FIFO waits for somebody to write to it.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK | O_NOFOLLOW | O_NOCTTY)
        .open(&path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_file() {
        return Ok((file, path, metadata));
    }
    let kind = metadata.file_type();
    let found = match () {
        () if kind.is_dir() => "directory",
        () if kind.is_fifo() => "FIFO",
        () if kind.is_char_device() || kind.is_block_device() => "device",
        () => "special file",
    };
    Err(Unopened::NotAFile { found })
}

/// The library in the same directory whose name is most similar to the missing one.
fn neighbour(asked: &Path) -> Option<String> {
    let names = libraries_in(asked.parent()?).ok()?;
    let name = nearest(
        asked.file_name()?.to_str()?,
        names.iter().filter_map(|name| name.to_str()),
    )?;
    Some(asked.with_file_name(name).display().to_string())
}

/// What inode(7) says of one file or directory.
#[derive(Clone, Copy)]
struct Facts {
    mode: u32,
    uid: u32,
    gid: u32,
    directory: bool,
}

impl Facts {
    fn of(metadata: &Metadata) -> Self {
        Facts {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            directory: metadata.is_dir(),
        }
    }

    fn judge(self, path: &Path, accounts: &Accounts) -> Option<Finding> {
        let Facts { mode, uid, gid, .. } = self;
        let protected = self.directory && mode & STICKY != 0;
        let writable = |bit: u32| mode & bit != 0 && !protected;
        let foreign = !accounts.is_trusted(uid);
        let by_group = writable(GROUP_WRITE) && !accounts.is_private_group(gid);
        let by_all = writable(OTHERS_WRITE);
        (foreign || by_group || by_all).then(|| Finding {
            path: path.to_owned(),
            mode,
            owner: accounts::user_name(uid),
            wanted_owner: foreign.then(|| accounts.own_name()),
            writing_group: by_group.then(|| accounts::group_name(gid)),
            writable_by_all: by_all,
        })
    }
}
