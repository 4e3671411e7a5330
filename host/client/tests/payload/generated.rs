//! Bodies that a real `php` writes while the test runs, with PHP's own view of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use asynccall_client::payload::php::{self, Entries, Float};
use asynccall_client::payload::{Limits, RetryFields};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::golden::{rewritten, view_of};
use crate::json_rules::same;

struct Case {
    name: String,
    body: Vec<u8>,
    json: Option<Value>,
    view: Option<Value>,
    cycle: bool,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures/php")
        .join(name)
}

/// Runs `php`. `None` where there is none, which fails where `CI` is set and is said aloud elsewhere.
fn php(arguments: &[&str]) -> Option<String> {
    let started = Command::new("php")
        .args(["-d", "display_errors=stderr"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output();
    match started {
        Ok(output) => {
            assert!(output.status.success(), "php {arguments:?}: {}", output.status);
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            let required = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!required, "cannot run `php`: {error}");
            // Not by a macro, whose text the test harness would keep to itself.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: cannot run `php` ({error}), so nothing is compared with it"
            );
            None
        }
    }
}

fn cases() -> Option<Vec<Case>> {
    let script = fixture("cases.php");
    let lines = php(&[script.to_str().unwrap(), "1"])?;
    let parsed = |value: &Value| value.as_str().map(|text| serde_json::from_str(text).unwrap());
    let case = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Case {
            name: line["name"].as_str().unwrap().to_owned(),
            body: BASE64.decode(line["body"].as_str().unwrap()).unwrap(),
            json: parsed(&line["json"]),
            view: parsed(&line["view"]),
            cycle: line["cycle"].as_bool().unwrap(),
        }
    };
    Some(lines.lines().map(case).collect())
}

#[test]
fn every_generated_body_is_written_back_byte_for_byte() {
    for case in cases().into_iter().flatten() {
        let (found, wanted) = (rewritten(&case.body), case.body);
        assert!(found == wanted, "{}: {}", case.name, wanted.escape_ascii());
    }
}

#[test]
fn the_view_of_a_generated_body_says_what_php_says() {
    let Some(cases) = cases() else { return };
    let (mut plain, mut viewed, mut cycles) = (0, 0, 0);
    for Case {
        name,
        body,
        json,
        view: wanted,
        cycle,
    } in cases
    {
        let text = body.escape_ascii();
        let found = view_of(&body);
        if cycle {
            assert!(
                found.is_err_and(|error| error.contains("leads back")),
                "{name}: {text}"
            );
            cycles += 1;
            continue;
        }
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
        if let Some(json) = json {
            assert!(
                same(&json, &found),
                "{name}: wanted {json}, found {found}: {text}"
            );
            plain += 1;
        }
        let wanted = wanted.unwrap();
        assert!(
            same(&wanted, &found),
            "{name}: wanted {wanted}, found {found}: {text}"
        );
        viewed += 1;
    }
    assert!(
        plain > 500 && viewed > 2000 && cycles > 20,
        "{plain} {viewed} {cycles}"
    );
}

#[test]
fn floats_are_spelled_as_php_spells_them() {
    let mut checked = 0;
    for case in cases()
        .into_iter()
        .flatten()
        .filter(|case| case.name.starts_with("floats"))
    {
        let document = php::parse(&case.body, &Limits::default()).unwrap();
        let php::Value::Array(entries) = document.root() else {
            panic!("{} is no array", case.name)
        };
        checked += respelled(entries);
    }
    assert!(checked >= 10_000 || php(&["-v"]).is_none(), "{checked}");
}

#[track_caller]
fn respelled(entries: &Entries<'_>) -> usize {
    for (_, value) in entries {
        let php::Value::Float(float) = value else {
            panic!("{value:?} is no float")
        };
        assert_eq!(Float::from(float.value()).spelling(), float.spelling());
    }
    entries.len()
}

#[test]
fn the_retry_interval_is_what_intval_makes_of_it() {
    let script = r#"
        $values = ["5", " 5", "\n\t5", "5 ", "10abc", "abc", "", "1e3", "1e3x", "1e", "1e+", "-1.9", ".5", ".", "-", "+7", "- 1",
            "0x1A", "0b1", "99999999999999999999", "-99999999999999999999", "1e100", "-1e100", "1.9e1", "9223372036854775807",
            "\v7", "\f7", "\0007", "1_000", "\u{a0}5", "INF", "NAN",
            5, -5, 0, true, false, [], [0], 1.9, -1.9, 1e19, -1e19, 1e20, 1.5e25, 1e300, INF, -INF, NAN, -0.0, 9.3e18, 1.8446744073709552e19];
        foreach ($values as $value) {
            echo base64_encode(serialize(["retryIntervalTime" => $value])), " ", intval($value), "\n";
        }"#;
    let lines = php(&["-r", script]);
    for line in lines.iter().flat_map(|lines| lines.lines()) {
        let (body, wanted) = line.split_once(' ').unwrap();
        let body = BASE64.decode(body).unwrap();
        let fields = RetryFields::read(&body, &Limits::default()).unwrap();
        assert_eq!(
            fields.retry_interval,
            Some(wanted.parse().unwrap()),
            "{}",
            body.escape_ascii()
        );
    }
}
