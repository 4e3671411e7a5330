//! SMTP against a scripted server.

use std::time::Duration;

use lettre::transport::smtp::{authentication::Credentials, client::TlsParameters, extension::ClientId};

use super::{
    MAIL, envelope, failure,
    server::{Reply, Server},
};
use crate::transport::{Accepted, Security, Smtp, SmtpSettings, Transport};

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
    with(settings(server))
}

fn with(settings: SmtpSettings) -> Transport {
    Transport::Smtp(Box::new(Smtp::new(settings)))
}

/// Sends twice, and returns the commands that the server got by then.
fn twice(transport: Transport, server: Server) -> Vec<String> {
    for _ in 0..2 {
        transport
            .send(&envelope(&["a@example.org"]), MAIL)
            .expect("the mail is sent");
    }
    drop(transport);
    server.finish()
}

fn count(commands: &[String], start: &str) -> usize {
    commands
        .iter()
        .filter(|command| command.starts_with(start))
        .count()
}

/// What the errors call the moments of a script.
fn step(at: &str) -> &'static str {
    match at {
        "greeting" | "EHLO" => "the connection",
        "MAIL" => "sender `shop@example.org`",
        "RCPT" => "recipient `a@example.org`",
        "DATA" => "DATA",
        _ => "the mail",
    }
}

#[test]
fn what_the_server_says_decides_between_retry_and_bury() {
    let (retry, bury) = (true, false);
    let cases = [
        ("greeting", "421 4.3.2 try later", retry),
        ("greeting", "554 5.7.1 you are blocked", retry),
        ("EHLO", "550 no", retry),
        ("MAIL", "421 4.3.2 closing", retry),
        ("MAIL", "451 4.3.0 later", retry),
        ("MAIL", "530 5.7.0 log in first", retry),
        ("MAIL", "553 5.7.1 not yours", bury),
        ("RCPT", "450 4.2.0 greylisted", retry),
        ("RCPT", "550 5.1.1 no such user", bury),
        ("DATA", "451 later", retry),
        ("DATA", "554 no valid recipients", bury),
        ("mail", "452 4.3.1 disk full", retry),
        ("mail", "552 5.3.4 too big", bury),
        ("mail", "554 5.6.0 spam", bury),
    ];
    for (at, reply, expected) in cases {
        let server = Server::start(vec![vec![(at, Reply::Say(reply))]]);
        let (may_pass, text) = failure(&client(&server), &["a@example.org"]);
        assert_eq!(
            text,
            format!("`127.0.0.1:{}` refused {}: {reply}", server.port, step(at))
        );
        assert_eq!(may_pass, expected, "{at}: {text}");
    }
}

#[test]
fn all_lines_of_a_refusal_are_kept() {
    let reply = Reply::Say("550-5.1.1 no such user\r\n550 5.1.1 see example.org");
    let server = Server::start(vec![vec![("RCPT", reply)]]);
    let (_, text) = failure(&client(&server), &["a@example.org"]);
    assert!(
        text.ends_with(": 550 5.1.1 no such user see example.org"),
        "{text}"
    );
}

#[test]
fn a_connection_that_breaks_is_tried_again() {
    for at in ["greeting", "EHLO", "RCPT", "DATA", "mail"] {
        let server = Server::start(vec![vec![(at, Reply::HangUp)]]);
        let (may_pass, text) = failure(&client(&server), &["a@example.org"]);
        assert!(may_pass, "{at}: {text}");
        let words = format!("failed at {}: the server closed the connection", step(at));
        assert!(text.ends_with(&words), "{at}: {text}");
    }
    let server = Server::start(vec![vec![("greeting", Reply::Say("what?"))]]);
    let (may_pass, text) = failure(&client(&server), &["a@example.org"]);
    assert!(
        may_pass && text.contains("failed at the connection: response error"),
        "{text}"
    );
}

#[test]
fn a_silent_server_is_given_up_after_the_timeout() {
    for at in ["greeting", "RCPT", "mail"] {
        let server = Server::start(vec![vec![(at, Reply::Silence)]]);
        let transport = with(SmtpSettings {
            timeout: Duration::from_millis(300),
            ..settings(&server)
        });
        let (may_pass, text) = failure(&transport, &["a@example.org"]);
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
    let transport = with(SmtpSettings {
        credentials,
        ..settings(&server)
    });
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
    let parameters = TlsParameters::new("127.0.0.1".to_owned()).expect("parameters");
    let security = Security::Starttls(parameters);
    let transport = with(SmtpSettings {
        security,
        ..settings(&server)
    });
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
fn a_connection_is_used_again_after_a_refusal() {
    let server = Server::start(vec![vec![("RCPT TO:<b@", Reply::Say("550 5.1.1 unknown"))]]);
    let transport = client(&server);
    failure(&transport, &["b@example.org"]);
    let commands = twice(transport, server);
    assert_eq!(
        (count(&commands, "EHLO"), count(&commands, "DATA")),
        (1, 2),
        "{commands:?}"
    );
}

#[test]
fn the_servers_answer_is_reported() {
    let server = Server::start(vec![vec![]]);
    let sent = client(&server)
        .send(&envelope(&["a@example.org"]), MAIL)
        .expect("the mail is sent");
    assert_eq!(
        sent,
        Accepted {
            answer: "250 2.0.0 taken".to_owned(),
            code: Some(250)
        }
    );
}

#[test]
fn a_connection_that_died_while_it_waited_is_replaced_unseen() {
    for goodbye in [Reply::HangUp, Reply::Say("421 4.4.2 idle too long")] {
        // The second `MAIL` of the first connection meets a server that has gone.
        let first = vec![("MAIL", Reply::Say("250 2.1.0 ok")), ("MAIL", goodbye)];
        let server = Server::start(vec![first, vec![]]);
        let commands = twice(client(&server), server);
        assert_eq!(
            (count(&commands, "EHLO"), count(&commands, "DATA")),
            (2, 2),
            "{goodbye:?}: {commands:?}"
        );
    }
}

#[test]
fn a_connection_that_waited_too_long_is_closed_politely() {
    let server = Server::start(vec![vec![], vec![]]);
    let commands = twice(
        with(SmtpSettings {
            idle: Duration::ZERO,
            ..settings(&server)
        }),
        server,
    );
    assert_eq!(
        (count(&commands, "EHLO"), count(&commands, "QUIT")),
        (2, 1),
        "{commands:?}"
    );
}

#[test]
fn without_a_pool_each_mail_has_its_connection() {
    let server = Server::start(vec![vec![], vec![]]);
    let commands = twice(
        with(SmtpSettings {
            pool_size: 0,
            ..settings(&server)
        }),
        server,
    );
    assert_eq!(
        (count(&commands, "EHLO"), count(&commands, "QUIT")),
        (2, 2),
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
