//! From what was written to the value of its setting: [`judge`] checks one value and brings it into the form that
//! serde reads into the field (seconds become a `Duration`, a path becomes absolute).
//!
//! Pure: no file is looked at, and relative paths are completed from a given directory. The forms of texts
//! (hosts, paths, plugins, log filters) are [`forms`]'s.

mod forms;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::{Value, json};

use super::near;
use super::problem::{Fault, Hint};
use super::settings::{Kind, Unit};

/// Longest piece of a wrong value that an error shows, in characters.
const SHOWN: usize = 60;

/// A value in its field's form, or a hint (mostly empty) how it should have been written.
type Judged = Result<Value, Hint>;

/// Checks `value` and brings it into the form of its field. `base` completes relative paths.
///
/// # Errors
/// [`Fault::Value`] with what was found and what `kind` takes.
pub(super) fn judge(kind: Kind, value: &Value, base: &Path) -> Result<Value, Fault> {
    let judged = match kind {
        Kind::Integer { min, max } => whole(value, min, max).map(Value::from),
        Kind::Duration { unit, min, max } => whole(value, min, max).map(|number| duration(number, unit)),
        Kind::Number { min, max } => number(value, min, max),
        Kind::Switch => value.as_bool().map(Value::from).ok_or_else(|| unquoted(value)),
        Kind::OneOf(words) => text(value).and_then(|text| one_of(text, words)),
        Kind::Text => text(value).map(Value::from),
        Kind::Name => text(value).and_then(|name| name_of(name, forms::is_name(name))),
        Kind::Account => account(value),
        Kind::Host => text(value).and_then(|host| forms::host(host, base)),
        Kind::LogFilter => text(value).and_then(forms::log_filter),
        Kind::Path => text(value).map(|path| forms::absolute(base, path)),
        Kind::PidFile => text(value).and_then(|path| forms::pid_file(path, base)),
        Kind::Grants | Kind::PathList => list(value, |path| Ok(forms::absolute(base, path))),
        Kind::Network => network(value),
        Kind::PluginList => list(value, |plugin| forms::plugin(plugin, base)),
        Kind::TubeList => list(value, |tube| Ok(Value::from(tube))).and_then(at_least_one),
        Kind::TubeHandlers => handlers_by_tube(value),
        Kind::HandlerFiles => list(value, |pair| forms::handler_file(pair, base)),
    };
    judged.map_err(|hint| Fault::Value {
        found: shown(value),
        wanted: wanted(kind),
        hint,
    })
}

/// The value that `texts`, from a flag or a variable, stand for. What cannot be read as `kind` stays
/// text, for [`judge`] to refuse.
pub(super) fn from_texts(kind: Kind, texts: &[String]) -> Value {
    let last = texts.last().map_or("", String::as_str);
    match kind {
        _ if kind.is_list() => Value::from(texts),
        Kind::Integer { .. } | Kind::Duration { .. } => integer(last).unwrap_or_else(|| Value::from(last)),
        Kind::Number { .. } => last
            .parse::<f64>()
            .map_or_else(|_| Value::from(last), Value::from),
        Kind::Switch => match last {
            "true" | "1" => Value::from(true),
            "false" | "0" => Value::from(false),
            other => Value::from(other),
        },
        _ => Value::from(last),
    }
}

fn integer(text: &str) -> Option<Value> {
    text.parse::<u64>()
        .map(Value::from)
        .or_else(|_| text.parse::<i64>().map(Value::from))
        .ok()
}

fn duration(number: u64, unit: Unit) -> Value {
    match unit {
        Unit::Seconds => json!({"secs": number, "nanos": 0}),
        Unit::Milliseconds => json!({"secs": number / 1000, "nanos": number % 1000 * 1_000_000}),
    }
}

fn whole(value: &Value, min: u64, max: u64) -> Result<u64, Hint> {
    value
        .as_u64()
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| unquoted(value))
}

fn number(value: &Value, min: f64, max: f64) -> Judged {
    match value.as_f64() {
        Some(number) if (min..=max).contains(&number) => Ok(Value::from(number)),
        _ => Err(unquoted(value)),
    }
}

/// A text is not empty and has no control characters, which neither a path, a host nor a log line can take.
fn text(value: &Value) -> Result<&str, Hint> {
    value
        .as_str()
        .filter(|text| forms::is_clean(text))
        .ok_or_else(Hint::default)
}

fn one_of(text: &str, words: &'static [&'static str]) -> Judged {
    if words.contains(&text) {
        Ok(Value::from(text))
    } else {
        Err(near::hint(text, words.iter().copied()))
    }
}

/// A name, or a number that may be written as one.
fn account(value: &Value) -> Judged {
    match value.as_u64() {
        Some(number) => u32::try_from(number)
            .map(|number| Value::from(number.to_string()))
            .map_err(|_| Hint::default()),
        None => text(value).map(Value::from),
    }
}

fn name_of(name: &str, is_one: bool) -> Judged {
    if is_one {
        Ok(Value::from(name))
    } else {
        Err(Hint::default())
    }
}

/// One text or a list of texts; what stands in it twice is taken once.
fn list(value: &Value, item: impl Fn(&str) -> Judged) -> Judged {
    let one = std::slice::from_ref(value);
    let mut items = Vec::new();
    for value in value.as_array().map_or(one, Vec::as_slice) {
        let judged = item(text(value)?)?;
        if !items.contains(&judged) {
            items.push(judged);
        }
    }
    Ok(Value::Array(items))
}

/// `"off"`, or one way out or a list of them.
fn network(value: &Value) -> Judged {
    let one = std::slice::from_ref(value);
    let items = match value.as_str() {
        Some("off") => &[],
        _ => value.as_array().map_or(one, Vec::as_slice),
    };
    let (mut ports, mut unix, mut udp) = (Vec::new(), false, false);
    for item in items {
        match item.as_str() {
            Some("unix") => unix = true,
            Some("udp") => udp = true,
            Some("off") => return Err(Hint::some("`off` stands alone, in no list".to_owned())),
            Some(word) => return Err(near::hint(word, ["off", "unix", "udp"])),
            None => ports.push(whole(item, 1, u16::MAX.into())?),
        }
    }
    Ok(json!({"ports": ports, "unix": unix, "udp": udp}))
}

/// A table of texts by texts.
fn handlers_by_tube(value: &Value) -> Judged {
    let table = value.as_object().ok_or_else(Hint::default)?;
    match table
        .iter()
        .find(|(tube, handler)| !forms::is_clean(tube) || text(handler).is_err())
    {
        Some((tube, _)) => Err(Hint::some(format!(
            "look at `{}`",
            shortened(&tube.escape_debug().to_string())
        ))),
        None => Ok(value.clone()),
    }
}

fn at_least_one(list: Value) -> Judged {
    if list.as_array().is_some_and(Vec::is_empty) {
        Err(Hint::default())
    } else {
        Ok(list)
    }
}

/// A number or boolean that was written as a string, as PHP allows.
fn unquoted(value: &Value) -> Hint {
    match value.as_str() {
        Some(text) if text.parse::<f64>().is_ok() || matches!(text, "true" | "false") => {
            Hint::some("write it without quotes")
        }
        _ => Hint::default(),
    }
}

/// `value` as an error shows it: on one line, quoted and shortened.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => match items.as_slice() {
            [] => "an empty list".to_owned(),
            [only] => shown(only),
            _ => format!("`{}`", shortened(&value.to_string())),
        },
        Value::Object(_) => "a table".to_owned(),
        other => format!("`{}`", shortened(&other.to_string())),
    }
}

/// The first [`SHOWN`] characters of `text`.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a setting of `kind` takes, for errors.
pub(super) fn wanted(kind: Kind) -> String {
    match kind {
        Kind::Integer { min, max } => bounds("an integer", min, max),
        Kind::Duration {
            unit: Unit::Seconds,
            min,
            max,
        } => bounds("whole seconds", min, max),
        Kind::Duration {
            unit: Unit::Milliseconds,
            min,
            max,
        } => bounds("whole milliseconds", min, max),
        Kind::Number { min, max } => format!("a number from {min} to {max}"),
        Kind::Switch => "true or false".to_owned(),
        Kind::OneOf(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or "),
        Kind::Text => "a text".to_owned(),
        Kind::Name => "a name of the letters a-z, digits, `_` and `-`".to_owned(),
        Kind::Account => "a name or a number of the system's users or groups".to_owned(),
        Kind::Host => "a host name, an address or `unix:PATH`".to_owned(),
        Kind::LogFilter => "a log level, or directives such as `info,mailer=debug`".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::PidFile => "the path of a pid file".to_owned(),
        Kind::Grants | Kind::PathList => "a path or a list of paths".to_owned(),
        Kind::Network => "`off`, or a list of TCP ports, `unix` and `udp`".to_owned(),
        Kind::PluginList => "a plugin's path or name, or a list of them".to_owned(),
        Kind::TubeList => "a tube's name or a list of them, at least one".to_owned(),
        Kind::TubeHandlers => "a table of handlers' names by tube, such as `mail = \"mailer\"`".to_owned(),
        Kind::HandlerFiles => "`NAME=FILE.json`".to_owned(),
    }
}

/// Bounds that no one meets are not worth a reader's time.
fn bounds(what: &str, min: u64, max: u64) -> String {
    match max {
        _ if max >= u64::from(u32::MAX) && min == 0 => format!("{what}, not negative"),
        _ if max >= u64::from(u32::MAX) => format!("{what} from {min}"),
        _ => format!("{what} from {min} to {max}"),
    }
}
