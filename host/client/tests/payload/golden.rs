//! Bodies that the PHP library's client really put on the wire.

use std::path::Path;

use asynccall_client::payload::{Format, Limits, detect, json_view, php};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::json_rules::{public_part, same};

/// Cases whose objects `json_encode` does not show by their serialized properties.
const SHOWN_OTHERWISE: [&str; 5] = [
    "object_sleep",
    "object_custom_serialize",
    "object_serializable_C",
    "object_enum",
    "object_arrayobject",
];
/// The body of this one was read as commands by the server, and is no longer the client's.
const NOT_PHP: &str = "delay_negative_body_runs_as_commands";

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
    pub(crate) decoded: Option<Value>,
    pub(crate) decoded_error: Option<String>,
}

pub(crate) fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/php/golden.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let case = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Case {
            name: line["case"].as_str().unwrap().to_owned(),
            body: BASE64.decode(line["body_base64"].as_str().unwrap()).unwrap(),
            decoded: line["decoded_json"]
                .as_str()
                .map(|text| serde_json::from_str(text).unwrap()),
            decoded_error: line["decoded_json_error"].as_str().map(str::to_owned),
        }
    };
    text.lines()
        .map(case)
        .filter(|case| case.name != NOT_PHP)
        .collect()
}

/// The view of a body, parsed; the error in full where there is none.
pub(crate) fn view_of(body: &[u8]) -> Result<Value, String> {
    let mut scratch = Vec::new();
    match json_view(body, &Limits::default(), &mut scratch) {
        Ok(view) => Ok(serde_json::from_slice(view.json).unwrap()),
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            Err(text)
        }
    }
}

pub(crate) fn rewritten(body: &[u8]) -> Vec<u8> {
    let document = php::parse(body, &Limits::default()).unwrap();
    let mut out = Vec::new();
    php::write(document.root(), &mut out);
    out
}

#[test]
fn every_recorded_body_is_detected_and_written_back_byte_for_byte() {
    let cases = cases();
    assert!(cases.len() > 80);
    for case in cases {
        assert_eq!(detect(&case.body), Format::Php, "{}", case.name);
        assert!(rewritten(&case.body) == case.body, "{}", case.name);
    }
}

#[test]
fn the_view_of_a_recorded_body_says_what_php_said() {
    for case in cases() {
        let Some(decoded) = &case.decoded else { continue };
        if SHOWN_OTHERWISE.contains(&case.name.as_str()) {
            continue;
        }
        let view = view_of(&case.body).unwrap();
        assert!(
            same(decoded, &public_part(&view)),
            "{}: wanted {decoded}, found {view}",
            case.name
        );
    }
}

#[test]
fn what_php_could_not_encode_has_a_view_unless_it_contains_itself() {
    let refused: Vec<_> = cases()
        .into_iter()
        .filter(|case| case.decoded.is_none())
        .collect();
    assert!(refused.len() >= 6);
    for case in refused {
        let view = view_of(&case.body);
        if case.decoded_error.as_deref() == Some("Recursion detected") {
            assert!(view.unwrap_err().contains("leads back"), "{}", case.name);
        } else {
            assert!(view.is_ok(), "{}: {view:?}", case.name);
        }
    }
}

#[test]
fn objects_that_php_shows_otherwise_have_the_documented_forms() {
    let shown = |name: &str| {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        view_of(&case.body).unwrap()["methodParams"].to_string()
    };
    assert_eq!(
        shown("object_sleep"),
        r#"[{"*b":2,"Bench\\Sleepy::c":3,"__class":"Bench\\Sleepy","a":1}]"#
    );
    assert_eq!(
        shown("object_custom_serialize"),
        r#"[{"7":true,"__class":"Bench\\Custom","v":{"k":"v"}}]"#
    );
    assert_eq!(
        shown("object_serializable_C"),
        r#"[{"__class":"Bench\\OldSer","__serialized":"any}bytes;\u0000\u0001raw"},"after"]"#
    );
    assert_eq!(
        shown("object_enum"),
        r#"["Bench\\Suit::Hearts","Bench\\Suit::Spades","Bench\\Suit::Hearts"]"#
    );
    assert_eq!(
        shown("object_arrayobject"),
        r#"[{"0":0,"1":{"0":2,"x":1},"2":[],"3":null,"__class":"ArrayObject"},{"0":[],"1":[],"__class":"SplObjectStorage"},{"0":6,"1":[],"2":[],"__class":"SplStack"}]"#
    );
    assert_eq!(
        shown("floats_nonfinite"),
        r#"[{"__float":"INF"},{"__float":"-INF"},{"__float":"NAN"}]"#
    );
    assert_eq!(shown("string_gbk"), r#"[{"__base64":"xOO6ww=="}]"#);
}

#[test]
fn a_nine_key_body_made_from_json_equals_the_clients() {
    let json =
        br#"{"model":"\\Bench\\Noop","method":"test","modelParams":"","methodParams":[],"errorRetry":false,
        "noRetry":false,"priority":1795327562,"retryIntervalTime":0,"retryStopAt":""}"#;
    let mut out = Vec::new();
    php::write(&php::from_json(json).unwrap(), &mut out);
    let recorded = cases().into_iter().find(|case| case.name == "minimal").unwrap();
    assert_eq!(
        out.escape_ascii().to_string(),
        recorded.body.escape_ascii().to_string()
    );
}
