//! Directories that are one user's alone: the one of a default pid file, and the state directory.
//!
//! They are made and judged without following a symbolic link, and judged by the open directory, whose name others may
//! be able to give to something else. What lies in them is their owners' business.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    },
    path::Path,
};

use nix::{libc, unistd::geteuid};

use super::{PidFileError, io_error};

/// Creates a directory with mode 0700 where it is missing; refuses one that others could use, and a symbolic link.
pub fn make_private(directory: &Path) -> Result<(), PidFileError> {
    let wanted = geteuid().as_raw();
    match open_private(directory, wanted)? {
        (_, found) if found.uid() == wanted => Ok(()),
        (_, found) => Err(not_private(directory, wanted, &found)),
    }
}

/// The same for a directory that is to be another user's, which only root can give away.
///
/// A directory of root's own is given away while nothing is in it: what root left there is not the other user's.
pub fn make_private_for(directory: &Path, uid: u32, gid: u32) -> Result<(), PidFileError> {
    let (opened, found) = open_private(directory, uid)?;
    if found.uid() == uid {
        return Ok(());
    }
    let inspect = io_error("inspect directory", directory);
    // By its descriptor: the name may lead elsewhere by now.
    let mut entries = fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd())).map_err(inspect)?;
    if found.uid() != geteuid().as_raw() || entries.next().is_some() {
        return Err(not_private(directory, uid, &found));
    }
    fchown(&opened, Some(uid), Some(gid)).map_err(io_error("give away directory", directory))
}

/// Opens a directory that nobody but its owner can use, and creates it where it is missing.
fn open_private(directory: &Path, wanted: u32) -> Result<(File, Metadata), PidFileError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("create directory", directory)(error)),
    }
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(directory);
    let inspect = io_error("inspect directory", directory);
    match opened.and_then(|opened| opened.metadata().map(|found| (opened, found))) {
        Ok((opened, found)) if found.mode() & 0o077 == 0 => Ok((opened, found)),
        Ok((_, found)) => Err(not_private(directory, wanted, &found)),
        Err(error) => {
            // Somebody else's directory cannot be opened, and neither can what is none.
            let found = fs::symlink_metadata(directory).map_err(|_| inspect(error))?;
            Err(not_private(directory, wanted, &found))
        }
    }
}

fn not_private(directory: &Path, wanted: u32, found: &Metadata) -> PidFileError {
    let kind = match () {
        () if found.is_dir() => "a directory",
        () if found.is_symlink() => "a symbolic link",
        () => "no directory",
    };
    PidFileError::Directory {
        path: directory.to_owned(),
        wanted,
        found: format!(
            "{kind} of uid {} with mode {:04o}",
            found.uid(),
            found.mode() & 0o7777
        ),
    }
}
