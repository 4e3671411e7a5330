//! Places in a configuration, in the terms of the file that it was written in.

use serde_json::Value;

/// The place that a JSON pointer into `config` means: keys behind dots, numbers of list entries in brackets.
pub(super) fn of(root: &str, config: &Value, pointer: &str) -> String {
    let mut place = root.to_owned();
    let mut at = Some(config);
    for token in pointer.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        place = match at {
            Some(Value::Array(_)) => format!("{place}[{key}]"),
            _ => below(&place, &key),
        };
        at = at.and_then(|value| match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            Value::Object(table) => table.get(&key),
            _ => None,
        });
    }
    place
}

/// The place of a key in a table; quoted where TOML wants that.
pub(super) fn below(place: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match !key.is_empty() && key.chars().all(bare) {
        true => format!("{place}.{key}"),
        false => format!("{place}.\"{}\"", super::words::short(key)),
    }
}
