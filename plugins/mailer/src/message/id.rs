//! Names that never repeat: message ids and file names.

use std::{
    hash::{BuildHasher, RandomState},
    time::{SystemTime, UNIX_EPOCH},
};

/// A new name of digits and lower-case letters that sorts by time: milliseconds since 1970, then 128 random bits.
///
/// std's hash keys, which come from the operating system's random source, are random enough: nothing here is secret.
pub(crate) fn unique() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let random = || RandomState::new().hash_one(now.as_nanos());
    format!("{:012x}{:016x}{:016x}", now.as_millis(), random(), random())
}

/// Whether `id` is a message id as it stands in the header: `<left@right>`, both parts of printable ASCII without
/// spaces and brackets, short enough for one line (RFC 5322, sections 2.1.1 and 3.6.4).
pub(super) fn is_message_id(id: &str) -> bool {
    let parts = id
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .and_then(|id| id.split_once('@'));
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"<>@()\\\",;".contains(&byte))
    };
    id.len() <= 250 && parts.is_some_and(|(left, right)| plain(left) && plain(right))
}
