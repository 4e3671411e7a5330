//! What a request has.

use std::time::Duration;

use plugin_api::{serde_json::json, testing::Verdict};

use super::{
    made, posting_to,
    server::{Received, Server, reply},
};

fn server() -> Server {
    Server::start(vec![reply("200 OK", "", ""); 4])
}

#[track_caller]
fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    received.headers.get(name).map_or("", String::as_str)
}

#[test]
fn a_job_is_posted_with_its_facts_as_headers() {
    let server = server();
    let harness = posting_to(
        server.url("/jobs?a=b"),
        json!({"headers": {"Authorization": "Bearer x"}}),
    );
    let harness = harness
        .tube("mail")
        .attempt(3)
        .age(Duration::from_secs(70))
        .priority(9);
    let outcome = harness.run_bytes(br#"{ "a": 1 }"#);
    assert_eq!(
        (outcome.verdict, outcome.result),
        (Verdict::Done, Some(json!({"status": 200})))
    );

    let received = server.received();
    assert_eq!(received.line, "POST /jobs?a=b HTTP/1.1");
    assert_eq!(received.body, br#"{ "a": 1 }"#);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer x"),
        ("x-job-tube", "mail"),
        ("x-job-attempt", "3"),
        ("x-job-priority", "9"),
        ("x-job-age", "70"),
        ("host", &format!("127.0.0.1:{}", server.port)),
        (
            "user-agent",
            concat!("asynccall-http/", env!("CARGO_PKG_VERSION")),
        ),
        ("x-signature", ""),
    ];
    for (name, value) in headers {
        assert_eq!(header(&received, name), value, "{name}");
    }
    let id: u64 = header(&received, "x-job-id").parse().expect("a number");
    // printf '{ "a": 1 }' | sha256sum
    let key = format!("mail-{id}-efc6fbbe835f02996e070d9b3f37ffc4");
    assert_eq!(header(&received, "idempotency-key"), key);
}

#[test]
fn numbers_that_are_not_known_are_left_out() {
    let server = server();
    let harness = posting_to(server.url("/"), json!({}))
        .attempt(0)
        .age(None)
        .priority(None);
    assert_eq!(harness.run(json!(1)).verdict, Verdict::Done);
    let received = server.received();
    for name in ["x-job-attempt", "x-job-age", "x-job-priority"] {
        assert!(!received.headers.contains_key(name), "{name}");
    }
}

#[test]
fn a_raw_body_is_sent_as_it_was_put_and_called_json_only_where_it_is() {
    let server = server();
    let harness = posting_to(server.url("/"), json!({"body": "raw"}));
    for (body, kind) in [
        (b"\x00\xffbytes".as_slice(), "application/octet-stream"),
        (b"", "application/octet-stream"),
        (b" [1]\n", "application/json"),
    ] {
        assert_eq!(harness.run_bytes(body).verdict, Verdict::Done);
        let received = server.received();
        assert_eq!(
            (received.body.as_slice(), header(&received, "content-type")),
            (body, kind)
        );
    }
    let xml = posting_to(
        server.url("/"),
        json!({"body": "raw", "headers": {"content-type": "text/xml"}}),
    );
    assert_eq!(xml.run_bytes(b"<a/>").verdict, Verdict::Done);
    assert_eq!(header(&server.received(), "content-type"), "text/xml");
}

#[test]
fn a_body_without_a_json_view_is_buried_and_not_sent() {
    let server = server();
    let outcome = posting_to(server.url("/"), json!({})).run_bytes(b"bytes");
    assert_eq!(outcome.verdict, Verdict::Bury);
    assert!(
        outcome.message.starts_with("the body is not JSON"),
        "{}",
        outcome.message
    );
    assert!(server.is_quiet());
}

#[test]
fn the_message_may_have_its_own_idempotency_key() {
    let server = server();
    let harness = posting_to(server.url("/"), json!({"idempotency_key_from": "/order/id"}));
    for (body, key) in [
        (json!({"order": {"id": "o-1"}}), "o-1"),
        (json!({"order": {"id": 4711}}), "4711"),
    ] {
        assert_eq!(harness.run(body).verdict, Verdict::Done);
        assert_eq!(header(&server.received(), "idempotency-key"), key);
    }
    for body in [
        json!({}),
        json!({"order": {"id": ""}}),
        json!({"order": {"id": "a\nb"}}),
    ] {
        let outcome = harness.run(body);
        assert_eq!(outcome.verdict, Verdict::Bury);
        assert!(outcome.message.contains("`/order/id`"), "{}", outcome.message);
    }
    assert!(server.is_quiet());
}

#[test]
fn the_message_names_the_url_where_it_may() {
    let server = server();
    let harness = made(json!({
        "url_from": "/hook/url", "allowed_hosts": ["127.0.0.1"], "private_addresses": "allow",
    }));
    let outcome = harness.run(json!({"hook": {"url": server.url("/of-the-message")}}));
    assert_eq!(outcome.verdict, Verdict::Done, "{outcome:?}");
    assert_eq!(server.received().line, "POST /of-the-message HTTP/1.1");

    let cases = [
        (json!({}), "the message has no text at `/hook/url`, wanted a URL"),
        (
            json!({"hook": {"url": 1}}),
            "the message has no text at `/hook/url`",
        ),
        (
            json!({"hook": {"url": "/secret"}}),
            "the URL at `/hook/url` cannot be used: relative URL",
        ),
        (
            json!({"hook": {"url": "http://localhost/secret"}}),
            "the URL at `/hook/url` leads to `localhost`, which is not in `allowed_hosts`",
        ),
    ];
    for (message, text) in cases {
        let outcome = harness.run(message);
        assert_eq!(outcome.verdict, Verdict::Bury);
        assert!(outcome.message.contains(text), "{}", outcome.message);
        assert!(!outcome.message.contains("secret"), "{}", outcome.message);
    }
    assert!(server.is_quiet());
}
