//! A receiver in Python (`receiver.py`), which verifies by the README's function, in clear and over TLS.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use plugin_api::{serde_json::json, testing::Verdict};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use super::{posting_to, readme};

/// The server; it ends when this is dropped.
struct Receiver {
    port: u16,
    child: Child,
}

impl Receiver {
    #[track_caller]
    fn start(directory: &TempDir, tls: &[&Path]) -> Receiver {
        let verify = directory.path().join("verify.py");
        fs::write(&verify, readme::block("python")).expect("a file");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/receiver.py");
        let mut child = Command::new("python3")
            .arg(script)
            .arg(verify)
            .arg("shared")
            .args(tls)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed (Debian: apt-get install python3)");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("its stdout is ours");
        BufReader::new(stdout)
            .read_line(&mut port)
            .expect("its stdout is readable");
        let port = port.trim().parse().expect("the server says its port");
        Receiver { port, child }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn a_receiver_that_goes_by_the_readme_accepts_only_what_is_signed_with_its_secret() {
    let directory = tempfile::tempdir().expect("a directory");
    let receiver = Receiver::start(&directory, &[]);
    let url = format!("http://127.0.0.1:{}/", receiver.port);
    let job = json!({"text": "grün", "list": []});
    let outcome = posting_to(&url, json!({"secret": "shared"}))
        .tube("mail")
        .run(job.clone());
    let result = json!({"status": 200, "body": {"job": job, "tube": "mail"}});
    assert_eq!((outcome.verdict, outcome.result), (Verdict::Done, Some(result)));

    for config in [json!({"secret": "other"}), json!({})] {
        let outcome = posting_to(&url, config).run(job.clone());
        assert_eq!(outcome.verdict, Verdict::Bury);
        assert!(
            outcome.message.contains("answered 401 Unauthorized"),
            "{}",
            outcome.message
        );
    }
}

#[test]
fn a_certificate_is_trusted_by_the_configured_authority_and_for_its_name_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (cert_file, key_file) = (
        directory.path().join("cert.pem"),
        directory.path().join("key.pem"),
    );
    fs::write(&cert_file, cert.pem()).expect("a file");
    fs::write(&key_file, signing_key.serialize_pem()).expect("a file");
    let receiver = Receiver::start(&directory, &[&cert_file, &key_file]);
    let to = |host: &str| format!("https://{host}:{}/", receiver.port);

    let trusting = json!({"secret": "shared", "ca_file": cert_file});
    let harness = posting_to(to("localhost"), trusting.clone());
    for _ in 0..2 {
        let outcome = harness.run(json!(1));
        assert_eq!(outcome.verdict, Verdict::Done, "{outcome:?}");
    }
    for harness in [
        posting_to(to("localhost"), json!({"secret": "shared"})),
        posting_to(to("127.0.0.1"), trusting),
    ] {
        let outcome = harness.run(json!(1));
        assert_eq!(outcome.verdict, Verdict::Failed);
        assert!(outcome.message.contains("certificate"), "{}", outcome.message);
    }
}
