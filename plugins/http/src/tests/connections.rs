//! Connections: kept, parallel, refused, broken, too slow.

use std::{net::TcpListener, thread};

use plugin_api::{
    serde_json::json,
    testing::{Log, Verdict},
};

use super::{
    posting_to,
    server::{Reply, Server, reply},
};

#[test]
fn one_connection_serves_many_jobs() {
    let server = Server::start(vec![reply("200 OK", "", "taken"); 20]);
    let harness = posting_to(server.url("/"), json!({}));
    for _ in 0..20 {
        assert_eq!(harness.run(json!(1)).verdict, Verdict::Done);
        assert_eq!(server.received().connection, 0);
    }
}

#[test]
fn slots_share_the_connections_and_none_waits_for_another() {
    const SLOTS: usize = 4;
    const JOBS: usize = 25;
    let server = Server::start(vec![reply("200 OK", "", "taken"); SLOTS * JOBS]);
    let harness = posting_to(server.url("/"), json!({}));
    thread::scope(|scope| {
        for _ in 0..SLOTS {
            scope.spawn(|| {
                for _ in 0..JOBS {
                    assert_eq!(harness.run(json!(1)).verdict, Verdict::Done);
                }
            });
        }
    });
    let connections = (0..SLOTS * JOBS).map(|_| server.received().connection);
    assert!(connections.max().is_some_and(|last| last < SLOTS));
}

#[test]
fn a_connection_that_the_receiver_has_closed_is_replaced() {
    let close = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned();
    let server = Server::start([Reply::SayAndClose(close), reply("200 OK", "", "")]);
    let harness = posting_to(server.url("/"), json!({}));
    assert_eq!(harness.run(json!(1)).verdict, Verdict::Done);
    server.wait_until_closed();
    assert_eq!(harness.run(json!(1)).verdict, Verdict::Done);
    assert_eq!(
        [server.received().connection, server.received().connection],
        [0, 1]
    );
}

#[test]
fn a_silent_receiver_is_a_failure_when_the_time_is_over() {
    let server = Server::start([Reply::Silence]);
    let outcome = posting_to(server.url("/secret"), json!({"timeout": 0.2})).run(json!(1));
    assert_eq!(outcome.verdict, Verdict::Failed);
    let text = format!("no answer from http://127.0.0.1:{}: time-out (", server.port);
    assert!(outcome.message.starts_with(&text), "{}", outcome.message);
}

#[test]
fn a_broken_connection_and_what_is_no_http_are_failures() {
    let server = Server::start([
        Reply::SayAndClose(String::new()),
        Reply::SayAndClose("220 mail.example.org ESMTP\r\n".to_owned()),
        Reply::SayAndClose("HTTP/1.1 200".to_owned()),
    ]);
    let harness = posting_to(server.url("/secret"), json!({}));
    for _ in 0..3 {
        let outcome = harness.run(json!(1));
        assert_eq!(outcome.verdict, Verdict::Failed);
        assert!(
            outcome.message.starts_with("no answer from http://127.0.0.1:"),
            "{}",
            outcome.message
        );
        assert!(!outcome.message.contains("secret"), "{}", outcome.message);
    }
}

#[test]
fn a_receiver_that_does_not_listen_and_a_name_that_is_none_are_failures() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let closed = format!("http://127.0.0.1:{}/secret", port.expect("a port").port());
    // RFC 6761: there is never such a name.
    for url in [closed, "http://receiver.invalid/secret".to_owned()] {
        let outcome = posting_to(&url, json!({"timeout": 20})).run(json!(1));
        assert_eq!(outcome.verdict, Verdict::Failed, "{url}");
        assert!(
            outcome.message.starts_with("no answer from http://"),
            "{}",
            outcome.message
        );
        assert!(!outcome.message.contains("secret"), "{}", outcome.message);
    }
}

#[test]
fn a_job_that_shall_be_given_up_is_not_posted() {
    let server = Server::start([]);
    let outcome = posting_to(server.url("/"), json!({}))
        .cancelled(true)
        .run(json!(1));
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(
        outcome.message.starts_with("asked to give up before http://"),
        "{}",
        outcome.message
    );
    assert!(server.is_quiet());
}

#[test]
fn no_log_line_shows_a_secret() {
    let server = Server::start([reply("200 OK", "", "hidden")]);
    let config = json!({"secret": "hidden", "headers": {"Authorization": "hidden"}});
    let outcome = posting_to(server.url("/hidden?hidden"), config).run(json!({"a": "hidden"}));
    let own: Vec<&Log> = outcome
        .logs
        .iter()
        .filter(|log| log.target.starts_with("http"))
        .collect();
    assert_eq!(own.len(), 1, "{:?}", outcome.logs);
    assert!(
        !format!("{:?}", outcome.logs).contains("hidden"),
        "{:?}",
        outcome.logs
    );
}
