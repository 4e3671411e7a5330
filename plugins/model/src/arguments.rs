//! From `methodParams` to the type that a method takes.
//!
//! PHP passes the elements of `methodParams` by position where their keys are numbers and by name where they are texts.
//! Here the fields of a struct are the parameters, in their order:
//!
//! | `methodParams` | into | |
//! |---|---|---|
//! | `["late", 3]` | a struct | the first fields |
//! | `{"reason": "late"}` | a struct | the fields of those names |
//! | `{"0": "late", "by": 3}` | a struct | both, as PHP has them in one array |
//! | a list | a tuple, a `Vec` | the elements |
//! | nothing, `null`, `[]` | a struct of optional fields, `()` | no arguments |

use std::vec;

use plugin_api::{
    php_arrays,
    serde::{
        de::{
            DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor,
        },
        forward_to_deserialize_any,
    },
    serde_json::{Error, Value},
};

/// The arguments as `A`; the error is a sentence for the producer.
pub(crate) fn read<A: DeserializeOwned>(method_params: Value) -> Result<A, String> {
    let given = match method_params {
        Value::Null => Value::Array(Vec::new()),
        Value::Array(_) | Value::Object(_) => method_params,
        other => {
            let found = crate::criteria::kind(&other);
            return Err(format!("`methodParams` is {found}, wanted an array"));
        }
    };
    A::deserialize(Parameters(given)).map_err(|error| format!("`methodParams` do not fit: {error}"))
}

/// Reads a struct from a list, a map, or both in one; everything else as it is.
struct Parameters(Value);

impl<'de> Deserializer<'de> for Parameters {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        php_arrays(self.0).deserialize_any(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        php_arrays(self.0).deserialize_unit(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        php_arrays(self.0).deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        parameters: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Entries {
            entries: entries(self.0, parameters)?.into_iter(),
            value: None,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit_struct
        seq tuple tuple_struct enum identifier ignored_any
    }
}

/// The arguments by their parameters' names.
fn entries(given: Value, parameters: &'static [&'static str]) -> Result<Vec<(&'static str, Value)>, Error> {
    let given: Vec<(String, Value)> = match given {
        Value::Object(map) => map.into_iter().collect(),
        Value::Array(list) => {
            let list = list.into_iter().enumerate();
            list.map(|(position, value)| (position.to_string(), value))
                .collect()
        }
        _ => Vec::new(),
    };
    let mut entries: Vec<(&'static str, Value)> = Vec::with_capacity(given.len());
    for (key, value) in given {
        let parameter = match key.parse::<usize>() {
            Ok(position) => parameters.get(position).copied(),
            Err(_) => parameters.iter().copied().find(|name| *name == key),
        };
        let Some(parameter) = parameter else {
            let wanted = parameters.join("`, `");
            return Err(Error::custom(format!(
                "no parameter takes the argument `{key}`, wanted `{wanted}`"
            )));
        };
        if entries.iter().any(|(name, _)| *name == parameter) {
            return Err(Error::custom(format!("`{parameter}` is given twice")));
        }
        entries.push((parameter, value));
    }
    Ok(entries)
}

/// What a struct is read from.
struct Entries {
    entries: vec::IntoIter<(&'static str, Value)>,
    /// The value of the key that was read last.
    value: Option<(&'static str, Value)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value = self.entries.next();
        match &self.value {
            Some((name, _)) => seed.deserialize((*name).into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let (name, value) = self.value.take().unwrap_or_default();
        seed.deserialize(php_arrays(value))
            .map_err(|error| Error::custom(format!("{error} (at `{name}`)")))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use plugin_api::serde::Deserialize;
    use plugin_api::serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(crate = "plugin_api::serde")]
    struct Cancel {
        reason: String,
        by: Option<u32>,
        #[serde(default)]
        tags: HashMap<String, String>,
    }

    fn cancel(reason: &str, by: Option<u32>) -> Result<Cancel, String> {
        Ok(Cancel {
            reason: reason.to_owned(),
            by,
            tags: HashMap::new(),
        })
    }

    #[test]
    fn arguments_are_given_by_position_by_name_and_by_both() {
        for (given, wanted) in [
            (json!(["late"]), cancel("late", None)),
            (json!(["late", 3]), cancel("late", Some(3))),
            // PHP's empty array is a map too, inside as well.
            (json!(["late", null, []]), cancel("late", None)),
            (json!({"by": 3, "reason": "late"}), cancel("late", Some(3))),
            (json!({"0": "late", "by": 3}), cancel("late", Some(3))),
            (json!({"1": 3, "0": "late"}), cancel("late", Some(3))),
        ] {
            assert_eq!(read::<Cancel>(given.clone()), wanted, "{given}");
        }
        assert_eq!(read::<(String, i64)>(json!(["a", 7])), Ok(("a".to_owned(), 7)));
        assert_eq!(read::<Vec<i64>>(json!([7, 8])), Ok(vec![7, 8]));
        for none in [json!(null), json!([]), json!({})] {
            assert_eq!(read::<()>(none.clone()), Ok(()), "{none}");
        }
    }

    #[test]
    fn arguments_that_do_not_fit_say_which_and_why() {
        let refused = |given| read::<Cancel>(given).expect_err("it does not fit");
        let table = [
            (json!([]), "missing field `reason`"),
            (json!(["late", "x"]), "(at `by`)"),
            (json!(["a", 1, [], 4]), "no parameter takes the argument `3`"),
            (
                json!({"raeson": "late"}),
                "no parameter takes the argument `raeson`",
            ),
            (json!({"0": "late", "reason": "late"}), "`reason` is given twice"),
            (json!("late"), "`methodParams` is a text, wanted an array"),
        ];
        for (given, wanted) in table {
            let refused = refused(given.clone());
            assert!(refused.contains(wanted), "{given}: {refused}");
        }
        assert!(read::<()>(json!([1])).is_err());
        assert!(read::<(i64,)>(json!([1, 2])).is_err());
    }
}
