//! Rust values as PHP values.

use super::float::Float;
use super::value::{Key, Value};

impl From<()> for Value<'_> {
    fn from((): ()) -> Self {
        Value::Null
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

impl From<i32> for Value<'_> {
    fn from(number: i32) -> Self {
        Value::Int(number.into())
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Value::Int(number.into())
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Value::Float(Float::from(number))
    }
}

/// Copies the text.
impl From<&str> for Value<'_> {
    fn from(text: &str) -> Self {
        Value::string(text.as_bytes().to_vec())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::string(text.into_bytes())
    }
}

/// A list.
impl<'a, T: Into<Value<'a>>> From<Vec<T>> for Value<'a> {
    fn from(items: Vec<T>) -> Self {
        list(items)
    }
}

/// A list.
impl<'a, T: Into<Value<'a>>, const N: usize> From<[T; N]> for Value<'a> {
    fn from(items: [T; N]) -> Self {
        list(items)
    }
}

fn list<'a, T: Into<Value<'a>>>(items: impl IntoIterator<Item = T>) -> Value<'a> {
    let entries = (0..)
        .zip(items)
        .map(|(index, item)| (Key::Int(index), item.into()));
    Value::Array(entries.collect())
}

/// As PHP's `json_decode($text, true)` has it, see [`super::from_json()`].
impl From<serde_json::Value> for Value<'_> {
    fn from(json: serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(truth) => Value::Bool(truth),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Value::Int(integer),
                (None, Some(float)) => Value::from(float),
                // Without serde_json's arbitrary precision every number is one of the two.
                (None, None) => Value::from(number.to_string()),
            },
            serde_json::Value::String(text) => Value::from(text),
            serde_json::Value::Array(items) => Value::from(items),
            serde_json::Value::Object(map) => {
                let entries = map.into_iter();
                let entry = |(key, value): (String, _)| (Key::for_array(key.into()), Value::from(value));
                Value::Array(entries.map(entry).collect())
            }
        }
    }
}

impl Value<'_> {
    /// The same value, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(truth) => Value::Bool(truth),
            Value::Int(number) => Value::Int(number),
            Value::Float(float) => Value::Float(float.into_owned()),
            Value::String(bytes) => Value::String(bytes.into_owned().into()),
            Value::Array(entries) => Value::Array(owned(entries)),
            Value::Object(object) => Value::Object(Box::new(super::Object {
                class: object.class.into_owned().into(),
                properties: owned(object.properties),
            })),
            Value::Custom(custom) => Value::Custom(Box::new(custom.into_owned())),
            Value::Enum(case) => Value::Enum(Box::new(super::Enum {
                class: case.class.into_owned().into(),
                case: case.case.into_owned().into(),
            })),
            Value::Reference(slot) => Value::Reference(slot),
            Value::SameObject(slot) => Value::SameObject(slot),
        }
    }
}

fn owned(entries: super::Entries<'_>) -> super::Entries<'static> {
    let entry = |(key, value): super::Entry<'_>| {
        let key = match key {
            Key::Int(number) => Key::Int(number),
            Key::Bytes(bytes) => Key::Bytes(bytes.into_owned().into()),
        };
        (key, value.into_owned())
    };
    entries.into_iter().map(entry).collect()
}
