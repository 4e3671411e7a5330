use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::from_slice;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
struct Options {
    retries: u32,
    note: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Wrapped(Options);

#[derive(Debug, Deserialize, PartialEq)]
struct Nothing;

#[derive(Debug, Deserialize, PartialEq)]
struct Nested {
    options: Options,
    maybe: Option<Options>,
    wrapped: Wrapped,
    list: Vec<Options>,
    pair: (Options, u8),
    map: HashMap<String, Options>,
    nothing: Nothing,
    any: Value,
}

#[derive(Debug, Deserialize, PartialEq)]
enum Channel {
    Plain,
    Mail { to: Option<String> },
    Sms(Options),
    Both(Options, Options),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mail {
    #[allow(dead_code, reason = "only whether it deserializes is asked")]
    to: String,
    #[allow(dead_code, reason = "only whether it deserializes is asked")]
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    #[allow(dead_code, reason = "only whether it deserializes is asked")]
    size: u32,
}

fn read<T: DeserializeOwned>(json: Value) -> Result<T, String> {
    from_slice(json.to_string().as_bytes())
}

#[test]
fn what_is_not_utf_8_is_refused_wherever_it_is() {
    let found = from_slice::<Value>(b"{\"size\": \"\xE4\"}");
    let expected = "found no UTF-8 at byte 10, and JSON is UTF-8 throughout";
    assert_eq!(found, Err(expected.to_owned()));
    let unread = from_slice::<Part>(b"{\"size\": 1, \"unread\": \"\xE4\"}");
    assert!(unread.is_err_and(|said| said.starts_with("found no UTF-8 at byte 23")));
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(json: &str) -> String {
    from_slice::<T>(json.as_bytes()).expect_err("the document does not fit")
}

#[test]
fn an_empty_list_is_an_empty_map_struct_list_or_nothing() {
    assert_eq!(read(json!([])), Ok(Options::default()));
    assert_eq!(read(json!([])), Ok(Wrapped(Options::default())));
    assert_eq!(read(json!([])), Ok(BTreeMap::<String, u8>::new()));
    assert_eq!(read(json!([])), Ok(Vec::<u8>::new()));
    assert_eq!(read(json!([])), Ok(Nothing));
    for nothing in [json!([]), json!({}), json!(null)] {
        assert_eq!(read(nothing), Ok(()));
    }
    assert_eq!(read(json!([])), Ok(json!([])));
}

#[test]
fn an_empty_list_is_an_empty_map_at_every_depth() {
    let nested: Nested = read(json!({
        "options": [], "maybe": [], "wrapped": [], "list": [[], {"retries": 1}], "pair": [[], 3],
        "map": {"a": []}, "nothing": [], "any": {"inside": []},
    }))
    .expect("every empty list fits");
    assert_eq!(nested.maybe, Some(Options::default()));
    assert_eq!(
        nested
            .list
            .iter()
            .map(|options| options.retries)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(nested.pair, (Options::default(), 3));
    assert_eq!(nested.map.get("a"), Some(&Options::default()));
    assert_eq!(nested.any, json!({"inside": []}));
}

#[test]
fn enums_read_as_without_the_wrapper() {
    assert_eq!(read(json!("Plain")), Ok(Channel::Plain));
    assert_eq!(
        read(json!({"Mail": {"to": "a"}})),
        Ok(Channel::Mail { to: Some("a".into()) })
    );
    assert_eq!(read(json!({"Mail": []})), Ok(Channel::Mail { to: None }));
    assert_eq!(read(json!({"Sms": []})), Ok(Channel::Sms(Options::default())));
    assert_eq!(
        read(json!({"Both": [[], {"retries": 2}]})),
        Ok(Channel::Both(
            Options::default(),
            Options {
                retries: 2,
                note: None
            }
        ))
    );
}

#[test]
fn a_list_with_elements_is_no_struct() {
    assert_eq!(
        refused::<Options>("[1, null]"),
        "invalid type: sequence, expected struct Options"
    );
    assert_eq!(
        refused::<()>(r#"{"smtp":1}"#),
        "unknown field `smtp`, there are no fields"
    );
}

#[test]
fn an_error_is_serdes_sentence_with_the_path_and_no_position() {
    let table = [
        ("{}", "missing field `to`"),
        ("[]", "missing field `to`"),
        (r#"{"two":"x"}"#, "unknown field `two`, expected `to` or `parts`"),
        (
            r#"{"to":5}"#,
            "invalid type: integer `5`, expected a string (at `to`)",
        ),
        (
            r#"{"to":[]}"#,
            "invalid type: sequence, expected a string (at `to`)",
        ),
        (r#"{"to":{}}"#, "invalid type: map, expected a string (at `to`)"),
        (
            r#"{"to":null}"#,
            "invalid type: null, expected a string (at `to`)",
        ),
        (
            r#"{"to":"a\"}","parts":[{"size":1},{}]}"#,
            "missing field `size` (at `parts.1`)",
        ),
        (
            "{\"to\":\"a\",\n \"parts\":[ {\"size\" : \"big\"} ]}",
            "invalid type: string \"big\", expected u32 (at `parts.0.size`)",
        ),
        (
            r#"{"to":"a","parts":7}"#,
            "invalid type: integer `7`, expected a sequence (at `parts`)",
        ),
    ];
    for (json, sentence) in table {
        assert_eq!(refused::<Mail>(json), sentence, "{json}");
    }
    assert_eq!(refused::<u8>("300"), "invalid value: integer `300`, expected u8");
}

#[test]
fn what_is_not_json_keeps_its_position() {
    assert_eq!(refused::<Mail>(r#"{"to" 5}"#), "expected `:` at line 1 column 7");
    assert_eq!(
        refused::<Mail>(r#"{"to":"a"} x"#),
        "trailing characters at line 1 column 12"
    );
    assert_eq!(
        refused::<Mail>(""),
        "EOF while parsing a value at line 1 column 0"
    );
}

#[test]
fn a_path_of_long_keys_is_cut() {
    let key = "k".repeat(500);
    let said = refused::<HashMap<String, u8>>(&format!(r#"{{"{key}":"x"}}"#));
    assert_eq!(said, "invalid type: string \"x\", expected u8 (at `...`)");
}
