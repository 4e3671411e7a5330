//! Death certificates: what is kept, across masters, of the jobs that took workers down.
//!
//! Owns the file in the state directory. Which job gets a certificate, and with
//! which sentence, is decided in [`super::autopsy`].

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::libc;
use serde::{Deserialize, Serialize};

use super::pidfile;
use crate::ipc::job_key::ServerMark;

/// The name of the file of certificates in the state directory.
const FILE: &str = "deaths.json";

/// Why a job is under suspicion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Certificate {
    /// The address of its queue server.
    pub(super) server: String,
    /// The job's id.
    pub(super) job: u64,
    /// How many workers it has taken down, or was running in when they died, this one included.
    pub(super) deaths: u32,
    /// Nothing else can have taken the last of them down.
    pub(super) proven: bool,
    /// The logical tube, `-` where it was not known.
    pub(super) tube: String,
    /// The handler that executed it.
    pub(super) handler: String,
    /// Hash of the plugin that the handler came from.
    pub(super) sha256: String,
    /// Pid of the worker.
    pub(super) pid: u32,
    /// Signal or exit code.
    pub(super) ended: String,
    /// The last line that the worker wrote to standard output or error.
    pub(super) last_line: Option<String>,
    /// When the master saw it, RFC 3339.
    pub(super) at: String,
}

impl Certificate {
    /// What the job is called on the scoreboard.
    pub(super) fn key(&self) -> u64 {
        ServerMark::of(&self.server).key(self.job)
    }
}

/// The certificates of the jobs that are under suspicion now.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    list: Vec<Certificate>,
}

impl Certificates {
    /// Reads what an earlier master left. An unreadable file is as good as none.
    pub(super) fn load(state_dir: &Path) -> Certificates {
        let text = read(&state_dir.join(FILE)).unwrap_or_default();
        Certificates {
            list: serde_json::from_slice(&text).unwrap_or_default(),
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.list.iter()
    }

    /// Adds one, and forgets an earlier one of its job and those of jobs that are no suspects any more, by their keys.
    pub(super) fn add(&mut self, certificate: Certificate, is_suspect: impl Fn(u64) -> bool) {
        self.list
            .retain(|known| known.key() != certificate.key() && is_suspect(known.key()));
        self.list.push(certificate);
    }

    /// Replaces the file as a whole.
    pub(super) fn save(&self, state_dir: &Path) -> io::Result<()> {
        // Somebody may have removed it.
        pidfile::make_private(state_dir).map_err(io::Error::other)?;
        let fresh = state_dir.join(format!("{FILE}.new"));
        // What is there was left by a write that was cut short, and is not followed wherever it may lead.
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(&self.list)?)?;
        fs::rename(fresh, state_dir.join(FILE))
    }
}

/// Reads a file, and neither follows a symbolic link nor waits for the other end of a pipe.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?
        .read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(job: u64, deaths: u32) -> Certificate {
        Certificate {
            server: "127.0.0.1:11300".into(),
            job,
            deaths,
            proven: true,
            tube: "mail".into(),
            handler: "mailer".into(),
            sha256: "00".into(),
            pid: 1,
            ended: "SIGSEGV".into(),
            last_line: None,
            at: "2026-11-22T12:00:00+00:00".into(),
        }
    }

    #[test]
    fn certificates_survive_the_master_and_forget_jobs_that_are_settled() {
        let directory = tempfile::tempdir().expect("a directory");
        let state = directory.path().join("removed meanwhile");
        let mut certificates = Certificates::default();
        certificates.add(certificate(1, 1), |_| true);
        let first = certificate(1, 1).key();
        certificates.add(certificate(2, 1), |key| key != first);
        certificates.add(certificate(2, 2), |_| true);
        certificates.save(&state).expect("a file");
        let loaded = Certificates::load(&state);
        assert_eq!(loaded.list, [certificate(2, 2)]);
        assert!(
            Certificates::load(&directory.path().join("nowhere"))
                .list
                .is_empty()
        );
    }

    #[test]
    fn symbolic_links_are_replaced_and_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (state, precious) = (directory.path().join("state"), directory.path().join("precious"));
        pidfile::make_private(&state).expect("a new directory");
        fs::write(&precious, "[]").expect("a file");
        for name in [FILE.to_owned(), format!("{FILE}.new")] {
            std::os::unix::fs::symlink(&precious, state.join(name)).expect("a link");
        }
        read(&state.join(FILE)).expect_err("a link is not read");
        let mut certificates = Certificates::default();
        certificates.add(certificate(1, 1), |_| true);
        certificates.save(&state).expect("the links are in nobody's way");
        assert_eq!(fs::read_to_string(&precious).expect("a file"), "[]");
        assert_eq!(Certificates::load(&state).list, [certificate(1, 1)]);
    }
}
