//! For all values and all bytes.

use asynccall_client::payload::php::{self, Custom, Document, Entries, Enum, Float, Key, Object, Value};
use asynccall_client::payload::{
    Limits, RetryFields, detect, json_view, may_ask_for_no_retry, validated_json_view,
};
use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use crate::golden;

fn any_value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(|number| Value::Float(Float::from(number))),
        vec(any::<u8>(), 0..12).prop_map(Value::string),
        (class(), vec(any::<u8>(), 0..12))
            .prop_map(|(class, payload)| Value::Custom(Box::new(Custom::new(class, payload)))),
        (class(), "[A-Za-z_]{1,6}").prop_map(|(class, case)| {
            Value::Enum(Box::new(Enum {
                class: class.into(),
                case: case.into_bytes().into(),
            }))
        }),
        // The outermost value is there before any other, so slot 1 always exists within it.
        Just(Value::Reference(1)),
    ];
    let tree = leaf.prop_recursive(5, 60, 6, |inner| {
        let entries = vec((any_key(), inner), 0..6).boxed();
        prop_oneof![
            entries.clone().prop_map(Value::Array),
            (class(), entries).prop_map(|(class, properties): (Vec<u8>, Entries<'static>)| {
                Value::Object(Box::new(Object {
                    class: class.into(),
                    properties,
                }))
            }),
        ]
    });
    tree.prop_map(|value| match value {
        Value::Reference(_) => Value::Null,
        value => value,
    })
}

fn class() -> impl Strategy<Value = Vec<u8>> {
    r"[A-Za-z_][A-Za-z0-9_\\]{0,8}".prop_map(String::into_bytes)
}

fn any_key() -> impl Strategy<Value = Key<'static>> {
    prop_oneof![
        any::<i64>().prop_map(Key::Int),
        vec(any::<u8>(), 0..6).prop_map(|key| Key::Bytes(key.into()))
    ]
}

/// A recorded body with some bytes changed, left out or repeated.
fn mutated_body() -> impl Strategy<Value = Vec<u8>> {
    let bodies: Vec<Vec<u8>> = golden::cases()
        .into_iter()
        .map(|case| case.body)
        .filter(|body| body.len() < 2000)
        .collect();
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (prop::sample::select(bodies), vec(change, 1..6)).prop_map(|(mut body, changes)| {
        for (place, byte, kind) in changes {
            if body.is_empty() {
                break;
            }
            let at = place.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body[at] = b"0123456789:;{}\"abdisNOCERrS"[usize::from(byte) % 27],
                2 => drop(body.remove(at)),
                _ => body.truncate(at),
            }
        }
        body
    })
}

/// Every entry point on one body; what was read must be written and read again alike.
fn survives(body: &[u8]) {
    let limits = Limits {
        output: 10_000,
        ..Limits::default()
    };
    let mut scratch = Vec::new();
    let _ = detect(body);
    let fields = RetryFields::read(body, &limits);
    if let Ok(fields) = fields {
        assert!(may_ask_for_no_retry(body) || fields.no_retry != Some(asynccall_client::payload::Flag::True));
    }
    let _ = validated_json_view(body, &limits, &mut Vec::new());
    if let Ok(view) = json_view(body, &limits, &mut scratch)
        && view.json.as_ptr() != body.as_ptr()
    {
        assert!(view.json.len() <= limits.output);
        serde_json::from_slice::<serde::de::IgnoredAny>(view.json).unwrap();
    }
    if let Ok(document) = php::parse(body, &limits) {
        let mut out = Vec::new();
        php::write(document.root(), &mut out);
        assert_eq!(
            php::parse(&out, &limits).as_ref().map(Document::root),
            Ok(document.root())
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_value_that_is_written_is_read_back_the_same(value in any_value()) {
        let mut out = Vec::new();
        php::write(&value, &mut out);
        let document = php::parse(&out, &Limits::default());
        prop_assert_eq!(document.as_ref().map(Document::root), Ok(&value), "{}", out.escape_ascii());
    }

    #[test]
    fn a_float_keeps_its_value_through_its_spelling(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        let read = Float::from(number).value();
        prop_assert!(read.to_bits() == bits || (read.is_nan() && number.is_nan()));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(body in vec(any::<u8>(), 0..200)) {
        survives(&body);
    }

    #[test]
    fn arbitrary_text_in_the_formats_alphabet_does_no_harm(body in "[0-9:;{}\"aisNOCRr]{0,60}") {
        survives(body.as_bytes());
    }

    #[test]
    fn mutated_recorded_bodies_do_no_harm(body in mutated_body()) {
        survives(&body);
    }

    #[test]
    fn json_in_any_nesting_becomes_a_php_value_and_back(depth in 0..120_usize) {
        let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let json = if depth == 0 { "null".to_owned() } else { json };
        let mut out = Vec::new();
        php::write(&php::from_json(json.as_bytes()).unwrap(), &mut out);
        let mut scratch = Vec::new();
        let view = json_view(&out, &Limits::default(), &mut scratch).unwrap();
        prop_assert_eq!(std::str::from_utf8(view.json), Ok(json.as_str()));
    }
}
