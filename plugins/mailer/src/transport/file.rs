//! Writing mails as `.eml` files, for trying out and for another program to collect.
//!
//! A file holds the mail as its receivers would get it; the envelope, and with it `bcc`, is not kept.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::Accepted;
use crate::message::unique;

/// The directory that mails are written into.
#[derive(Debug)]
pub(crate) struct FileTransport {
    dir: PathBuf,
}

/// The mail could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`: {source}", path.display())]
pub(crate) struct FileError {
    path: PathBuf,
    source: io::Error,
}

impl FileTransport {
    pub(crate) fn new(dir: PathBuf) -> FileTransport {
        FileTransport { dir }
    }

    /// Writes the mail under a temporary name that begins with a dot, then renames it to `NAME.eml`, so that a reader
    /// of `*.eml` sees whole mails only. Names sort by time.
    pub(super) fn send(&self, mail: &[u8]) -> Result<Accepted, FileError> {
        let name = unique();
        let path = self.dir.join(format!("{name}.eml"));
        let temporary = self.dir.join(format!(".{name}.tmp"));
        let written = write_new(&temporary, mail).and_then(|()| fs::rename(&temporary, &path));
        match written {
            Ok(()) => Ok(Accepted {
                answer: path.display().to_string(),
                code: None,
            }),
            Err(source) => {
                // Best effort: the error that is told is the first one.
                let _ = fs::remove_file(&temporary);
                Err(FileError { path, source })
            }
        }
    }
}

/// Writes a file that must not exist yet, down to the disk: the job is deleted right after.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
