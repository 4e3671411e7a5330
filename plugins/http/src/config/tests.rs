//! Which configurations are refused with which text, what the defaults are, and that no text shows a secret.

use std::{fs, time::Duration};

use plugin_api::serde_json::{self, Value, json};

use super::{Config, Settings};
use crate::tests::assert_fits;
use crate::{client::PrivateAddresses, request::Form};

const URL: &str = "http://127.0.0.1/jobs";

#[track_caller]
fn read(config: Value) -> Result<Settings, String> {
    let keys = serde_json::from_value::<Config>(config.clone()).map_err(|error| error.to_string())?;
    let settings = keys.resolve().map_err(|error| error.to_string())?;
    assert_fits(&config);
    Ok(settings)
}

/// The whole error text, from reading the keys or from checking them.
#[track_caller]
fn refusal(config: Value) -> String {
    read(config).expect_err("the configuration is refused")
}

/// A configuration with a URL and these keys.
fn with(more: Value) -> Value {
    let mut config = json!({"url": URL});
    let keys = config.as_object_mut().expect("an object");
    keys.extend(more.as_object().expect("an object").clone());
    config
}

#[test]
fn a_bad_configuration_is_refused_with_what_to_do() {
    let cases = [
        (
            json!({}),
            "found none of `url` and `url_from`, wanted exactly one\n  hint: `url = ",
        ),
        (
            with(json!({"url_from": "/a"})),
            "found both of `url` and `url_from`",
        ),
        (
            json!({"ulr": URL}),
            "unknown field `ulr`, expected one of `url`, `url_from`",
        ),
        (
            json!({"url": "example.org"}),
            "`url` cannot be used: relative URL without a base",
        ),
        (
            json!({"url": "ftp://a/"}),
            "`url` cannot be used: its scheme is `ftp`, wanted `http` or `https`",
        ),
        (
            json!({"url": "http://u:hidden@a/"}),
            "`url` cannot be used: it holds a user name or password",
        ),
        (
            json!({"url_from": "/a"}),
            "`url_from` needs `allowed_hosts` such as",
        ),
        (
            json!({"url_from": "callback", "allowed_hosts": ["a"]}),
            "`callback` of `url_from` is no JSON pointer, wanted a path into the message such as `/callback`",
        ),
        (
            json!({"url_from": "/a", "allowed_hosts": ["http://a"]}),
            "`http://a` of `allowed_hosts` is no host, wanted a name",
        ),
        (
            with(json!({"allowed_hosts": ["a"]})),
            "`allowed_hosts` needs `url_from`, or `redirects` above 0",
        ),
        (
            with(json!({"private_addresses": "no"})),
            "unknown variant `no`, expected `allow` or `deny`",
        ),
        (with(json!({"redirects": -1})), "invalid value: integer `-1`"),
        (
            with(json!({"body": "xml"})),
            "unknown variant `xml`, expected `json` or `raw`",
        ),
        (
            with(json!({"timeout": 0})),
            "`0` of `timeout` is no time to wait, wanted seconds above 0",
        ),
        (with(json!({"connect_timeout": -1})), "`-1` of `connect_timeout`"),
        (
            with(json!({"idle_timeout": 1e12})),
            "`1000000000000` of `idle_timeout`",
        ),
        (with(json!({"max_retry_after": 0})), "`0` of `max_retry_after`"),
        (
            with(json!({"idempotency_key_from": "id"})),
            "`id` of `idempotency_key_from` is no JSON pointer",
        ),
        (
            with(json!({"status": {"4xx": "done"}})),
            "`4xx` of `status` is no final status, wanted a number from 200",
        ),
        (with(json!({"status": {"100": "done"}})), "`100` of `status`"),
        (
            with(json!({"status": {"409": "delete"}})),
            "unknown variant `delete`, expected one of `done`, `retry`, `bury`, `failed`",
        ),
        (
            with(json!({"ca_file": "/a.pem"})),
            "`ca_file` needs a `url` that begins with `https`",
        ),
        (
            json!({"url": "https://a/", "ca_file": "a.pem"}),
            "`a.pem` of `ca_file` is not an absolute path\n  hint:",
        ),
        (
            json!({"url": "https://a/", "ca_file": "/dev/null"}),
            "`/dev/null` of `ca_file` holds no usable certificate",
        ),
        (
            json!({"url": "https://a/", "ca_file": "/none.pem"}),
            "cannot use `/none.pem` of `ca_file`: No such file",
        ),
    ];
    for (config, text) in cases {
        let refusal = refusal(config.clone());
        assert!(refusal.contains(text), "{config}: {refusal}");
    }
}

#[test]
fn a_header_that_the_client_or_the_job_sets_is_refused() {
    let cases = [
        (
            "Content-Length",
            "the header `Content-Length` of `headers` cannot be set: the client sets it itself",
        ),
        ("host", "the client sets it itself"),
        ("X-Job-Id", "each job has its own"),
        ("x-signature", "each job has its own"),
        ("a b", "it is no name of a header"),
        ("", "it is no name of a header"),
    ];
    for (name, text) in cases {
        let refusal = refusal(with(json!({"headers": {name: "1"}})));
        assert!(refusal.contains(text), "{name}: {refusal}");
    }
    let twice = refusal(with(json!({"headers": {"A": "1", "a": "2"}})));
    assert!(
        twice.contains("the header `a` of `headers` cannot be set: it is there twice"),
        "{twice}"
    );
}

#[test]
fn no_error_and_no_debug_text_shows_a_secret() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("secret");
    fs::write(&file, "hidden\n").expect("a file");
    let bad = directory.path().join("bad");
    fs::write(&bad, "hidden\x01\n").expect("a file");
    let refused = [
        with(json!({"secret": 4711})),
        with(json!({"secret": "hidden", "secret_file": file})),
        with(json!({"secret_file": file, "secret_env": "PATH"})),
        with(json!({"secret": ""})),
        with(json!({"secret_env": "NO_SUCH_VARIABLE"})),
        with(json!({"secret_file": "secret"})),
        with(json!({"headers": {"A": 4711}})),
        with(json!({"headers": {"A": "hid\nden"}})),
        with(json!({"headers": {"A": {"file": bad}}})),
        with(json!({"headers": {"A": {"flie": "/hidden"}}})),
        with(json!({"headers": {"A": {"env": "NO_SUCH_VARIABLE"}}})),
    ];
    let texts = [
        "a secret must be text, in quotes",
        "`secret` and `secret_file` cannot both be given",
        "`secret_file` and `secret_env` cannot both be given",
        "`secret` is empty",
        "the environment variable `NO_SUCH_VARIABLE` of `secret_env` is not set",
        "`secret` of `secret_file` is not an absolute path",
        "a header must be text in quotes, `{ file = \"/PATH\" }` or `{ env = \"NAME\" }`",
        "the header `A` of `headers` cannot be set: its value holds characters",
        "the header `A` of `headers` cannot be set: its value holds characters",
        "a header must be text in quotes",
        "the environment variable `NO_SUCH_VARIABLE` of `headers.A` is not set",
    ];
    for (config, text) in refused.into_iter().zip(texts) {
        let refusal = refusal(config);
        assert!(refusal.contains(text), "{refusal}");
        assert!(
            !refusal.contains("hidden") && !refusal.contains("4711"),
            "{refusal}"
        );
    }
    let config = with(json!({"secret_file": file, "headers": {"A": "hidden", "B": {"file": file}}}));
    let shown =
        serde_json::from_value::<Config>(with(json!({"secret": "hidden"}))).expect("the keys are known");
    let settings = read(config).expect("it is accepted");
    assert!(!format!("{shown:?}{settings:?}").contains("hidden"));
    let secret = settings.composer.secret.expect("there is one");
    assert_eq!(secret.expose(), "hidden");
    assert_eq!(settings.composer.headers["b"], "hidden");
}

#[test]
fn the_defaults_are_those_of_the_readme() {
    let settings = read(json!({"url": URL})).expect("a URL is enough");
    let client = settings.client;
    assert_eq!(client.timeout, Duration::from_secs(30));
    assert_eq!(client.connect_timeout, Duration::from_secs(10));
    assert_eq!(client.idle, Duration::from_secs(15));
    assert_eq!(
        (client.max_response_bytes, client.pool_size, client.redirects),
        (65536, 32, 0)
    );
    assert_eq!(client.private_addresses, PrivateAddresses::Allow);
    assert!(client.tls.is_none());
    assert_eq!(settings.composer.form, Form::Json);
    assert!(settings.composer.secret.is_none());
    assert_eq!(settings.verdicts.max_retry_after, Duration::from_secs(3600));
}

#[test]
fn a_url_of_the_message_denies_private_addresses_unless_told_otherwise() {
    let config = json!({"url_from": "/u", "allowed_hosts": ["a"]});
    assert_eq!(
        read(config.clone()).expect("accepted").client.private_addresses,
        PrivateAddresses::Deny
    );
    let mut config = config;
    config["private_addresses"] = json!("allow");
    assert_eq!(
        read(config).expect("accepted").client.private_addresses,
        PrivateAddresses::Allow
    );
}
