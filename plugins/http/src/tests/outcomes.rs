//! What becomes of the job by the answer.

use std::time::{Duration, SystemTime};

use plugin_api::{serde_json::json, testing::Verdict};

use super::{
    posting_to,
    server::{Reply, Server, reply},
};

#[test]
fn each_answer_has_its_outcome() {
    let table = [
        (
            reply("200 OK", "Content-Type: application/json\r\n", "[1]"),
            Verdict::Done,
            None,
            "",
        ),
        (reply("202 Accepted", "", "later"), Verdict::Done, None, ""),
        (
            Reply::Say("HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
            Verdict::Done,
            None,
            "",
        ),
        (
            reply("429 Too Many Requests", "Retry-After: 17\r\n", ""),
            Verdict::Retry,
            Some(17),
            "429 Too Many Requests",
        ),
        (
            reply("503 Service Unavailable", "Retry-After: 9\r\n", "down"),
            Verdict::Retry,
            Some(9),
            "Unavailable: down",
        ),
        (
            reply("503 Service Unavailable", "Retry-After: 86400\r\n", ""),
            Verdict::Retry,
            Some(300),
            "503",
        ),
        (
            reply("503 Service Unavailable", "", ""),
            Verdict::Failed,
            None,
            "503 Service Unavailable",
        ),
        (
            reply("429 Too Many Requests", "Retry-After: soon\r\n", ""),
            Verdict::Failed,
            None,
            "429",
        ),
        (
            reply("408 Request Timeout", "", ""),
            Verdict::Failed,
            None,
            "408 Request Timeout",
        ),
        (
            reply("425 Too Early", "", ""),
            Verdict::Failed,
            None,
            "425 Too Early",
        ),
        (
            reply("404 Not Found", "", "no such order"),
            Verdict::Bury,
            None,
            "404 Not Found: no such order",
        ),
        (
            reply("400 Bad Request", "Retry-After: 5\r\n", ""),
            Verdict::Bury,
            None,
            "400 Bad Request",
        ),
        (
            reply("500 Internal Server Error", "Retry-After: 5\r\n", "oops"),
            Verdict::Failed,
            None,
            "Error: oops",
        ),
        (
            reply("302 Found", "Location: /new\r\n", ""),
            Verdict::Failed,
            None,
            "a redirect that is not followed",
        ),
        (
            reply("307 Temporary Redirect", "Location: /new\r\n", ""),
            Verdict::Failed,
            None,
            "a redirect that is not",
        ),
        (reply("409 Conflict", "", "twice"), Verdict::Done, None, ""),
        (
            reply("418 I'm a teapot", "Retry-After: 3\r\n", ""),
            Verdict::Retry,
            Some(3),
            "418",
        ),
    ];
    let server = Server::start(table.iter().map(|(reply, ..)| reply.clone()));
    let config = json!({"max_retry_after": 300, "status": {"409": "done", "418": "retry"}});
    let harness = posting_to(server.url("/secret"), config);
    for (reply, verdict, delay, text) in table {
        let outcome = harness.run(json!({"a": 1}));
        assert_eq!(outcome.verdict, verdict, "{reply:?}: {outcome:?}");
        assert_eq!(outcome.delay, delay.map(Duration::from_secs), "{reply:?}");
        assert!(outcome.message.contains(text), "{reply:?}: {}", outcome.message);
        assert!(!outcome.message.contains("secret"), "{}", outcome.message);
    }
}

#[test]
fn a_date_in_retry_after_is_a_delay_from_now() {
    let later = SystemTime::now() + Duration::from_secs(1000);
    let header = format!("Retry-After: {}\r\n", httpdate::fmt_http_date(later));
    let server = Server::start([reply("503 Service Unavailable", &header, "")]);
    let outcome = posting_to(server.url("/"), json!({})).run(json!(1));
    assert_eq!(outcome.verdict, Verdict::Retry);
    // Only its lower end depends on how fast this machine is.
    let delay = outcome.delay.expect("a delay");
    assert!(
        delay > Duration::from_secs(1) && delay <= Duration::from_secs(1000),
        "{delay:?}"
    );
}

#[test]
fn the_result_is_the_status_and_a_bounded_body() {
    let server = Server::start([
        reply(
            "201 Created",
            "Content-Type: application/problem+json; charset=utf-8\r\n",
            r#"{"id":7}"#,
        ),
        reply("200 OK", "", "0123456789"),
        reply("200 OK", "", "0123456789+"),
        // Breaks off: the receiver has said that the job is done all the same.
        Reply::SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_owned()),
    ]);
    let harness = posting_to(server.url("/"), json!({"max_response_bytes": 10}));
    for result in [
        json!({"status": 201, "body": {"id": 7}}),
        json!({"status": 200, "body": "0123456789"}),
        json!({"status": 200, "body": "0123456789", "truncated": true}),
        json!({"status": 200, "body": "half", "truncated": true}),
    ] {
        let outcome = harness.run(json!(1));
        assert_eq!((outcome.verdict, outcome.result), (Verdict::Done, Some(result)));
    }
}
