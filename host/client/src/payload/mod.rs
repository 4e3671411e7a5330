//! What a job's body says: tells JSON from PHP `serialize()`, and gives handlers one JSON view of both.
//!
//! Owns the two readers, the PHP writer and the retry wishes of a message. Does no I/O, reads no clock and
//! never instantiates anything: a PHP object is data here.
//!
//! ```text
//! body ─ detect ─┬─ Json ────────────────────────────────► the body itself, not parsed
//!                ├─ Php ── php::parse ── php::Document ──► JSON written into a buffer
//!                └─ Empty, Unknown ──────────────────────► an error; the raw bytes stay usable
//! ```
//!
//! # The JSON view of a PHP body
//!
//! | PHP value | JSON |
//! |---|---|
//! | `null`, booleans, integers | the same |
//! | finite float | a number in the digits of `json_encode`: `0.1`, `1.0e+25`, and `1` for 1.0 |
//! | `INF`, `-INF`, `NAN` | `{"__float":"INF"}`, `{"__float":"-INF"}`, `{"__float":"NAN"}` |
//! | string in UTF-8 | a string |
//! | any other string | `{"__base64":"…"}`, standard alphabet, padded |
//! | array whose keys are 0, 1, … n−1 in this order | a list; an empty array is `[]` |
//! | any other array | an object with the keys as text, in PHP's order |
//! | key that is not UTF-8 | `"__base64:…"`, the base64 of the key's bytes as PHP wrote them |
//! | object (`O:`) | `{"__class":"Name", …}`, the class first, then the properties in PHP's order |
//! | public property | its name (an integer key as text) |
//! | protected property | `"*name"` |
//! | private property | `"Class::name"`, the class that declares it |
//! | custom-serialized object (`C:`) | `{"__class":"Name","__serialized":"…"}`, the payload by the rules for strings |
//! | enum case (`E:`) | `"Class::Case"` |
//! | reference (`R:`, `r:`) | the value it refers to; a cycle is an error that says where |
//!
//! Arrays and scalars are thus what PHP's own `json_encode` makes of them. That a whole float was no integer is lost, as it is there.
//!
//! **Keys of the user that look like ours.** A property keeps its name always; an object that has a property
//! named `__class` (or `__class_`, `__class__`, …) gets its class under the longest of those names plus one more `_`,
//! and one that has a property named `__serialized` under `__class_` at least. Two properties that would
//! get the same key (a protected `x` beside a public `*x`) are an error.
//! An array keeps its keys too. Since an array may hold `["__class" => …]` without any object being meant, [`View::marked`]
//! says whether the view contains one of our forms, and the two never mix: a body that needs one of our forms and
//! also has an array with a key `__class` (plus any number of `_`), or with the only key `__base64` or `__float`, or any
//! key that begins with `__base64:`, is refused.
//!
//! **Repeated keys**, which PHP reads but never writes: the last value wins in the place of the first, as in PHP. Together
//! with references they are refused, because PHP's references then point at places, not values.

mod error;
mod retry;
mod view;

pub mod php;

pub use error::PayloadError;
pub use retry::{Flag, RetryFields, may_ask_for_no_retry};
pub use view::{Path, View, ViewError, ViewErrorKind, json_view, validated_json_view};

#[cfg(test)]
mod tests;

/// The deepest nesting that any [`Limits`] can allow, whatever [`Limits::depth`] says.
///
/// Writing a value or its view recurses once per level; at this depth that fits a 1 MiB stack in a debug build.
pub const MAX_DEPTH: usize = 512;

/// How much of a body is accepted, and how much may be made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest PHP body, in bytes. Default 16 MiB; beanstalkd itself takes 64 KiB unless told otherwise.
    pub body: usize,
    /// Arrays and objects inside one another, counted as PHP's `json_encode` does. Default and maximum [`MAX_DEPTH`].
    ///
    /// It holds for the view as well, where references may nest deeper than the body does.
    pub depth: usize,
    /// Longest JSON view, in bytes. Default 16 MiB. Each level of nested references doubles a small body.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body: 16 << 20,
            depth: MAX_DEPTH,
            output: 16 << 20,
        }
    }
}

impl Limits {
    fn levels(&self) -> usize {
        self.depth.min(MAX_DEPTH)
    }
}

/// What a body is written in, judged by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// No bytes at all.
    Empty,
    /// Begins like a JSON document (RFC 8259), perhaps after white space.
    Json,
    /// Begins like the output of PHP's `serialize()`.
    Php,
    /// Anything else: raw bytes for a handler that wants them.
    Unknown,
}

/// Tells the formats apart without reading more than it must; a body may still turn out malformed.
///
/// No body is both: PHP's forms are a letter and a colon (or `N;`), which no JSON document begins with.
/// A bare JSON number, `true`, `false` or `null` counts only where nothing else follows it.
#[must_use]
pub fn detect(body: &[u8]) -> Format {
    if body.is_empty() {
        return Format::Empty;
    }
    if begins_like_php(body) {
        return Format::Php;
    }
    let json = match body.trim_ascii() {
        [b'{' | b'[' | b'"', ..] | b"true" | b"false" | b"null" => true,
        number @ [b'-' | b'0'..=b'9', ..] => number
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')),
        _ => false,
    };
    if json { Format::Json } else { Format::Unknown }
}

fn begins_like_php(body: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit();
    match body {
        [b'N', b';', ..] => true,
        [b'b', b':', next, ..] => matches!(next, b'0' | b'1'),
        [b'i', b':', next, ..] => digit(next) || matches!(next, b'-' | b'+'),
        [b'd', b':', next, ..] => digit(next) || matches!(next, b'-' | b'+' | b'.' | b'I' | b'N'),
        [
            b'a' | b's' | b'S' | b'O' | b'C' | b'E' | b'R' | b'r',
            b':',
            next,
            ..,
        ] => digit(next),
        _ => false,
    }
}
