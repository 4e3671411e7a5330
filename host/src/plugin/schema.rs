//! Checking a handler's configuration against the JSON Schema that its plugin gives: every fault at once.
//!
//! Pure: no file is read and nothing is fetched, whatever a schema refers to. A configuration may hold secrets, so a
//! fault says where it is, what was wanted, and of what was found only what is harmless: numbers, booleans, types and
//! lengths, never the text of a string.

mod alternatives;
mod place;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;

use jsonschema::{
    JsonType, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

use alternatives::closest;

/// How many faults are told; the rest are counted.
const MOST_FAULTS: usize = 20;
/// Characters of a text that comes from a plugin: a name, a pattern, a reason.
const LONGEST_TEXT: usize = 120;

pub(super) use words::json_type;

/// A schema that configurations can be checked against.
pub(super) struct Schema {
    source: Value,
    validator: Validator,
}

/// One thing that is wrong with a configuration. Its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The key with its tables, as the configuration file has it.
    pub place: String,
    /// What was found and what was wanted.
    pub text: String,
}

/// What is wrong with a configuration, at least one thing, sorted by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    told: Vec<Fault>,
    /// How many more there are.
    left_out: usize,
}

/// Where the configuration of a handler stands.
pub(super) fn place_of(handler: &str) -> String {
    place::below("handler", handler)
}

impl Schema {
    /// Reads a schema of any draft, the newest where it names none.
    ///
    /// # Errors
    /// Why it is no schema, in one line: it breaks the rules of its draft, or refers to what it does not hold.
    pub(super) fn read(source: &Value) -> Result<Schema, String> {
        if !(source.is_object() || source.is_boolean()) {
            return Err(format!("it is {}, wanted an object", json_type(source)));
        }
        let validator = jsonschema::options().offline().build(source);
        let validator = validator.map_err(|error| words::no_schema(&error))?;
        Ok(Schema {
            source: source.clone(),
            validator,
        })
    }

    /// Whether a configuration fits; `root` is its own place, such as `handler.mailer`.
    pub(super) fn check(&self, root: &str, config: &Value) -> Result<(), Faults> {
        let mut faults = Vec::new();
        for error in self.validator.iter_errors(config) {
            self.tell(&error, root, config, &mut faults);
        }
        faults.sort();
        faults.dedup();
        if faults.is_empty() {
            return Ok(());
        }
        let left_out = faults.len().saturating_sub(MOST_FAULTS);
        faults.truncate(MOST_FAULTS);
        Err(Faults {
            told: faults,
            left_out,
        })
    }

    /// Adds the faults that an error stands for.
    fn tell(&self, error: &ValidationError<'_>, root: &str, config: &Value, faults: &mut Vec<Fault>) {
        let at = error.instance_path().as_str();
        let mut add = |place: String, text: String| faults.push(Fault { place, text });
        match error.kind() {
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                match closest(at, context) {
                    Ok(errors) => {
                        for error in errors {
                            self.tell(error, root, config, faults);
                        }
                    }
                    Err(wanted) => {
                        let (at, text) = wanted.text(at, config);
                        add(place::of(root, config, &at), text);
                    }
                }
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.siblings(error);
                for name in unexpected {
                    let place = place::below(&place::of(root, config, at), name);
                    add(place, words::unknown(name, &known));
                }
            }
            // Where there are no properties at all, the error is about a value and tells the place of its table.
            ValidationErrorKind::FalseSchema
                if error.schema_path().as_str().ends_with("/additionalProperties")
                    && let Some(Value::Object(table)) = config.pointer(at) =>
            {
                for name in table.keys() {
                    let place = place::below(&place::of(root, config, at), name);
                    add(place, words::unknown(name, &[]));
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let place = place::below(&place::of(root, config, at), name);
                add(place, words::missing(self.sibling(error, name), &self.source));
            }
            ValidationErrorKind::OneOfMultipleValid { .. }
                if let Some(text) = words::several(error.instance(), self.around(error)) =>
            {
                add(place::of(root, config, at), text);
            }
            // PHP has one type for lists and maps, so handlers take its empty list for an empty map.
            ValidationErrorKind::Type {
                kind: TypeKind::Single(JsonType::Object),
            } if error.instance().as_array().is_some_and(Vec::is_empty) => {}
            kind => add(place::of(root, config, at), words::unfit(error.instance(), kind)),
        }
    }

    /// The schema that the error's keyword stands in.
    fn around(&self, error: &ValidationError<'_>) -> Option<&Value> {
        let (parent, _keyword) = error.schema_path().as_str().rsplit_once('/')?;
        self.source.pointer(parent)
    }

    /// The names of the properties beside the error's keyword.
    fn siblings(&self, error: &ValidationError<'_>) -> Vec<&str> {
        let properties = self.around(error).and_then(|schema| schema.get("properties"));
        let properties = properties.and_then(Value::as_object);
        properties
            .into_iter()
            .flat_map(|properties| properties.keys().map(String::as_str))
            .collect()
    }

    /// The schema of a property beside the error's keyword.
    fn sibling(&self, error: &ValidationError<'_>, name: &str) -> Option<&Value> {
        self.around(error)?.get("properties")?.get(name)
    }
}

impl Faults {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.told.len() + self.left_out
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.place, self.text)
    }
}

/// One fault in place; of several each has a line, after a line that counts them.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ([only], 0) = (self.told.as_slice(), self.left_out) {
            return only.fmt(f);
        }
        write!(f, "{} faults", self.count())?;
        for fault in &self.told {
            write!(f, "\n  {fault}")?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
