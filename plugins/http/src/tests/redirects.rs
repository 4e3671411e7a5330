//! Redirects by policy.

use plugin_api::{serde_json::json, testing::Verdict};

use super::{
    posting_to,
    server::{Reply, Server, reply},
};

fn redirect(status: &str, location: &str) -> Reply {
    reply(status, &format!("Location: {location}\r\n"), "moved")
}

#[test]
fn those_that_keep_method_and_body_are_followed_as_often_as_is_configured() {
    let server = Server::start([
        redirect("307 Temporary Redirect", "/b"),
        redirect("308 Permanent Redirect", "c?d"),
        reply("200 OK", "", ""),
    ]);
    let harness = posting_to(server.url("/a"), json!({"redirects": 2, "secret": "s"}));
    assert_eq!(harness.run(json!({"a": 1})).verdict, Verdict::Done);
    let requests = [server.received(), server.received(), server.received()];
    let [first, .., last] = &requests;
    assert_eq!(
        requests.each_ref().map(|request| request.line.as_str()),
        ["POST /a HTTP/1.1", "POST /b HTTP/1.1", "POST /c?d HTTP/1.1"]
    );
    assert_eq!(last.body, br#"{"a":1}"#);
    assert_eq!(last.headers, first.headers);
}

#[test]
fn one_too_many_is_a_failure() {
    let server = Server::start(vec![redirect("307 Temporary Redirect", "/"); 3]);
    let outcome = posting_to(server.url("/"), json!({"redirects": 2})).run(json!(1));
    assert_eq!(outcome.verdict, Verdict::Failed);
    let text = format!(
        "http://127.0.0.1:{} answered 307, after 2 redirects one too many",
        server.port
    );
    assert_eq!(outcome.message, text);
}

#[test]
fn those_that_lose_the_body_are_failures() {
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "300 Multiple Choices",
    ] {
        let server = Server::start([redirect(status, "/new")]);
        let outcome = posting_to(server.url("/"), json!({"redirects": 5})).run(json!(1));
        assert_eq!(outcome.verdict, Verdict::Failed);
        let text = format!("answered {status}, a redirect that is not followed: moved");
        assert!(outcome.message.ends_with(&text), "{}", outcome.message);
    }
}

#[test]
fn another_host_or_port_is_called_only_where_it_is_allowed() {
    let other = Server::start([reply("200 OK", "", "")]);
    for (location, origin) in [
        (other.url("/secret"), other.url("")),
        (
            "http://localhost:1/secret".to_owned(),
            "http://localhost:1".to_owned(),
        ),
    ] {
        let server = Server::start([redirect("307 Temporary Redirect", &location)]);
        let outcome = posting_to(server.url("/"), json!({"redirects": 1})).run(json!(1));
        assert_eq!(outcome.verdict, Verdict::Failed);
        let text = format!("it leads to `{origin}`, wanted the same scheme, host and port");
        assert!(outcome.message.contains(&text), "{}", outcome.message);
    }
    assert!(other.is_quiet());

    let server = Server::start([redirect("307 Temporary Redirect", &other.url("/"))]);
    let allowing = json!({"redirects": 1, "allowed_hosts": ["127.0.0.1"]});
    assert_eq!(
        posting_to(server.url("/"), allowing).run(json!(1)).verdict,
        Verdict::Done
    );
    assert_eq!(other.received().line, "POST / HTTP/1.1");
}
