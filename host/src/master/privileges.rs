//! Which user a master is: with `[daemon] user` it gives root's rights up for good, before it loads anything.
//!
//! As root it only makes things and gives them away: it takes the pid file, opens the control socket, makes the state
//! directory and a log file that is missing. What was there before is opened after that, by the user: root follows no
//! path that the user could have bent.
//!
//! The pid file stays root's, and the user's group may read it, which is what commands need. Where only root can
//! remove it, a daemon that ends empties it instead, and gives the lock up in any case. Socket and state directory are
//! the user's; so is the log file, if it was missing. A restart executes as the user and needs none of root's rights:
//! the open pid file and the socket are handed over.

use std::{
    ffi::CString,
    fs::{self, OpenOptions},
    io,
    os::unix::{
        fs::{OpenOptionsExt, fchown},
        net::UnixListener,
    },
    path::Path,
};

use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::{
        Gid, Group, Uid, User, getegid, geteuid, getresgid, getresuid, initgroups, setegid, seteuid,
        setgroups, setresgid, setresuid,
    },
};
use tracing::debug;

use super::{Failure, pidfile, pidfile::PidFile};
use crate::{config::Daemon, control::server, exit::Exit};

/// Whom the master is to become.
#[derive(Debug)]
struct Account {
    /// The name in passwd(5); a user that is only a number has none.
    name: Option<CString>,
    uid: Uid,
    /// The group that it will have.
    gid: Gid,
    /// The group that the user has when it gives commands.
    own_gid: Gid,
}

/// A pid file and a control socket that were taken before the settings were known to work. Dropped, they are released.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pid_file: Option<PidFile>,
    control: Option<UnixListener>,
}

impl Taken {
    /// Both, for good.
    pub(super) fn keep(mut self) -> Option<(PidFile, UnixListener)> {
        self.pid_file.take().zip(self.control.take())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(pid_file) = self.pid_file.take() {
            // One that cannot be removed is removed by the next start.
            let _ = fs::remove_file(pidfile::socket_path(pid_file.path()));
            pid_file.release();
        }
    }
}

/// Finds out whether the user and the group that the settings name exist.
pub(crate) fn look_up(daemon: &Daemon) -> Result<(), Failure> {
    let account = daemon
        .user
        .as_deref()
        .map(|user| Account::find(user, daemon.group.as_deref()));
    account.transpose().map(drop)
}

/// Makes what has to be made as root and becomes the user that the settings name.
///
/// Does nothing where they name none, or the one that this process is already.
pub(super) fn give_up(daemon: &Daemon) -> Result<Taken, Failure> {
    let Some(user) = &daemon.user else {
        return Ok(Taken::default());
    };
    let account = Account::find(user, daemon.group.as_deref())?;
    if account.is_this_process() {
        return Ok(Taken::default());
    }
    if !geteuid().is_root() {
        let (uid, gid) = (account.uid, account.gid);
        let text = format!(
            "cannot become user `{user}` (uid {uid}, gid {gid}): uid {} and gid {} started the daemon, and only root becomes somebody else\n  hint: start it as root, or as that user",
            geteuid(),
            getegid()
        );
        return Err(Failure::new(Exit::NoPermission, text));
    }
    let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
    let mut taken = Taken::default();
    let pid_file = PidFile::acquire(&daemon.pid_file, daemon.private_dir.as_deref())?;
    let pid_file = taken.pid_file.insert(pid_file);
    pid_file.show_to(account.own_gid.as_raw())?;
    pidfile::make_private_for(&pidfile::state_dir(pid_file.path()), uid, gid)?;
    let socket = pidfile::socket_path(pid_file.path());
    let control = server::listen(&socket, Some((uid, gid))).map_err(|error| no_socket(&socket, error))?;
    taken.control = Some(control);
    if let Some(path) = &daemon.log_path {
        make_log(path, &account);
    }
    account.assume().map_err(|error| {
        Failure::new(
            Exit::NoPermission,
            format!("cannot become user `{user}`: {error}"),
        )
    })?;
    Ok(taken)
}

/// The control socket cannot be opened.
pub(super) fn no_socket(path: &Path, error: io::Error) -> Failure {
    Failure::cannot(&format!("open control socket `{}`", path.display()), error)
}

/// Gives the user a log file where there is none. It is opened later, by the user, who finds out what else is wrong.
fn make_log(path: &Path, account: &Account) {
    let made = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    if let Ok(file) = made {
        let _ = fchown(&file, Some(account.uid.as_raw()), Some(account.gid.as_raw()));
    }
}

impl Account {
    /// Looks a user and a group up, each by name or number.
    fn find(user: &str, group: Option<&str>) -> Result<Account, Failure> {
        let unknown = |text: String| Failure::new(Exit::Config, text);
        let failed = |what: &str, error: Errno| {
            let text = format!("cannot look `{what}` up: {error}");
            Failure::new(Exit::Unavailable, text)
        };
        let number = user.parse::<u32>().ok().map(Uid::from_raw);
        let entry = match number {
            Some(uid) => User::from_uid(uid),
            None => User::from_name(user),
        };
        let entry = entry.map_err(|error| failed(user, error))?;
        let group_id = match group.map(|group| (group, group.parse::<u32>())) {
            None => None,
            Some((_, Ok(number))) => Some(Gid::from_raw(number)),
            Some((name, Err(_))) => {
                let found = Group::from_name(name).map_err(|error| failed(name, error))?;
                let gid = found.ok_or_else(|| {
                    unknown(format!(
                        "`daemon.group`: there is no group `{name}` on this system"
                    ))
                })?;
                Some(gid.gid)
            }
        };
        match (entry, number, group_id) {
            (Some(entry), ..) => Ok(Account {
                name: CString::new(entry.name).ok(),
                uid: entry.uid,
                gid: group_id.unwrap_or(entry.gid),
                own_gid: entry.gid,
            }),
            (None, Some(uid), Some(gid)) => Ok(Account {
                name: None,
                uid,
                gid,
                own_gid: gid,
            }),
            (None, Some(uid), None) => Err(unknown(format!(
                "`daemon.user`: no user of this system has the number {uid}, so there is no group either\n  hint: give a `group` as well"
            ))),
            (None, None, _) => Err(unknown(format!(
                "`daemon.user`: there is no user `{user}` on this system"
            ))),
        }
    }

    fn is_this_process(&self) -> bool {
        (geteuid(), getegid()) == (self.uid, self.gid)
    }

    /// Becomes this account in every respect, and makes sure that there is no way back.
    ///
    /// Groups come first: they are changed with the rights that go with the user.
    fn assume(&self) -> io::Result<()> {
        match &self.name {
            Some(name) => initgroups(name, self.gid)?,
            None => setgroups(&[self.gid])?,
        }
        setresgid(self.gid, self.gid, self.gid)?;
        setresuid(self.uid, self.uid, self.uid)?;
        let (user, group) = (getresuid()?, getresgid()?);
        let is_user = [user.real, user.effective, user.saved] == [self.uid; 3];
        let is_group = [group.real, group.effective, group.saved] == [self.gid; 3];
        let root = Uid::from_raw(0);
        let comes_back = self.uid != root && seteuid(root).is_ok();
        let regains_group = self.uid != root && self.gid.as_raw() != 0 && setegid(Gid::from_raw(0)).is_ok();
        if !is_user || !is_group || comes_back || regains_group {
            return Err(io::Error::other("root's rights can still be had back"));
        }
        Ok(())
    }
}

/// Raises the soft limit of open files to the hard one: a master holds a link and an output file for each worker, and
/// each slot of a worker a connection. Workers inherit it where their pool sets none.
pub(super) fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        debug!(error = %error, "the limit of open files stays what it was");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name_and_number_and_strangers_are_named() {
        let root = Account::find("root", None).expect("every system has it");
        assert_eq!((root.uid.as_raw(), root.gid.as_raw()), (0, 0));
        let numbers = Account::find("3000001", Some("3000002")).expect("numbers need no entry");
        assert_eq!(
            (numbers.uid.as_raw(), numbers.gid.as_raw(), numbers.name),
            (3_000_001, 3_000_002, None)
        );
        for (user, group, part) in [
            ("no-such-user", None, "no user `no-such-user`"),
            ("3000001", None, "give a `group` as well"),
            ("root", Some("no-such-group"), "no group `no-such-group`"),
        ] {
            let failure = Account::find(user, group).expect_err("there is none");
            assert_eq!(failure.exit, Exit::Config);
            assert!(failure.error.contains(part), "{}", failure.error);
        }
    }
}
