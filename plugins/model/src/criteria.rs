//! Phalcon's criteria: from `modelParams` to what is asked of the database, without one.
//!
//! - `lexer`, `parser`: the text of the conditions,
//! - `bind`: puts a value in the place of every placeholder,
//! - this file: the array that conditions, binds and order come in.
//!
//! No text of a message ever becomes SQL. Conditions are parsed into a tree whose names are compared with the columns of
//! the model and whose values are all handed over as binds, literals too.

mod bind;
mod lexer;
mod parser;

#[cfg(test)]
mod tests;

use plugin_api::serde_json::{Map, Value};
use thiserror::Error;

pub(crate) use bind::Bound;
pub(crate) use parser::{Conditions, Operator, Test};

/// The keys that are understood. Position 0 is how Phalcon's short form names the conditions.
const KEYS: [&str; 6] = ["0", "conditions", "bind", "order", "limit", "offset"];
/// Keys of Phalcon's that would change what the method gets or how the row is read.
const REFUSED: [(&str, &str); 7] = [
    ("columns", "a method needs the whole row"),
    ("for_update", "the job's transaction decides about locks"),
    ("shared_lock", "the job's transaction decides about locks"),
    ("bindTypes", "the columns decide about types"),
    ("group", "a group of rows is no model"),
    ("having", "a group of rows is no model"),
    ("cache", "a job must see what the database holds"),
];

/// What to find, first in `order`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Criteria {
    pub(crate) conditions: Option<Bound>,
    pub(crate) order: Vec<Order>,
    pub(crate) offset: u64,
}

/// One column of the order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) column: String,
    pub(crate) descending: bool,
}

/// Why criteria are none. The job is at fault.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum CriteriaError {
    #[error("the conditions have {length} bytes, wanted at most {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("the conditions are nested deeper than {limit} levels")]
    TooDeep { limit: usize },
    #[error("byte {at} of the conditions: found {found}, wanted {wanted}")]
    Unexpected {
        at: usize,
        found: String,
        wanted: &'static str,
    },
    #[error("the placeholder `{placeholder}` has no value in `bind`")]
    Unbound { placeholder: String },
    #[error("`bind` has a value for `{name}`, which the conditions do not mention")]
    Unused { name: String },
    #[error("the value of `{placeholder}` is {found}, wanted {wanted}")]
    Value {
        placeholder: String,
        found: &'static str,
        wanted: &'static str,
    },
    #[error("unknown key `{key}`, wanted one of `conditions`, `bind`, `order`, `limit`, `offset`{hint}")]
    UnknownKey { key: String, hint: String },
    #[error("`{key}` is not supported: {reason}")]
    Refused { key: &'static str, reason: &'static str },
    #[error("`{key}` is {found}, wanted {wanted}")]
    Shape {
        key: &'static str,
        found: &'static str,
        wanted: &'static str,
    },
    #[error("`order` has `{found}`, wanted a column, then `ASC` or `DESC` or nothing")]
    Order { found: String },
}

impl Criteria {
    /// Criteria of a text: conditions without placeholders.
    pub(crate) fn of_text(text: &str) -> Result<Self, CriteriaError> {
        Ok(Criteria {
            conditions: Some(bind::bind(parser::parse(text)?, Map::new())?),
            ..Criteria::default()
        })
    }

    /// Criteria of a PHP array without string keys: `["status = 'open'"]`.
    pub(crate) fn of_list(list: &[Value]) -> Result<Self, CriteriaError> {
        Criteria::of_map(&bind::positions(list))
    }

    /// Criteria of a PHP array with string keys, or of a JSON object.
    pub(crate) fn of_map(map: &Map<String, Value>) -> Result<Self, CriteriaError> {
        for key in map.keys() {
            known(key)?;
        }
        if let (Some(_), Some(_)) = (map.get("0"), map.get("conditions")) {
            return Err(CriteriaError::Shape {
                key: "conditions",
                found: "given twice",
                wanted: "them once",
            });
        }
        let given = map.get("conditions").or_else(|| map.get("0"));
        let conditions = match given {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.trim().is_empty() => None,
            Some(Value::String(text)) => Some(parser::parse(text)?),
            Some(other) => return Err(shape("conditions", other, "a text")),
        };
        let values = match map.get("bind") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(values)) => values.clone(),
            Some(Value::Array(values)) => bind::positions(values),
            Some(other) => return Err(shape("bind", other, "an array of values")),
        };
        let conditions = match conditions {
            Some(conditions) => Some(bind::bind(conditions, values)?),
            None => match values.into_iter().next() {
                Some((name, _)) => return Err(CriteriaError::Unused { name }),
                None => None,
            },
        };
        limit(map.get("limit"))?;
        Ok(Criteria {
            conditions,
            order: order(map.get("order"))?,
            offset: offset(map.get("offset"))?,
        })
    }
}

/// Refuses a key that is not understood, with the reason or the nearest one that is.
fn known(key: &str) -> Result<(), CriteriaError> {
    if KEYS.contains(&key) {
        return Ok(());
    }
    if let Some((key, reason)) = REFUSED.iter().find(|(refused, _)| *refused == key) {
        return Err(CriteriaError::Refused { key, reason });
    }
    let near = KEYS[1..].iter().map(|known| (strsim::jaro(key, known), known));
    let near = near.max_by(|(a, _), (b, _)| a.total_cmp(b));
    let hint = near.filter(|(likeness, _)| *likeness > 0.8);
    Err(CriteriaError::UnknownKey {
        key: key.to_owned(),
        hint: hint.map_or_else(String::new, |(_, known)| {
            format!("; hint: did you mean `{known}`?")
        }),
    })
}

/// `limit` changes nothing, since only the first row is read; what could not be one is refused.
fn limit(value: Option<&Value>) -> Result<(), CriteriaError> {
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(value) if whole(value).is_some_and(|limit| limit > 0) => Ok(()),
        Some(value) => Err(shape("limit", value, "a whole number above 0")),
    }
}

fn offset(value: Option<&Value>) -> Result<u64, CriteriaError> {
    match value {
        None | Some(Value::Null) => Ok(0),
        Some(value) => whole(value).ok_or_else(|| shape("offset", value, "a whole number")),
    }
}

/// A number, or one that PHP has read from a form as text. Databases count up to `i64::MAX`.
fn whole(value: &Value) -> Option<u64> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    number.filter(|number| i64::try_from(*number).is_ok())
}

/// `"created_at DESC, id"`, or a list of such.
fn order(value: Option<&Value>) -> Result<Vec<Order>, CriteriaError> {
    const WANTED: &str = "a text such as `created_at DESC, id`";
    let texts: Vec<&str> = match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => text.split(',').collect(),
        Some(Value::Array(texts)) => {
            let texts = texts.iter();
            let texts = texts.map(|text| text.as_str().ok_or_else(|| shape("order", text, WANTED)));
            texts.collect::<Result<_, _>>()?
        }
        Some(other) => return Err(shape("order", other, WANTED)),
    };
    texts.into_iter().map(order_of).collect()
}

fn order_of(text: &str) -> Result<Order, CriteriaError> {
    let mut words = text.split_whitespace();
    let column = words.next().map(|word| {
        let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
        bare.unwrap_or(word)
    });
    let descending = match words.next() {
        None => Some(false),
        Some(word) if word.eq_ignore_ascii_case("asc") => Some(false),
        Some(word) if word.eq_ignore_ascii_case("desc") => Some(true),
        Some(_) => None,
    };
    match (column, descending, words.next()) {
        (Some(column), Some(descending), None) => Ok(Order {
            column: column.to_owned(),
            descending,
        }),
        _ => Err(CriteriaError::Order {
            found: text.trim().to_owned(),
        }),
    }
}

fn shape(key: &'static str, found: &Value, wanted: &'static str) -> CriteriaError {
    CriteriaError::Shape {
        key,
        found: kind(found),
        wanted,
    }
}

/// What a value is, for an error. Never the value itself, which may be somebody's data.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an array with keys",
    }
}
