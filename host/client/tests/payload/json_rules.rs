//! When a JSON view says the same as what PHP said.

use serde_json::{Map, Value};

/// Equal as JSON values, numbers by their value (1 = 1.0).
///
/// An expected `__serialized` of null stands for any payload.
pub(crate) fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(expected), Value::Number(found)) => {
            expected == found || expected.as_f64() == found.as_f64() && expected.is_f64() != found.is_f64()
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(left, right)| same(left, right))
        }
        (Value::Object(expected), Value::Object(found)) => {
            let same_entry = |(key, value): (&String, &Value)| {
                let open = key == "__serialized" && value.is_null();
                found.get(key).is_some_and(|other| open || same(value, other))
            };
            expected.len() == found.len() && expected.iter().all(same_entry)
        }
        _ => expected == found,
    }
}

/// What `json_encode` would have seen of a view: objects without their class and their properties that are not public.
pub(crate) fn public_part(view: &Value) -> Value {
    match view {
        Value::Array(items) => Value::Array(items.iter().map(public_part).collect()),
        Value::Object(entries) if entries.contains_key("__class") => {
            let public = |key: &str| key != "__class" && !key.starts_with('*') && !key.contains("::");
            let entries = entries.iter().filter(|(key, _)| public(key));
            Value::Object(
                entries
                    .map(|(key, value)| (key.clone(), public_part(value)))
                    .collect::<Map<_, _>>(),
            )
        }
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), public_part(value)))
                .collect(),
        ),
        scalar => scalar.clone(),
    }
}
