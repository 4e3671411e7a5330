//! The examples of a page, made of what the schemas say: examples, defaults and bounds.

use serde_json::{Map, Value, json};

use super::node::Node;

/// How deep tables within tables are shown.
const DEEPEST: usize = 6;

/// A configuration in TOML. What need not be given is commented out.
pub(super) fn configuration(handler: &str, schema: &Value) -> String {
    let mut text = String::new();
    table(
        &Node::root(schema),
        &format!("handler.{}", bare(handler)),
        "",
        0,
        &mut text,
    );
    text
}

/// A payload in JSON.
pub(super) fn payload(schema: &Value) -> String {
    let sample = sample(&Node::root(schema), 0);
    serde_json::to_string_pretty(&sample).unwrap_or_else(|_| sample.to_string())
}

/// A table, with the tables in it behind its other keys. `mark` begins lines that may be left out.
fn table(node: &Node<'_>, path: &str, mark: &str, depth: usize, text: &mut String) {
    *text += &format!("{mark}[{path}]\n");
    let mut tables = Vec::new();
    for (key, is_required, child) in keys(node) {
        let mark = if is_required { mark } else { "# " };
        if is_table(&child) && depth < DEEPEST {
            tables.push((format!("{path}.{}", bare(key)), mark, child));
        } else if let Some(value) = toml(&sample(&child, depth)) {
            *text += &format!("{mark}{} = {value}\n", bare(key));
        }
    }
    for (path, mark, child) in tables {
        *text += "\n";
        table(&child, &path, mark, depth + 1, text);
    }
}

/// The keys of a table: its own and those of its first form. A key that both have is required if one of them says so.
fn keys<'a>(node: &Node<'a>) -> Vec<(&'a str, bool, Node<'a>)> {
    let mut keys: Vec<_> = node.properties().collect();
    let Some(form) = node.forms().next() else {
        return keys;
    };
    for (key, is_required, child) in form.properties() {
        match keys.iter_mut().find(|(own, ..)| *own == key) {
            Some((_, own_is_required, _)) => *own_is_required |= is_required,
            None => keys.push((key, is_required, child)),
        }
    }
    keys
}

fn is_table(node: &Node<'_>) -> bool {
    node.get("examples").is_none() && node.properties().next().is_some()
}

/// A value that the schema most probably takes.
fn sample(node: &Node<'_>, depth: usize) -> Value {
    let examples = node.get("examples").and_then(Value::as_array);
    if let Some(example) = examples.and_then(|examples| examples.iter().find(|example| !example.is_null())) {
        return example.clone();
    }
    if let Some(default) = node.default.filter(|default| !default.is_null()) {
        return default.clone();
    }
    let values = node.values();
    let value = values.iter().find(|(value, _)| !value.is_null());
    if let Some((value, _)) = value.or(values.first()) {
        return (*value).clone();
    }
    let number = |keyword| node.get(keyword).filter(|limit| limit.is_number()).cloned();
    match node.types().first().copied() {
        Some("string") => text(node),
        Some("integer" | "number") => number("minimum").unwrap_or_else(|| {
            let above = node.get("exclusiveMinimum").and_then(Value::as_i64);
            json!(above.map_or(0, |above| above.saturating_add(1)))
        }),
        Some("boolean") => json!(false),
        Some("array") => match node.below("items").filter(|_| depth < DEEPEST) {
            Some(items) => json!([sample(&items, depth + 1)]),
            None => json!([]),
        },
        Some("object") => object(node, depth),
        _ => node
            .forms()
            .next()
            .map_or(json!({}), |form| sample(&form, depth + 1)),
    }
}

/// A string that is long enough.
fn text(node: &Node<'_>) -> Value {
    let least = node.get("minLength").and_then(Value::as_u64).unwrap_or(0);
    let word = "…".repeat(usize::try_from(least).unwrap_or(1).clamp(1, 64));
    Value::String(word)
}

fn object(node: &Node<'_>, depth: usize) -> Value {
    let keys: Vec<_> = if depth < DEEPEST { keys(node) } else { Vec::new() };
    let wanted = keys
        .into_iter()
        .filter(|(_, is_required, _)| *is_required || depth == 0);
    let object = wanted.map(|(key, _, child)| (key.to_owned(), sample(&child, depth + 1)));
    Value::Object(object.collect::<Map<_, _>>())
}

/// A value as TOML has it in one line, without the nulls that it has not.
fn toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Array(items) => format!(
            "[{}]",
            items.iter().filter_map(toml).collect::<Vec<_>>().join(", ")
        ),
        Value::Object(table) => {
            let pairs = table
                .iter()
                .filter_map(|(key, value)| Some(format!("{} = {}", bare(key), toml(value)?)));
            match pairs.collect::<Vec<_>>().join(", ") {
                pairs if pairs.is_empty() => "{}".to_owned(),
                pairs => format!("{{ {pairs} }}"),
            }
        }
        other => escaped(other),
    })
}

/// A key, quoted where TOML wants that.
fn bare(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match !key.is_empty() && key.chars().all(is_bare) {
        true => key.to_owned(),
        false => escaped(&Value::from(key)),
    }
}

/// A value that is no list and no table. The escapes of JSON are among those of TOML, which wants one more.
fn escaped(value: &Value) -> String {
    value.to_string().replace('\u{7f}', "\\u007F")
}
