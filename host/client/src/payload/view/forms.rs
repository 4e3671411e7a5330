//! The names and numbers of the JSON view: how properties are called, and which keys of the user look like ours.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::payload::php::{Entry, Float, Key};

/// What precedes the base64 of a key that is not UTF-8.
pub(super) const BASE64_PREFIX: &str = "__base64:";

const CLASS: &str = "__class";

/// How many `_` follow `__class` in this key, `None` for any other key.
fn class_underscores(key: &[u8]) -> Option<usize> {
    let rest = key.strip_prefix(CLASS.as_bytes())?;
    rest.iter().all(|&byte| byte == b'_').then_some(rest.len())
}

/// The key that an object's class gets: `__class` unless a property is in its way.
pub(super) fn class_key(properties: &[&Entry<'_>]) -> Cow<'static, str> {
    let needed = |(key, _): &&Entry<'_>| match key {
        Key::Bytes(name) if name.as_ref() == b"__serialized" => Some(1),
        Key::Bytes(name) => class_underscores(name).map(|count| count + 1),
        Key::Int(_) => None,
    };
    match properties.iter().filter_map(needed).max() {
        Some(count) => Cow::Owned(format!("{CLASS}{}", "_".repeat(count))),
        None => Cow::Borrowed(CLASS),
    }
}

/// Whether an array with this key (its only one, if `alone`) has the shape of one of our forms.
pub(super) fn resembles_our_forms(key: &[u8], alone: bool) -> bool {
    key.starts_with(b"__")
        && (class_underscores(key).is_some()
            || key.starts_with(BASE64_PREFIX.as_bytes())
            || (alone && matches!(key, b"__base64" | b"__float")))
}

/// A property's name in the view: `*name` for `"\0*\0name"`, `Class::name` for `"\0Class\0name"`, others unchanged.
pub(super) fn property_name(key: &[u8]) -> Cow<'_, [u8]> {
    let mangled = key.strip_prefix(b"\0").and_then(|rest| {
        let end = rest.iter().position(|&byte| byte == 0)?;
        Some((rest.get(..end)?, rest.get(end + 1..)?))
    });
    match mangled {
        Some((b"", _)) | None => Cow::Borrowed(key),
        Some((b"*", name)) => Cow::Owned([b"*", name].concat()),
        Some((class, name)) => Cow::Owned([class, b"::", name].concat()),
    }
}

/// Fails with the key, escaped, that two properties would have in common.
///
/// Only where some property is not public can that happen; its name there is not its name in PHP.
pub(super) fn check_names(properties: &[&Entry<'_>]) -> Result<(), String> {
    let hidden = |key: &Key<'_>| matches!(key, Key::Bytes(name) if name.first() == Some(&0));
    if !properties.iter().any(|(key, _)| hidden(key)) {
        return Ok(());
    }
    let mut names = HashSet::with_capacity(properties.len());
    for (key, _) in properties {
        if let Key::Bytes(bytes) = key
            && let Some(taken) = names.replace(property_name(bytes))
        {
            return Err(taken.escape_ascii().to_string());
        }
    }
    Ok(())
}

/// A finite float as `json_encode` writes it, `None` for the others.
pub(super) fn plain_number<'f>(float: &'f Float<'_>) -> Option<Cow<'f, str>> {
    if is_json_alike(float.spelling()) {
        return Some(Cow::Borrowed(float.spelling()));
    }
    let number = float.value();
    number
        .is_finite()
        .then(|| Float::from(number).spelling().to_ascii_lowercase().into())
}

/// Most spellings need no look at the number: digits, perhaps with a fraction, which JSON writes the same way.
fn is_json_alike(spelling: &str) -> bool {
    // Far below the length at which digits alone could exceed the range of doubles.
    const LONGEST: usize = 40;
    let unsigned = spelling.strip_prefix('-').unwrap_or(spelling);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    spelling.len() <= LONGEST && digits(whole) && digits(fraction) && !leading_zero
}
