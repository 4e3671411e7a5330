//! The README's examples are what the handler takes and sends.

use std::process::Command;

use plugin_api::serde_json::{self, Value};

use super::assert_fits;
use crate::{config::Config, signature::sign};

/// The README's code block of a language.
#[track_caller]
pub(super) fn block(language: &str) -> &'static str {
    let text = include_str!("../../README.md");
    let fence = format!("```{language}\n");
    let (_, rest) = text.split_once(&fence).expect("the README has such a block");
    rest.split_once("```").expect("the block ends").0
}

#[test]
fn the_configuration_has_only_known_keys() {
    let file: Value = toml::from_str(block("toml")).expect("the block is TOML");
    let config = file["handler"]["http"].clone();
    assert_fits(&config);
    serde_json::from_value::<Config>(config).expect("the keys are known");
}

#[test]
fn the_php_function_accepts_what_is_signed_and_nothing_else() {
    let body = r#"{"a":"ü"}"#;
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("it is after 1970")
        .as_secs();
    let good = sign(b"shared", now, body.as_bytes());
    let cases = [
        (good.clone(), "yes"),
        (sign(b"other", now, body.as_bytes()), "no"),
        (sign(b"shared", now, b"{}"), "no"),
        (sign(b"shared", now - 1000, body.as_bytes()), "no"),
        (format!("{good}\n"), "no"),
        (String::new(), "no"),
    ];
    for (signature, verdict) in cases {
        let call = "echo asynccall_verify('shared', $argv[1], $argv[2]) ? 'yes' : 'no';";
        let code = block("php").replace("<?php", "");
        let output = Command::new("php")
            .args(["-n", "-r", &format!("{code}\n{call}"), "--", &signature, body])
            .output()
            .expect("php is installed (Debian: apt-get install php-cli)");
        assert_eq!(String::from_utf8_lossy(&output.stdout), verdict, "{signature}");
    }
}
