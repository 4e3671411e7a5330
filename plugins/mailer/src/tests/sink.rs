//! A real SMTP server (`tests/support/smtp_sink.py`, on Debian's python3-aiosmtpd) as a child of the test.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use plugin_api::serde_json::{self, Value};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// What the server demands of its clients.
#[derive(Clone, Copy)]
pub(super) struct Options {
    /// `none`, `starttls` or `implicit`.
    pub(super) tls: &'static str,
    /// User and password.
    pub(super) login: Option<(&'static str, &'static str)>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            tls: "none",
            login: None,
        }
    }
}

/// The running server; it ends when this is dropped.
pub(super) struct Sink {
    pub(super) port: u16,
    directory: TempDir,
    child: Child,
}

impl Sink {
    /// Starts a server on a free port; `None`, said aloud, where this machine has none.
    pub(super) fn start(options: Options) -> Option<Sink> {
        Sink::start_on(0, options)
    }

    pub(super) fn start_on(port: u16, options: Options) -> Option<Sink> {
        if !is_installed() {
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        write_certificates(directory.path());
        fs::create_dir(directory.path().join("mails")).expect("a directory");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/support/smtp_sink.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(directory.path().join("mails"));
        command.args(["--port", &port.to_string(), "--tls", options.tls]);
        command.arg("--cert").arg(directory.path().join("server.pem"));
        command.arg("--key").arg(directory.path().join("server.key"));
        if let Some((user, password)) = options.login {
            command
                .arg("--auth")
                .env("SMTP_SINK_USER", user)
                .env("SMTP_SINK_PASSWORD", password);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its stdout is ours");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("its stdout is readable");
        let port = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the SMTP sink did not start: it said `{line}`"));
        Some(Sink {
            port,
            directory,
            child,
        })
    }

    /// The certificate authority that signed the server's certificate.
    pub(super) fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// Mail number `number`, from 1; it is there as soon as the server has accepted it.
    #[track_caller]
    pub(super) fn mail(&self, number: u32) -> Value {
        let path = self.directory.path().join(format!("mails/{number}.json"));
        let text = fs::read(&path).unwrap_or_else(|error| panic!("mail {number} was not accepted: {error}"));
        serde_json::from_slice(&text).expect("the sink writes JSON")
    }

    pub(super) fn is_empty(&self) -> bool {
        fs::read_dir(self.directory.path().join("mails"))
            .expect("the directory")
            .next()
            .is_none()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Whether the server's library is there; with `CI=true` it must be.
#[allow(clippy::print_stderr, reason = "a skipped test has to be seen")]
fn is_installed() -> bool {
    let probe = Command::new("/usr/bin/python3")
        .args(["-c", "import aiosmtpd"])
        .stderr(Stdio::null())
        .status();
    let installed = probe.is_ok_and(|status| status.success());
    if !installed {
        let advice = "/usr/bin/python3 has no `aiosmtpd` (Debian: apt-get install python3-aiosmtpd)";
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{advice}");
        eprintln!("SKIPPED: {advice}");
    }
    installed
}

/// A certificate authority of this test's own, and a certificate of it for 127.0.0.1.
fn write_certificates(directory: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address");
    let server = server.signed_by(&key, &authority).expect("a certificate");
    for (name, text) in [
        ("authority.pem", authority.pem()),
        ("server.pem", server.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        fs::write(directory.join(name), text).expect("the file is written");
    }
}
