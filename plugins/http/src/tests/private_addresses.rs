//! Addresses that are not on the internet, by policy.

use plugin_api::{
    serde_json::{Value, json},
    testing::{Harness, Verdict},
};

use super::{
    made, posting_to,
    server::{Server, reply},
};
use crate::Http;

/// A handler that calls what the message says.
fn by_message(hosts: Value) -> Harness<Http> {
    let config = json!({"url_from": "/url", "allowed_hosts": hosts, "redirects": 1});
    made(config)
}

#[test]
fn a_url_of_the_message_to_a_private_address_buries_the_job_before_a_connection_is_made() {
    let server = Server::start([]);
    let port = server.port;
    // What a name resolves to is what counts, and so is every way to write an address.
    let cases = [
        ("localhost", format!("http://localhost:{port}/secret")),
        ("127.0.0.1", format!("http://127.0.0.1:{port}/secret")),
        ("127.0.0.1", format!("http://2130706433:{port}/secret")),
        ("0.0.0.0", format!("http://0:{port}/secret")),
        (
            "[::ffff:127.0.0.1]",
            format!("http://[::ffff:127.0.0.1]:{port}/secret"),
        ),
        ("[::1]", format!("http://[::1]:{port}/secret")),
        ("169.254.169.254", "http://169.254.169.254/secret".to_owned()),
        ("10.0.0.1", "https://10.0.0.1/secret".to_owned()),
    ];
    for (host, url) in cases {
        let outcome = by_message(json!([host])).run(json!({"url": url}));
        assert_eq!(outcome.verdict, Verdict::Bury, "{url}: {outcome:?}");
        let text = "is private, and `private_addresses` is `deny`";
        assert!(outcome.message.contains(text), "{url}: {}", outcome.message);
        assert!(!outcome.message.contains("secret"), "{}", outcome.message);
    }
    assert!(server.is_quiet());
}

#[test]
fn a_fixed_url_to_a_private_address_is_denied_only_where_the_operator_says_so() {
    let server = Server::start([reply("200 OK", "", "")]);
    let deny = posting_to(server.url("/"), json!({"private_addresses": "deny"}));
    let outcome = deny.run(json!(1));
    // It is not the message's fault.
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(
        outcome.message.contains("its address 127.0.0.1 is private"),
        "{}",
        outcome.message
    );
    assert!(server.is_quiet());
    assert_eq!(
        posting_to(server.url("/"), json!({})).run(json!(1)).verdict,
        Verdict::Done
    );
}
