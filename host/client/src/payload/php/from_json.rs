//! JSON documents as PHP values, so that a producer can write bodies the way the PHP library's client does.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::float::Float;
use super::value::{Entries, Key, Value, winners};

/// Reads a JSON document the way PHP's `json_decode($text, true)` does: objects become arrays in the order of the text,
/// keys like `"5"` become integers, and of repeated keys the last value wins in the place of the first.
///
/// [`Value`] also implements [`Deserialize`], for any other source such as a `serde_json::Value`.
///
/// # Errors
/// Malformed JSON, and nesting beyond serde_json's limit of 128.
pub fn from_json(text: &[u8]) -> Result<Value<'_>, serde_json::Error> {
    serde_json::from_slice(text)
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value<'a>, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Int(number))
    }

    /// PHP turns what does not fit its integers into a float.
    fn visit_u64<E: Error>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(number).map_or_else(|_| Value::Float(Float::from(number as f64)), Value::Int))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(Float::from(number)))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::string(text.as_bytes()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::string(text.as_bytes().to_vec()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value<'de>, E> {
        Ok(Value::string(text.into_bytes()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Entries::new();
        let mut index = 0;
        while let Some(value) = items.next_element()? {
            entries.push((Key::Int(index), value));
            index += 1;
        }
        Ok(Value::Array(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Entries::new();
        while let Some(key) = map.next_key_seed(AnyKey)? {
            entries.push((Key::for_array(key), map.next_value()?));
        }
        if let Some(winners) = winners(&entries) {
            let mut all: Vec<_> = entries.into_iter().map(Some).collect();
            entries = winners
                .into_iter()
                .filter_map(|index| all.get_mut(index)?.take())
                .collect();
        }
        Ok(Value::Array(entries))
    }
}

/// A key as text, borrowed where the source allows it.
pub(in crate::payload) struct AnyKey;

impl<'de> DeserializeSeed<'de> for AnyKey {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for AnyKey {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text))
    }
}
