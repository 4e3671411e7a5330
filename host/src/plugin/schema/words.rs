//! What is said of one fault: what was found, what was wanted, and what may have been meant.

use jsonschema::{
    JsonType, ReferencingError, ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

use super::LONGEST_TEXT;
use crate::plugin::nearby::nearest;

/// How many alternatives are listed before the rest are left out.
const MOST_LISTED: usize = 12;

/// A value of the configuration, by its type. Even a number may be a password that lacks its quotes.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Bool(_) => format!("`{value}`"),
        Value::Object(_) => "a table".to_owned(),
        other => json_type(other).to_owned(),
    }
}

/// What sort of JSON value it is.
pub(in crate::plugin) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A text of the plugin's in one line, shortened.
pub(super) fn short(text: &str) -> String {
    let mut letters = text.chars();
    let mut short: String = letters.by_ref().take(LONGEST_TEXT).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
        .escape_debug()
        .to_string()
        .replace("\\\"", "\"")
        .replace("\\'", "'")
}

/// A type in words; the nothing of JSON has none, as TOML cannot write it.
pub(super) fn type_name(kind: JsonType) -> Option<&'static str> {
    match kind {
        JsonType::Null => None,
        JsonType::Boolean => Some("`true` or `false`"),
        JsonType::Integer => Some("a whole number"),
        JsonType::Number => Some("a number"),
        JsonType::String => Some("a string"),
        JsonType::Array => Some("a list"),
        JsonType::Object => Some("a table"),
    }
}

/// The types that a schema wants.
pub(super) fn type_names(kind: &TypeKind) -> Vec<&'static str> {
    match kind {
        TypeKind::Single(kind) => type_name(*kind).into_iter().collect(),
        TypeKind::Multiple(kinds) => kinds.iter().filter_map(type_name).collect(),
    }
}

/// The name of a key.
pub(super) fn name(name: &str) -> String {
    format!("`{}`", short(name))
}

/// A value of the schema.
pub(super) fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", short(text)),
        other => format!("`{}`", short(&other.to_string())),
    }
}

/// Several things of which one is wanted.
pub(super) fn either(items: Vec<String>) -> String {
    listed(items, "or")
}

/// Several things.
pub(super) fn all(items: Vec<String>) -> String {
    listed(items, "and")
}

fn listed(mut items: Vec<String>, word: &str) -> String {
    items.dedup();
    if items.len() > MOST_LISTED {
        items.truncate(MOST_LISTED);
        return format!("{}, …", items.join(", "));
    }
    match items.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} {word} {last}", others.join(", ")),
    }
}

/// A value that is none of those that are allowed.
pub(super) fn none_of(instance: &Value, options: &[&Value]) -> String {
    let wanted = either(options.iter().map(|option| quoted(option)).collect());
    let near = instance
        .as_str()
        .and_then(|text| nearest(text, options.iter().filter_map(|option| option.as_str())));
    // A similar word is one of the schema's, so it gives nothing away.
    format!("found {}, wanted {wanted}{}", found(instance), hint(near))
}

/// A key that the schema does not have.
pub(super) fn unknown(name: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(name, known.iter().copied()) {
        return format!("unknown key{}", hint(Some(near)));
    }
    match known.is_empty() {
        true => "unknown key".to_owned(),
        false => {
            let known = known.iter().copied().map(self::name);
            format!("unknown key, wanted {}", either(known.collect()))
        }
    }
}

/// A key that is not there, and the schema of its value where there is one.
pub(super) fn missing(schema: Option<&Value>, root: &Value) -> String {
    let wanted = schema.and_then(|schema| wanted(schema, root));
    format!("found nothing, wanted {}", wanted.as_deref().unwrap_or("a value"))
}

/// Keys of which a table has several and may have one: those that it has, where each form of `around` wants one key.
pub(super) fn several(instance: &Value, around: Option<&Value>) -> Option<String> {
    let forms = around?.get("oneOf")?.as_array()?;
    let key = |form: &'_ Value| match form.get("required")?.as_array()?.as_slice() {
        [only] => only.as_str().map(str::to_owned),
        _ => None,
    };
    let keys = forms.iter().map(key).collect::<Option<Vec<String>>>()?;
    let is_there = |key: &&String| instance.get(key.as_str()).is_some_and(|value| !value.is_null());
    let found: Vec<String> = keys.iter().filter(is_there).map(|key| name(key)).collect();
    (found.len() > 1).then(|| format!("found {}, wanted only one of them", all(found)))
}

/// What a schema wants, where a few words can say it.
fn wanted(schema: &Value, root: &Value) -> Option<String> {
    let schema = match schema.get("$ref").and_then(Value::as_str) {
        // Only one step: what is behind a second one is for the schema's own page to say.
        Some(reference) => root.pointer(reference.strip_prefix('#')?)?,
        None => schema,
    };
    if let Some(Value::Array(options)) = schema.get("enum") {
        return Some(either(options.iter().map(quoted).collect()));
    }
    let options = schema.get("oneOf").and_then(Value::as_array);
    let constants = options.map(|options| options.iter().map(|option| option.get("const")));
    if let Some(constants) = constants.and_then(|constants| constants.collect::<Option<Vec<_>>>()) {
        return Some(either(constants.into_iter().map(quoted).collect()));
    }
    let kinds = match schema.get("type")? {
        Value::Array(kinds) => kinds.iter().collect(),
        kind => vec![kind],
    };
    let kinds = kinds.into_iter().filter_map(|kind| kind.as_str()?.parse().ok());
    let names: Vec<String> = kinds.filter_map(type_name).map(str::to_owned).collect();
    (!names.is_empty()).then(|| either(names))
}

/// A value that a keyword of the schema does not allow.
pub(super) fn unfit(instance: &Value, kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Enum { options } => {
            let options: Vec<&Value> = options.as_array().into_iter().flatten().collect();
            none_of(instance, &options)
        }
        ValidationErrorKind::Constant { expected_value } => none_of(instance, &[expected_value]),
        ValidationErrorKind::BacktrackLimitExceeded { .. }
        | ValidationErrorKind::RegexEngineFailure { .. } => {
            "its pattern takes too long to compare".to_owned()
        }
        ValidationErrorKind::Not { .. } => format!("found {}, which is excluded", found(instance)),
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            format!(
                "found {} of several forms at once, wanted one of them",
                found(instance)
            )
        }
        ValidationErrorKind::PropertyNames { .. } => "found a key that may not be there".to_owned(),
        ValidationErrorKind::FalseSchema => format!("found {}, wanted nothing", found(instance)),
        ValidationErrorKind::UniqueItems => "found an entry twice, wanted each once".to_owned(),
        kind => format!("found {}, wanted {}", measured(instance, kind), bound(kind)),
    }
}

/// The value, or its length where that is what it is about.
fn measured(instance: &Value, kind: &ValidationErrorKind) -> String {
    match (instance, kind) {
        (
            Value::String(text),
            ValidationErrorKind::MinLength { .. } | ValidationErrorKind::MaxLength { .. },
        ) => format!("a string of length {}", text.chars().count()),
        // Where numbers are wanted, they are no secret.
        (
            Value::Number(number),
            ValidationErrorKind::Maximum { .. }
            | ValidationErrorKind::Minimum { .. }
            | ValidationErrorKind::ExclusiveMaximum { .. }
            | ValidationErrorKind::ExclusiveMinimum { .. }
            | ValidationErrorKind::MultipleOf { .. }
            | ValidationErrorKind::Type {
                kind: TypeKind::Single(JsonType::Integer),
            },
        ) => format!("`{number}`"),
        (
            Value::Array(items),
            ValidationErrorKind::MinItems { .. } | ValidationErrorKind::MaxItems { .. },
        ) => format!("a list of length {}", items.len()),
        (
            Value::Object(table),
            ValidationErrorKind::MinProperties { .. } | ValidationErrorKind::MaxProperties { .. },
        ) => format!("a table with {} keys", table.len()),
        _ => found(instance),
    }
}

/// What a keyword wants.
fn bound(kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Type { kind } => {
            either(type_names(kind).into_iter().map(str::to_owned).collect())
        }
        ValidationErrorKind::Maximum { limit } => format!("at most {limit}"),
        ValidationErrorKind::Minimum { limit } => format!("at least {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("more than {limit}"),
        ValidationErrorKind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        ValidationErrorKind::MinLength { limit }
        | ValidationErrorKind::MinItems { limit }
        | ValidationErrorKind::MinProperties { limit } => format!("at least {limit}"),
        ValidationErrorKind::MaxLength { limit }
        | ValidationErrorKind::MaxItems { limit }
        | ValidationErrorKind::MaxProperties { limit } => format!("at most {limit}"),
        ValidationErrorKind::AdditionalItems { limit } => format!("at most {limit}"),
        ValidationErrorKind::Pattern { pattern } => format!("one that matches `{}`", short(pattern)),
        ValidationErrorKind::Format { format } => format!("one in the format `{}`", short(format)),
        ValidationErrorKind::ContentEncoding { content_encoding } => {
            format!("one in the encoding `{}`", short(content_encoding))
        }
        ValidationErrorKind::Contains => "an entry that is not among them".to_owned(),
        other => format!("what its `{}` allows", short(other.keyword())),
    }
}

/// Why a document is no schema.
pub(super) fn no_schema(error: &ValidationError<'_>) -> String {
    match (error.kind(), error.instance_path().as_str()) {
        (ValidationErrorKind::Referencing(ReferencingError::Unretrievable { uri, .. }), _) => {
            format!("it refers to `{}`, and nothing is ever fetched", short(uri))
        }
        (ValidationErrorKind::Referencing(ReferencingError::PointerToNowhere { pointer }), _) => {
            format!("it refers to `{}`, which it does not have", short(pointer))
        }
        (_, "") => short(&error.to_string()),
        (_, at) => format!("at `{}`: {}", short(at), short(&error.to_string())),
    }
}

fn hint(near: Option<String>) -> String {
    near.map_or_else(String::new, |near| format!("; hint: did you mean `{near}`?"))
}
