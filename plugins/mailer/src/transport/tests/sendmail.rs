//! `sendmail`, played by shell scripts.

use std::{fs, path::Path, process::Command};

use super::{MAIL, envelope, failure};
use crate::transport::{Sendmail, Transport};

/// A `sendmail` that runs `script`.
///
/// A child writes it: while this process has it open for writing, another test's child may inherit the descriptor, and
/// running the script would fail with `ETXTBSY`.
fn script(directory: &Path, script: &str) -> Transport {
    let path = directory.join("sendmail");
    let write = "printf '#!/bin/sh\n%s\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
    let mut command = Command::new("/bin/sh");
    let status = command
        .args(["-c", write, "sh"])
        .arg(&path)
        .arg(script)
        .status()
        .expect("sh runs");
    assert!(status.success());
    Transport::Sendmail(Sendmail::new(path))
}

/// A `sendmail` that keeps its arguments and input beside itself, then does what `end` says.
fn sendmail(directory: &Path, end: &str) -> Transport {
    let home = directory.display();
    script(
        directory,
        &format!("echo \"$@\" > {home}/arguments\ncat > {home}/mail\n{end}"),
    )
}

#[test]
fn sendmail_gets_the_envelope_as_arguments_and_the_mail_as_input() {
    let directory = tempfile::tempdir().expect("a directory");
    let transport = sendmail(directory.path(), "exit 0");
    transport
        .send(&envelope(&["a@example.org", "b@example.org"]), MAIL)
        .expect("the mail is sent");
    let arguments = fs::read_to_string(directory.path().join("arguments")).expect("the arguments");
    assert_eq!(
        arguments,
        "-i -f shop@example.org -- a@example.org b@example.org\n"
    );
    assert_eq!(fs::read(directory.path().join("mail")).expect("the mail"), MAIL);
}

#[test]
fn the_exit_code_of_sendmail_decides_between_retry_and_bury() {
    let directory = tempfile::tempdir().expect("a directory");
    let cases = [
        (
            "echo 'no such user' >&2; exit 67",
            false,
            "ended with exit status: 67: no such user",
        ),
        ("exit 65", false, "ended with exit status: 65: "),
        ("exit 68", false, "ended with exit status: 68: "),
        (
            "echo 'queue full' >&2; exit 75",
            true,
            "ended with exit status: 75: queue full",
        ),
        ("exit 69", true, "ended with exit status: 69: "),
        ("exit 1", true, "ended with exit status: 1: "),
        ("kill -KILL $$", true, "ended with signal: 9"),
    ];
    for (end, expected, words) in cases {
        let (may_pass, text) = failure(&sendmail(directory.path(), end), &["a@example.org"]);
        assert!(text.contains(words), "{end}: {text}");
        assert_eq!(may_pass, expected, "{end}: {text}");
    }
    let (may_pass, text) = failure(
        &Transport::Sendmail(Sendmail::new("/nonexistent".into())),
        &["a@example.org"],
    );
    assert!(
        may_pass && text.starts_with("cannot run `/nonexistent`: No such file"),
        "{text}"
    );
}

#[test]
fn a_sendmail_that_complains_at_length_before_it_reads_does_not_hang() {
    let directory = tempfile::tempdir().expect("a directory");
    let transport = script(
        directory.path(),
        "head -c 300000 /dev/zero | tr '\\0' x >&2\ncat > /dev/null\nexit 75",
    );
    let mail = vec![b'y'; 300_000];
    let error = transport
        .send(&envelope(&["a@example.org"]), &mail)
        .expect_err("it refuses");
    assert!(
        error.to_string().contains("75: xxx") && error.to_string().len() < 700,
        "{error}"
    );
}

#[test]
fn a_sendmail_that_succeeds_without_reading_the_mail_has_not_sent_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let transport = script(directory.path(), "exit 0");
    // More than a pipe holds, so that it cannot be written to the end without a reader.
    let mail = vec![b'y'; 300_000];
    let error = transport
        .send(&envelope(&["a@example.org"]), &mail)
        .expect_err("it did not read");
    assert!(
        error.may_pass() && error.to_string().starts_with("cannot hand the mail to"),
        "{error}"
    );
}
