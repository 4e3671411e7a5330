//! Failures, each played by a scripted server or command, and what they mean for the job.

mod file;
mod sendmail;
mod server;
mod smtp;

use lettre::address::{Address, Envelope};

use super::{SendError, Transport, one_line};

const MAIL: &[u8] = b"Subject: hi\r\n\r\nhello\r\n";

fn envelope(to: &[&str]) -> Envelope {
    let parse = |text: &&str| text.parse::<Address>().expect("an address");
    Envelope::new(Some(parse(&"shop@example.org")), to.iter().map(parse).collect()).expect("an envelope")
}

/// Whether another attempt may succeed, and the error's text.
#[track_caller]
fn failure(transport: &Transport, to: &[&str]) -> (bool, String) {
    let error: SendError = transport
        .send(&envelope(to), MAIL)
        .expect_err("the mail is not sent");
    (error.may_pass(), error.to_string())
}

#[test]
fn foreign_words_are_kept_on_one_bounded_line() {
    assert_eq!(
        one_line("5.1.1 no\r\n  such\tuser\u{1b}[2J\n"),
        "5.1.1 no such user [2J"
    );
    assert_eq!(one_line(&"ä".repeat(600)).chars().count(), 501);
}
