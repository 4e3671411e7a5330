//! Failures, each played by a scripted server or command, and what they mean for the job.

mod server;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use lettre::{
    address::{Address, Envelope},
    transport::smtp::{authentication::Credentials, extension::ClientId},
};

use self::server::{Reply, Server};
use super::{
    Accepted, FileTransport, Security, SendError, Sendmail, Smtp, SmtpSettings, Transport, one_line,
};

const MAIL: &[u8] = b"Subject: hi\r\n\r\nhello\r\n";

fn envelope(to: &[&str]) -> Envelope {
    let parse = |text: &&str| text.parse::<Address>().expect("an address");
    Envelope::new(Some(parse(&"shop@example.org")), to.iter().map(parse).collect()).expect("an envelope")
}

fn settings(server: &Server) -> SmtpSettings {
    SmtpSettings {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        security: Security::None,
        credentials: None,
        hello: ClientId::Domain("client.example.org".to_owned()),
        timeout: Duration::from_secs(20),
        pool_size: 1,
        idle: Duration::from_secs(60),
    }
}

fn client(server: &Server) -> Transport {
    Transport::Smtp(Smtp::new(settings(server)))
}

#[track_caller]
fn failure(transport: &Transport, to: &[&str]) -> (bool, String) {
    let error: SendError = transport
        .send(&envelope(to), MAIL)
        .expect_err("the mail is not sent");
    (error.may_pass(), error.to_string())
}

#[test]
fn what_the_server_says_decides_between_retry_and_bury() {
    use Reply::Say;
    let (retry, bury) = (true, false);
    let cases = [
        (
            "greeting",
            Say("421 4.3.2 try later"),
            retry,
            "refused the connection: 421 4.3.2 try later",
        ),
        (
            "greeting",
            Say("554 5.7.1 you are blocked"),
            retry,
            "refused the connection: 554 5.7.1 you are blocked",
        ),
        ("EHLO", Say("550 no"), retry, "refused the connection: 550 no"),
        (
            "MAIL",
            Say("421 4.3.2 closing"),
            retry,
            "refused sender `shop@example.org`: 421 4.3.2 closing",
        ),
        (
            "MAIL",
            Say("451 4.3.0 later"),
            retry,
            "refused sender `shop@example.org`: 451 4.3.0 later",
        ),
        (
            "MAIL",
            Say("530 5.7.0 log in first"),
            retry,
            "refused sender `shop@example.org`: 530 5.7.0 log in first",
        ),
        (
            "MAIL",
            Say("553 5.7.1 not yours"),
            bury,
            "refused sender `shop@example.org`: 553 5.7.1 not yours",
        ),
        (
            "RCPT",
            Say("450 4.2.0 greylisted"),
            retry,
            "refused recipient `a@example.org`: 450 4.2.0 greylisted",
        ),
        (
            "RCPT",
            Say("550-5.1.1 no such\r\n550 5.1.1 user"),
            bury,
            "refused recipient `a@example.org`: 550 5.1.1 no such",
        ),
        ("DATA", Say("451 later"), retry, "refused DATA: 451 later"),
        (
            "mail",
            Say("452 4.3.1 disk full"),
            retry,
            "refused the mail: 452 4.3.1 disk full",
        ),
        (
            "mail",
            Say("554 5.6.0 spam"),
            bury,
            "refused the mail: 554 5.6.0 spam",
        ),
        (
            "mail",
            Say("552 5.3.4 too big"),
            bury,
            "refused the mail: 552 5.3.4 too big",
        ),
        (
            "greeting",
            Say("what?"),
            retry,
            "failed at the connection: response error",
        ),
        (
            "greeting",
            Reply::HangUp,
            retry,
            "failed at the connection: the server closed the connection",
        ),
        (
            "RCPT",
            Reply::HangUp,
            retry,
            "failed at recipient `a@example.org`: the server closed the connection",
        ),
        (
            "mail",
            Reply::HangUp,
            retry,
            "failed at the mail: the server closed the connection",
        ),
    ];
    for (at, reply, expected, words) in cases {
        let server = Server::start(vec![vec![(at, reply)]]);
        let (may_pass, text) = failure(&client(&server), &["a@example.org"]);
        assert!(
            text.starts_with(&format!("`127.0.0.1:{}` {words}", server.port)),
            "{at} {reply:?}: {text}"
        );
        assert_eq!(may_pass, expected, "{at} {reply:?}: {text}");
    }
}

#[test]
fn a_silent_server_is_given_up_after_the_timeout() {
    for at in ["greeting", "RCPT", "mail"] {
        let server = Server::start(vec![vec![(at, Reply::Silence)]]);
        let smtp = Smtp::new(SmtpSettings {
            timeout: Duration::from_millis(300),
            ..settings(&server)
        });
        let (may_pass, text) = failure(&Transport::Smtp(smtp), &["a@example.org"]);
        assert!(
            may_pass && text.ends_with(": no answer within 300ms"),
            "{at}: {text}"
        );
    }
}

#[test]
fn a_server_that_is_down_is_tried_again() {
    let server = Server::start(vec![]);
    let transport = client(&server);
    server.finish();
    let (may_pass, text) = failure(&transport, &["a@example.org"]);
    assert!(
        may_pass && text.contains("failed at the connection: ") && text.contains("Connection refused"),
        "{text}"
    );
}

#[test]
fn a_refused_login_is_the_operators_business_and_does_not_bury() {
    let server = Server::start(vec![vec![
        ("EHLO", Reply::Say("250-scripted.example.org\r\n250 AUTH PLAIN")),
        ("AUTH", Reply::Say("535 5.7.8 wrong user or password")),
    ]]);
    let credentials = Some(Credentials::new("shop".to_owned(), "s3cret".to_owned()));
    let transport = Transport::Smtp(Smtp::new(SmtpSettings {
        credentials,
        ..settings(&server)
    }));
    let (may_pass, text) = failure(&transport, &["a@example.org"]);
    assert!(
        may_pass && text.ends_with("refused the login: 535 5.7.8 wrong user or password"),
        "{text}"
    );
    assert!(
        !text.contains("s3cret") && !format!("{transport:?}").contains("s3cret"),
        "{text}"
    );
}

#[test]
fn a_mail_is_not_sent_in_clear_where_starttls_is_demanded() {
    let server = Server::start(vec![vec![]]);
    let parameters =
        lettre::transport::smtp::client::TlsParameters::new("127.0.0.1".to_owned()).expect("parameters");
    let security = Security::Starttls(parameters);
    let transport = Transport::Smtp(Smtp::new(SmtpSettings {
        security,
        ..settings(&server)
    }));
    let (may_pass, text) = failure(&transport, &["a@example.org"]);
    assert!(
        may_pass && text.contains("failed at STARTTLS: it does not offer STARTTLS"),
        "{text}"
    );
    assert_eq!(server.finish(), ["EHLO client.example.org", "QUIT"]);
}

#[test]
fn one_refused_recipient_stops_the_whole_mail() {
    let server = Server::start(vec![vec![("RCPT TO:<b@", Reply::Say("550 5.1.1 unknown"))]]);
    let transport = client(&server);
    let (may_pass, text) = failure(&transport, &["a@example.org", "b@example.org"]);
    assert!(!may_pass && text.contains("recipient `b@example.org`"), "{text}");
    drop(transport);
    let expected = [
        "EHLO client.example.org",
        "MAIL FROM:<shop@example.org>",
        "RCPT TO:<a@example.org>",
        "RCPT TO:<b@example.org>",
        "RSET",
    ];
    assert_eq!(server.finish(), expected);
}

#[test]
fn a_connection_is_used_again_after_a_mail_and_after_a_refusal() {
    let server = Server::start(vec![vec![("RCPT TO:<b@", Reply::Say("550 5.1.1 unknown"))]]);
    let transport = client(&server);
    let sent = transport
        .send(&envelope(&["a@example.org"]), MAIL)
        .expect("the mail is sent");
    assert_eq!(
        sent,
        Accepted {
            answer: "250 2.0.0 taken".to_owned(),
            code: Some(250)
        }
    );
    failure(&transport, &["b@example.org"]);
    transport
        .send(&envelope(&["a@example.org"]), MAIL)
        .expect("the mail is sent");
    drop(transport);
    let commands = server.finish();
    assert_eq!(
        commands
            .iter()
            .filter(|command| command.starts_with("EHLO"))
            .count(),
        1,
        "{commands:?}"
    );
    assert_eq!(
        commands.iter().filter(|command| *command == "DATA").count(),
        2,
        "{commands:?}"
    );
}

#[test]
fn a_connection_that_died_while_it_waited_is_replaced_unseen() {
    for goodbye in [Reply::HangUp, Reply::Say("421 4.4.2 idle too long")] {
        // The second `MAIL` of the first connection meets a server that has gone.
        let first = vec![("MAIL", Reply::Say("250 2.1.0 ok")), ("MAIL", goodbye)];
        let server = Server::start(vec![first, vec![]]);
        let transport = client(&server);
        for _ in 0..2 {
            transport
                .send(&envelope(&["a@example.org"]), MAIL)
                .expect("the mail is sent");
        }
        drop(transport);
        let commands = server.finish();
        assert_eq!(
            commands.iter().filter(|command| *command == "DATA").count(),
            2,
            "{goodbye:?}: {commands:?}"
        );
    }
}

#[test]
fn a_connection_that_waited_too_long_is_closed_politely() {
    let server = Server::start(vec![vec![], vec![]]);
    let transport = Transport::Smtp(Smtp::new(SmtpSettings {
        idle: Duration::ZERO,
        ..settings(&server)
    }));
    for _ in 0..2 {
        transport
            .send(&envelope(&["a@example.org"]), MAIL)
            .expect("the mail is sent");
    }
    drop(transport);
    let commands = server.finish();
    assert_eq!(
        commands
            .iter()
            .filter(|command| command.starts_with("EHLO"))
            .count(),
        2,
        "{commands:?}"
    );
    assert_eq!(
        commands.iter().filter(|command| *command == "QUIT").count(),
        1,
        "{commands:?}"
    );
}

#[test]
fn an_address_outside_ascii_needs_a_server_that_takes_it() {
    let (may_pass, text) = failure(&client(&Server::start(vec![vec![]])), &["jörg@example.org"]);
    assert!(!may_pass && text.contains("does not offer SMTPUTF8"), "{text}");

    let server = Server::start(vec![vec![(
        "EHLO",
        Reply::Say("250-scripted.example.org\r\n250 SMTPUTF8"),
    )]]);
    let transport = client(&server);
    transport
        .send(&envelope(&["jörg@example.org"]), MAIL)
        .expect("the mail is sent");
    drop(transport);
    let commands = server.finish();
    assert!(
        commands
            .iter()
            .any(|command| command == "MAIL FROM:<shop@example.org> SMTPUTF8"),
        "{commands:?}"
    );
}

/// A `sendmail` that keeps its arguments and input beside itself, then does what `end` says.
fn sendmail(directory: &Path, end: &str) -> Transport {
    let path = directory.join("sendmail");
    let home = directory.display();
    fs::write(
        &path,
        format!("#!/bin/sh\necho \"$@\" > {home}/arguments\ncat > {home}/mail\n{end}\n"),
    )
    .expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode is set");
    Transport::Sendmail(Sendmail::new(path))
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
    let path = directory.path().join("sendmail");
    fs::write(
        &path,
        "#!/bin/sh\nhead -c 300000 /dev/zero | tr '\\0' x >&2\ncat > /dev/null\nexit 75\n",
    )
    .expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode is set");
    let mail = vec![b'y'; 300_000];
    let error = Sendmail::new(path)
        .send(&envelope(&["a@example.org"]), &mail)
        .expect_err("it refuses");
    assert!(error.to_string().chars().count() < 700, "{error}");
}

#[test]
fn files_appear_whole_and_under_names_that_sort_by_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let transport = Transport::File(FileTransport::new(directory.path().to_owned()));
    let mut names = Vec::new();
    for _ in 0..3 {
        let accepted = transport
            .send(&envelope(&["a@example.org"]), MAIL)
            .expect("the mail is written");
        assert_eq!(fs::read(&accepted.answer).expect("the file"), MAIL);
        names.push(accepted.answer);
    }
    let listed = fs::read_dir(directory.path()).expect("the directory").count();
    assert_eq!(listed, 3, "no temporary file is left");
    assert!(names.iter().all(|name| name.ends_with(".eml")), "{names:?}");
}

#[test]
fn a_directory_that_vanished_is_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let gone = directory.path().join("gone");
    let (may_pass, text) = failure(
        &Transport::File(FileTransport::new(gone.clone())),
        &["a@example.org"],
    );
    assert!(
        may_pass && text.starts_with(&format!("cannot write `{}/", gone.display())),
        "{text}"
    );
}

#[test]
fn foreign_words_are_kept_on_one_bounded_line() {
    assert_eq!(
        one_line("5.1.1 no\r\n  such\tuser\u{1b}[2J\n"),
        "5.1.1 no such user [2J"
    );
    assert_eq!(one_line(&"ä".repeat(600)).chars().count(), 501);
}
