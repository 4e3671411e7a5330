//! The rows of a page's tables: every key of a document, with what its schema says of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{code, node::Node};

/// How deep tables within tables are shown.
const DEEPEST: usize = 6;
/// After so many keys nobody reads on.
const MOST_FIELDS: usize = 1000;

/// A key of a document.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// With the keys of the tables around it: `smtp.host`, `servers[].host`, `headers.*`.
    pub(super) key: String,
    /// What its value is, with its bounds.
    pub(super) kind: String,
    pub(super) is_required: bool,
    pub(super) default: Option<String>,
    /// What it is for.
    pub(super) text: String,
}

/// The keys of a document.
pub(super) fn fields(schema: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    walk(&Node::root(schema), "", 0, &mut fields);
    fields
}

fn walk(node: &Node<'_>, prefix: &str, depth: usize, fields: &mut Vec<Field>) {
    if depth == DEEPEST || fields.len() >= MOST_FIELDS {
        return;
    }
    let begin = fields.len();
    for (key, is_required, child) in node.properties() {
        let key = format!("{prefix}{key}");
        fields.push(Field {
            kind: kind(&child),
            is_required,
            default: default(&child),
            text: text(&child),
            key: key.clone(),
        });
        inside(&child, &key, depth, fields);
    }
    let forms = node.forms().map(|form| {
        let mut fields = Vec::new();
        walk(&form, prefix, depth + 1, &mut fields);
        fields
    });
    let mut forms: Vec<Vec<Field>> = forms.collect();
    let is_one_of = node.get("allOf").is_none();
    // A form may say more of a key that the table has anyway: which one it is that the form wants.
    let own: BTreeSet<String> = fields.iter().skip(begin).map(|field| field.key.clone()).collect();
    for form in &mut forms {
        form.retain(|field| !own.contains(&field.key));
    }
    merge(forms, is_one_of, fields);
}

/// Adds the keys of several forms, each once. Where a document has only one of the forms, a key is required that all of
/// them require.
fn merge(forms: Vec<Vec<Field>>, is_one_of: bool, fields: &mut Vec<Field>) {
    let begin = fields.len();
    let requires =
        |form: &Vec<Field>, key: &str| form.iter().any(|field| field.key == key && field.is_required);
    let everywhere: Vec<String> = forms.iter().flatten().map(|field| field.key.clone()).collect();
    let everywhere = everywhere
        .into_iter()
        .filter(|key| forms.iter().all(|form| requires(form, key)));
    let everywhere: BTreeSet<String> = everywhere.collect();
    for mut field in forms.into_iter().flatten() {
        if is_one_of {
            field.is_required = everywhere.contains(&field.key);
        }
        match fields.iter_mut().skip(begin).find(|known| known.key == field.key) {
            Some(known) if known.kind == field.kind => {}
            Some(known) => known.kind = format!("{} or {}", known.kind, field.kind),
            None => fields.push(field),
        }
    }
}

/// The keys in a value.
fn inside(node: &Node<'_>, key: &str, depth: usize, fields: &mut Vec<Field>) {
    walk(node, &format!("{key}."), depth + 1, fields);
    if let Some(items) = node.below("items") {
        walk(&items, &format!("{key}[]."), depth + 1, fields);
    }
    if let Some(values) = node.below("additionalProperties") {
        walk(&values, &format!("{key}.*."), depth + 1, fields);
    }
}

/// What is said of the whole document.
pub(super) fn about(schema: &Value) -> String {
    Node::root(schema).description.map(one_line).unwrap_or_default()
}

/// What a value is, as a sentence begins with it.
pub(super) fn phrase(schema: &Value) -> String {
    let kind = kind(&Node::root(schema));
    let mut letters = kind.chars();
    match letters.next() {
        Some(first) => format!("{}{}", first.to_uppercase(), letters.as_str()),
        None => kind,
    }
}

fn kind(node: &Node<'_>) -> String {
    let values = node.values();
    if !values.is_empty() {
        return any_of(values.iter().map(|(value, _)| shown(value)).collect());
    }
    let types: Vec<String> = node
        .types()
        .into_iter()
        .map(|name| type_name(node, name))
        .collect();
    let mut kind = match types.is_empty() {
        false => any_of(types),
        true => {
            let mut forms: Vec<String> = node.forms().map(|form| self::kind(&form)).collect();
            forms.dedup();
            match forms.is_empty() {
                true => "any value".to_owned(),
                false => any_of(forms),
            }
        }
    };
    for bound in bounds(node) {
        kind += &format!(", {bound}");
    }
    for inside in [node.below("items"), node.below("additionalProperties")]
        .into_iter()
        .flatten()
    {
        kind += &format!("; each: {}", self::kind(&inside));
    }
    kind
}

fn type_name(node: &Node<'_>, name: &str) -> String {
    match name {
        "string" => "string".to_owned(),
        "integer" => "whole number".to_owned(),
        "number" => "number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "null" => "null".to_owned(),
        "array" => "list".to_owned(),
        "object" => match node.below("additionalProperties") {
            Some(_) => "table of any keys".to_owned(),
            None => "table".to_owned(),
        },
        other => one_line(other),
    }
}

/// What a value has to keep to besides its type.
fn bounds(node: &Node<'_>) -> Vec<String> {
    let number = |keyword| node.get(keyword).filter(|limit| limit.is_number());
    let range = |of: &str, least, most| match (number(least), number(most)) {
        (Some(least), Some(most)) if least == most => Some(format!("{of}{least}")),
        (Some(least), Some(most)) => Some(format!("{of}{least} to {most}")),
        (Some(least), None) => Some(format!("{of}at least {least}")),
        (None, Some(most)) => Some(format!("{of}at most {most}")),
        (None, None) => None,
    };
    let single = |keyword, words: &str| number(keyword).map(|limit| format!("{words} {limit}"));
    let pattern = node.get("pattern").and_then(Value::as_str);
    let format = node
        .get("format")
        .and_then(Value::as_str)
        .filter(|_| node.types() == ["string"]);
    [
        range("", "minimum", "maximum"),
        single("exclusiveMinimum", "more than"),
        single("exclusiveMaximum", "less than"),
        single("multipleOf", "a multiple of"),
        range("length ", "minLength", "maxLength"),
        range("length ", "minItems", "maxItems"),
        range("number of keys ", "minProperties", "maxProperties"),
        pattern.map(|pattern| format!("matching {}", code(pattern))),
        format.map(|format| format!("format {}", code(format))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn default(node: &Node<'_>) -> Option<String> {
    match node.default? {
        Value::Null => None,
        value => Some(shown(value)),
    }
}

/// What is said of a key, and of each of its values.
fn text(node: &Node<'_>) -> String {
    let mut text = node.description.map(one_line).unwrap_or_default();
    for (value, words) in node.values() {
        let Some(words) = words else { continue };
        if !text.is_empty() {
            text.push(' ');
        }
        text += &format!("{}: {}", shown(value), one_line(words));
    }
    text
}

fn shown(value: &Value) -> String {
    code(&value.to_string())
}

fn any_of(mut items: Vec<String>) -> String {
    match (items.pop(), items.is_empty()) {
        (None, _) => String::new(),
        (Some(only), true) => only,
        (Some(last), false) => format!("{} or {last}", items.join(", ")),
    }
}

/// A plugin's text with every run of white space as one space, and without what would steer a terminal.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(char::is_control, "")
}
