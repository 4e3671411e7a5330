//! The forms of texts that are more than a word: hosts, paths, plugins, log filters.

use std::net::Ipv6Addr;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::Judged;
use crate::config::near;
use crate::config::problem::Hint;

/// Log levels as tracing names them.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether `text` is fit for a name, path or host: not empty, no control characters. U+FFFD stands where
/// a variable was not UTF-8.
pub(super) fn is_clean(text: &str) -> bool {
    !text.is_empty()
        && !text
            .chars()
            .any(|letter| letter.is_control() || letter == char::REPLACEMENT_CHARACTER)
}

/// Whether `name` is a pool's name: `[a-z0-9_-]+`.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// `path` completed from `base`, without `.` components. `..` stays, because what it means depends on symbolic
/// links.
pub(super) fn absolute(base: &Path, path: &str) -> Value {
    let joined = base.join(path);
    let plain: PathBuf = joined
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .collect();
    Value::from(plain.to_string_lossy())
}

pub(super) fn pid_file(path: &str, base: &Path) -> Judged {
    if path.contains("%d") {
        return Err(Hint::some(
            "`%d` is not replaced here; write the whole path, one for each daemon",
        ));
    }
    if path.ends_with('/') {
        return Err(Hint::some("this is a directory; add the file's name"));
    }
    Ok(absolute(base, path))
}

/// A host name, an address (IPv6 with or without brackets), or `unix:PATH`.
pub(super) fn host(host: &str, base: &Path) -> Judged {
    if let Some(path) = host.strip_prefix("unix:") {
        let path = if path.is_empty() {
            return Err(Hint::default());
        } else {
            absolute(base, path)
        };
        return Ok(Value::from(format!("unix:{}", path.as_str().unwrap_or_default())));
    }
    if host.contains("://") {
        return Err(Hint::some("the host alone, without a scheme; its port is `port`"));
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    let address = bare.split('%').next().unwrap_or(bare);
    if address.parse::<Ipv6Addr>().is_ok() {
        return Ok(Value::from(bare));
    }
    if host.contains(':') {
        return Err(Hint::some("the host alone; its port is `port`"));
    }
    if host.contains('/') {
        return Err(Hint::some("a Unix socket is written `unix:PATH`"));
    }
    if host.contains(char::is_whitespace) {
        Err(Hint::default())
    } else {
        Ok(Value::from(host))
    }
}

/// A path (it has a `/` or ends in `.so`), or a name to look up.
pub(super) fn plugin(plugin: &str, base: &Path) -> Judged {
    if plugin.contains('/') || plugin.ends_with(".so") {
        return Ok(json!({ "path": absolute(base, plugin) }));
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if plugin.chars().all(is_plain) {
        Ok(json!({ "name": plugin }))
    } else {
        Err(Hint::some(
            "a path has a `/`; a name has letters, digits, `_` and `-` only",
        ))
    }
}

pub(super) fn handler_file(pair: &str, base: &Path) -> Judged {
    match pair.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => {
            Ok(json!({ "name": name, "path": absolute(base, path) }))
        }
        _ => Err(Hint::default()),
    }
}

/// A level, or directives `LEVEL` and `TARGET=LEVEL` between commas. A bare target, which tracing would take to
/// mean "everything", is refused, because it is mostly a mistyped level.
pub(super) fn log_filter(filter: &str) -> Judged {
    for directive in filter.split(',') {
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) => (Some(target.trim()), level.trim()),
            None => (None, directive.trim()),
        };
        let is_target = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | ':' | '.');
        if target.is_some_and(|target| target.is_empty() || !target.chars().all(is_target)) {
            return Err(Hint::default());
        }
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            return Err(near::hint(level, LEVELS));
        }
    }
    Ok(Value::from(filter))
}
