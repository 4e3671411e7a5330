//! Which configurations are refused with which text, and that no text shows a password.

use std::fs;

use serde_json::{Value, json};

use super::Config;
use crate::{tests::assert_fits, transport::Transport};

/// The whole error text, from reading the keys or from checking them.
#[track_caller]
fn refusal(config: Value) -> String {
    match serde_json::from_value::<Config>(config) {
        Err(error) => error.to_string(),
        Ok(config) => config
            .resolve()
            .expect_err("the configuration is refused")
            .to_string(),
    }
}

/// The resolved configuration as `Debug` shows it.
#[track_caller]
fn resolved(config: Value) -> String {
    assert_fits(&config);
    let config: Config = serde_json::from_value(config).expect("the keys are known");
    format!("{:?}", config.resolve().expect("the configuration is accepted"))
}

#[test]
fn a_bad_configuration_is_refused_with_what_to_do() {
    let cases = [
        (
            json!({}),
            "found 0 of the tables `smtp`, `sendmail` and `file`, wanted exactly one\n  hint:",
        ),
        (
            json!({"smtp": {"host": "a"}, "file": {"dir": "/tmp"}}),
            "found 2 of the tables",
        ),
        (
            json!({"smpt": {}}),
            "unknown field `smpt`, expected one of `smtp`, `sendmail`",
        ),
        (
            json!({"smtp": {"hots": "a"}}),
            "unknown field `hots`, expected one of `host`",
        ),
        (json!({"smtp": {}}), "missing field `host`"),
        (
            json!({"smtp": {"host": "smtp://a"}}),
            "`smtp.host` is `smtp://a`: it is not a host name",
        ),
        (
            json!({"smtp": {"host": "a", "port": 70000}}),
            "`smtp.port` is `70000`: it is not a port, wanted a number from 1",
        ),
        (json!({"smtp": {"host": "a", "port": 0}}), "`smtp.port` is `0`"),
        (
            json!({"smtp": {"host": "a", "tls": "ssl"}}),
            "unknown variant `ssl`, expected one of `none`, `opportunistic`",
        ),
        (
            json!({"smtp": {"host": "a", "timeout_s": 0}}),
            "`smtp.timeout_s` is `0`: nothing answers at once",
        ),
        (
            json!({"smtp": {"host": "a", "hello_name": "a b"}}),
            "`smtp.hello_name` is `a b`",
        ),
        (
            json!({"smtp": {"host": "a", "user": "u"}}),
            "`smtp.user` needs one of `smtp.password`",
        ),
        (
            json!({"smtp": {"host": "a", "password": "p"}}),
            "`smtp.password` needs `smtp.user` beside it",
        ),
        (
            json!({"smtp": {"host": "a", "user": "u", "password": "p", "password_env": "P"}}),
            "`smtp.password` and `smtp.password_env` cannot both be given",
        ),
        (
            json!({"smtp": {"host": "a", "user": "u", "password": "p", "tls": "opportunistic"}}),
            "`smtp.user` needs `tls = \"starttls\"` or `tls = \"implicit\"`",
        ),
        (
            json!({"smtp": {"host": "a", "user": "u", "password_env": "MAILER_TEST_UNSET"}}),
            "the environment variable `MAILER_TEST_UNSET` of `smtp.password_env` is not set",
        ),
        (
            json!({"smtp": {"host": "a", "user": "u", "password_file": "/nonexistent/p"}}),
            "cannot use `/nonexistent/p` of `smtp.password_file`: No such file or directory",
        ),
        (
            json!({"smtp": {"host": "a", "ca_file": "/nonexistent/ca"}}),
            "cannot use `/nonexistent/ca` of `smtp.ca_file`",
        ),
        (
            json!({"smtp": {"host": "a", "ca_file": "/proc/version"}}),
            "`/proc/version` of `smtp.ca_file` holds no usable",
        ),
        (
            json!({"smtp": {"host": "a", "ca_file": "/ca", "tls": "none"}}),
            "`smtp.ca_file` needs another `smtp.tls` than `none`",
        ),
        (
            json!({"file": {"dir": "mails"}}),
            "`mails` of `file.dir` is not an absolute path",
        ),
        (
            json!({"file": {"dir": "/nonexistent"}}),
            "cannot use `/nonexistent` of `file.dir`: No such file or directory (os error 2)\n  hint: create it with `mkdir -p /nonexistent`",
        ),
        (
            json!({"file": {"dir": "/proc/version"}}),
            "cannot use `/proc/version` of `file.dir`: not a directory",
        ),
        (
            json!({"sendmail": {"command": "/etc/passwd"}}),
            "cannot use `/etc/passwd` of `sendmail.command`: it is not an exec",
        ),
        (
            json!({"sendmail": {"command": "/nonexistent"}}),
            "cannot use `/nonexistent` of `sendmail.command`: No such",
        ),
        (
            json!({"file": {"dir": "/tmp"}, "from": "nobody"}),
            "`from` is `nobody`: nothing before or after the `@`, wanted one",
        ),
        (
            json!({"file": {"dir": "/tmp"}, "attachments_root": "a"}),
            "`a` of `attachments_root` is not an absolute path",
        ),
        (
            json!({"file": {"dir": "/tmp"}, "attachments_root": "/nonexistent"}),
            "cannot use `/nonexistent` of `attachments_root`",
        ),
    ];
    for (config, expected) in cases {
        let shown = config.to_string();
        let text = refusal(config);
        assert!(
            text.starts_with(expected),
            "{shown}\n  gave     {text}\n  expected {expected}"
        );
    }
}

#[test]
fn the_port_follows_from_the_kind_of_connection() {
    for (tls, port) in [
        ("none", 25),
        ("opportunistic", 587),
        ("starttls", 587),
        ("implicit", 465),
    ] {
        let shown = resolved(json!({"smtp": {"host": "mail.example.org", "tls": tls}}));
        assert!(shown.contains(&format!("port: {port},")), "{tls}: {shown}");
    }
    assert!(resolved(json!({"smtp": {"host": "mail.example.org"}})).contains("security: Starttls"));
}

#[test]
fn a_password_is_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    fs::write(&file, "s3cret\n").expect("the file is written");

    let inline = json!({"smtp": {"host": "a", "user": "u", "password": "s3cret"}});
    let keys: Config = serde_json::from_value(inline.clone()).expect("the keys are known");
    let shown = [
        format!("{keys:?}"),
        resolved(inline),
        resolved(json!({"smtp": {"host": "a", "user": "u", "password_file": file}})),
        refusal(json!({"smtp": {"host": "a", "user": "u", "password": "s3cret", "password_file": file}})),
        refusal(json!({"smtp": {"host": "a", "user": "u", "password": "s3cret", "tls": "opportunistic"}})),
        refusal(json!({"smtp": {"host": "a", "user": "u", "password": {"s3cret": "s3cret"}}})),
    ];
    for text in shown {
        assert!(!text.contains("s3cret"), "{text}");
    }
    let number = refusal(json!({"smtp": {"host": "a", "user": "u", "password": 86421357}}));
    assert_eq!(number, "a password must be a string, in quotes");
}

#[test]
fn the_line_end_of_a_password_file_is_not_part_of_the_password() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    fs::write(&file, " two words \r\n").expect("the file is written");
    let secret = super::smtp::read_password("smtp.password_file", file).expect("it is readable");
    assert_eq!(secret.expose(), " two words ");
}

#[test]
fn each_table_chooses_its_transport() {
    let directory = tempfile::tempdir().expect("a directory");
    let transport = |config: Value| {
        assert_fits(&config);
        let config: Config = serde_json::from_value(config).expect("the keys are known");
        config.resolve().expect("the configuration is accepted").1
    };
    assert!(matches!(
        transport(json!({"smtp": {"host": "localhost"}})),
        Transport::Smtp(_)
    ));
    assert!(matches!(
        transport(json!({"sendmail": {"command": "/bin/sh"}})),
        Transport::Sendmail(_)
    ));
    assert!(matches!(
        transport(json!({"file": {"dir": directory.path()}})),
        Transport::File(_)
    ));
}
