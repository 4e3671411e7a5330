//! The whole handler, under the adapter that the host calls, against a real SMTP server.

mod sink;

use std::fs;

use plugin_api::{
    Handler,
    serde_json::{self, Value, json},
    testing::{Harness, Outcome, Verdict},
};

use self::sink::{Options, Sink};
use crate::{Mailer, config::Config};

fn harness(config: Value) -> Harness<Mailer> {
    assert_fits(&config);
    Harness::new(config).expect("the configuration is accepted")
}

/// The schema takes what the handler takes.
#[track_caller]
pub(crate) fn assert_fits(config: &Value) {
    fits(Mailer::schemas().config(), config);
}

/// The same of a message.
#[track_caller]
pub(crate) fn assert_message_fits(message: &Value) {
    fits(Mailer::schemas().payload(), message);
}

#[track_caller]
fn fits(schema: Option<&Value>, document: &Value) {
    let schema = schema.expect("the handler has a schema");
    if let Err(fault) = jsonschema::validate(schema, document) {
        panic!("{document}\nat `{}`: {fault}", fault.instance_path());
    }
}

fn message() -> Value {
    json!({
        "from": "Shop <shop@example.org>", "to": ["ann@example.org", "bob@example.org"], "bcc": "carl@example.org",
        "subject": "Grüße", "text": "plain body", "html": "<b>rich body</b>",
    })
}

#[track_caller]
fn message_id(outcome: &Outcome) -> String {
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.message);
    let result = outcome.result.as_ref().expect("a result");
    result["message_id"].as_str().expect("a message id").to_owned()
}

#[test]
fn a_mail_reaches_a_real_server_and_the_result_names_it() {
    let Some(sink) = Sink::start(Options::default()) else {
        return;
    };
    let harness = harness(
        json!({"smtp": {"host": "127.0.0.1", "port": sink.port, "tls": "none", "hello_name": "me.example.org"}}),
    );
    let id = message_id(&harness.run(message()));

    let mail = sink.mail(1);
    assert_eq!(mail["from"], "shop@example.org");
    assert_eq!(
        mail["to"],
        json!(["ann@example.org", "bob@example.org", "carl@example.org"])
    );
    assert_eq!(mail["helo"], "me.example.org");
    assert_eq!(mail["tls"], false);
    let text = mail["mail"].as_str().expect("the mail");
    assert!(text.contains(&format!("Message-ID: {id}\r\n")), "{text}");
    assert!(text.contains("Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n"), "{text}");
    assert!(
        text.contains("\r\nplain body\r\n") && text.contains("\r\n<b>rich body</b>\r\n"),
        "{text}"
    );
    assert!(!text.contains("carl@example.org"), "{text}");
}

#[test]
fn starttls_and_login_work_against_a_private_authority() {
    let Some(sink) = Sink::start(Options {
        tls: "starttls",
        login: Some(("shop", "s3cret")),
    }) else {
        return;
    };
    let smtp = json!({
        "host": "127.0.0.1", "port": sink.port, "tls": "starttls", "ca_file": sink.authority(), "user": "shop",
        "password": "s3cret",
    });
    message_id(&harness(json!({ "smtp": smtp })).run(message()));
    let mail = sink.mail(1);
    assert_eq!(mail["tls"], true);
    assert_eq!(mail["user"], "shop");
}

#[test]
fn implicit_tls_works_and_opportunistic_upgrades() {
    for (server, client) in [
        ("implicit", "implicit"),
        ("starttls", "opportunistic"),
        ("none", "opportunistic"),
    ] {
        let Some(sink) = Sink::start(Options {
            tls: server,
            login: None,
        }) else {
            return;
        };
        let smtp =
            json!({"host": "127.0.0.1", "port": sink.port, "tls": client, "ca_file": sink.authority()});
        message_id(&harness(json!({ "smtp": smtp })).run(message()));
        assert_eq!(sink.mail(1)["tls"], server != "none", "{server} {client}");
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    for tls in ["starttls", "implicit", "opportunistic"] {
        let server = if tls == "implicit" { "implicit" } else { "starttls" };
        let Some(sink) = Sink::start(Options {
            tls: server,
            login: None,
        }) else {
            return;
        };
        let config = json!({"smtp": {"host": "127.0.0.1", "port": sink.port, "tls": tls}});
        let outcome = harness(config).run(message());
        assert_eq!(outcome.verdict, Verdict::Failed, "{tls}: {}", outcome.message);
        assert!(
            outcome.message.contains("certificate"),
            "{tls}: {}",
            outcome.message
        );
        assert!(sink.is_empty(), "{tls}");
    }
}

#[test]
fn a_wrong_password_fails_without_burying_and_is_not_told() {
    let Some(sink) = Sink::start(Options {
        tls: "none",
        login: Some(("shop", "s3cret")),
    }) else {
        return;
    };
    let config = json!({"smtp": {"host": "127.0.0.1", "port": sink.port, "tls": "none", "user": "shop", "password": "wr0ng"}});
    let outcome = harness(config).run(message());
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(
        outcome.message.contains("refused the login: 535"),
        "{}",
        outcome.message
    );
    assert!(!outcome.message.contains("wr0ng") && !format!("{:?}", outcome.logs).contains("wr0ng"));
    assert!(sink.is_empty());
}

#[test]
fn a_restarted_server_costs_no_attempt() {
    let Some(first) = Sink::start(Options::default()) else {
        return;
    };
    let port = first.port;
    let harness = harness(json!({"smtp": {"host": "127.0.0.1", "port": port, "tls": "none"}}));
    message_id(&harness.run(message()));
    drop(first);
    let Some(second) = Sink::start_on(port, Options::default()) else {
        return;
    };
    message_id(&harness.run(message()));
    assert_eq!(second.mail(1)["from"], "shop@example.org");
}

#[test]
fn slots_send_at_the_same_time() {
    let Some(sink) = Sink::start(Options::default()) else {
        return;
    };
    let harness =
        harness(json!({"smtp": {"host": "127.0.0.1", "port": sink.port, "tls": "none", "pool_size": 2}}));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| _ = message_id(&harness.run(message()))));
        }
    });
    let mut ids: Vec<String> = (1..=20)
        .map(|number| sink.mail(number)["mail"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[test]
fn a_server_that_is_down_fails_the_job_and_a_bad_message_buries_it() {
    // Port 1 (tcpmux) is served nowhere.
    let harness = harness(json!({"smtp": {"host": "127.0.0.1", "port": 1, "tls": "none"}}));
    let outcome = harness.run(message());
    assert_eq!(outcome.verdict, Verdict::Failed, "{}", outcome.message);
    assert!(
        outcome
            .message
            .starts_with("`127.0.0.1:1` failed at the connection"),
        "{}",
        outcome.message
    );
    assert_eq!(outcome.delay, None);

    for (message, words) in [
        (
            json!({"to": "nobody", "from": "a@example.org", "text": "x"}),
            "`nobody` in `to` is not an address",
        ),
        (
            json!({"to": "a@example.org", "text": "x"}),
            "the message has no `from`",
        ),
        (
            json!({"to": "a@example.org", "subjct": "x"}),
            "unknown key `subjct`",
        ),
    ] {
        let outcome = harness.run(message);
        assert_eq!(outcome.verdict, Verdict::Bury, "{}", outcome.message);
        assert!(outcome.message.contains(words), "{}", outcome.message);
    }
}

#[test]
fn a_missing_attachment_fails_the_job() {
    let directory = tempfile::tempdir().expect("a directory");
    let harness = harness(json!({"file": {"dir": directory.path()}, "attachments_root": directory.path()}));
    let mut message = message();
    message["attachments"] = json!([{"path": "later.pdf"}]);
    let outcome = harness.run(message);
    assert_eq!(outcome.verdict, Verdict::Failed, "{}", outcome.message);
}

#[test]
fn a_log_line_tells_the_id_and_counts_but_no_address_and_no_body() {
    let directory = tempfile::tempdir().expect("a directory");
    let outcome = harness(json!({"file": {"dir": directory.path()}})).run(message());
    let id = message_id(&outcome);
    let lines: Vec<String> = outcome
        .logs
        .iter()
        .filter(|log| log.level.to_string() == "INFO")
        .map(|log| format!("{log:?}"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains(&id) && lines[0].contains("mail accepted"),
        "{lines:?}"
    );
    let all = format!("{:?}", outcome.logs);
    assert!(
        !lines[0].contains("ann@example.org") && !all.contains("plain body"),
        "{all}"
    );
}

/// The code blocks of one language in the README.
fn readme(language: &str) -> Vec<&'static str> {
    let text = include_str!("../README.md");
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks
        .filter_map(|rest| rest.split_once("```"))
        .map(|(block, _)| block)
        .collect()
}

#[test]
fn the_readmes_configuration_has_only_known_keys() {
    for block in readme("toml") {
        let file: Value = toml::from_str(block).expect("the block is TOML");
        let config = file["handler"]["mailer"].clone();
        assert_fits(&config);
        let config: Config = serde_json::from_value(config).expect("the keys are known");
        // The variable is not set here; nothing else is wrong with it.
        let error = config.resolve().expect_err("the password is missing").to_string();
        assert!(
            error.starts_with("the environment variable `SHOP_SMTP_PASSWORD`"),
            "{error}"
        );
    }
}

#[test]
fn the_readmes_messages_are_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("invoice.pdf"), "%PDF").expect("a file");
    let config = json!({"file": {"dir": directory.path()}, "from": "shop@example.org", "attachments_root": directory.path()});
    let harness = harness(config);
    let examples = readme("json");
    assert_eq!(examples.len(), 3);
    for text in examples {
        let outcome = harness.run_bytes(text.as_bytes());
        assert_message_fits(&serde_json::from_str(text).expect("the block is JSON"));
        assert_eq!(outcome.verdict, Verdict::Done, "{text}\n{}", outcome.message);
    }
}
