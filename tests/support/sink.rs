//! An SMTP server (`smtp_sink.py`, on Debian's python3-aiosmtpd) that keeps every mail it is sent.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::{Directory, eventually, have};

/// The server; it ends when this is dropped.
pub(crate) struct Sink {
    pub(crate) port: u16,
    directory: Directory,
    child: Child,
}

impl Sink {
    /// A server on a free loopback port; `None`, said aloud, where its library is missing.
    #[track_caller]
    pub(crate) fn start() -> Option<Sink> {
        let advice = "Debian: apt-get install python3-aiosmtpd";
        if !have("/usr/bin/python3", &["-c", "import aiosmtpd"], advice) {
            return None;
        }
        let directory = Directory::new();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/support/smtp_sink.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(directory.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("its stdout is ours"))
            .read_line(&mut port)
            .expect("its stdout is readable");
        let port = port.trim().parse().expect("the server says its port");
        Some(Sink {
            port,
            directory,
            child,
        })
    }

    /// Waits for mail number `number`, counted from 1. What it has: see `smtp_sink.py`.
    #[track_caller]
    pub(crate) fn mail(&self, number: u32) -> Value {
        let path = self.directory.path(format!("{number}.json"));
        eventually(&format!("mail {number} arrives"), || {
            serde_json::from_slice(&fs::read(&path).ok()?).ok()
        })
    }

    /// The handler configuration that sends mails here.
    pub(crate) fn mailer_config(&self) -> String {
        format!(
            "[handler.mailer]\nfrom = \"shop@example.org\"\n\
             [handler.mailer.smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n",
            self.port
        )
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
