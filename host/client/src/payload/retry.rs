//! What a message says about its own retries, read without making the JSON view.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use memchr::{memchr, memmem};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::php::{self, AnyKey, Slots, Value};
use super::{Format, Limits, PayloadError, detect};

const ERROR_RETRY: &str = "errorRetry";
const NO_RETRY: &str = "noRetry";
const RETRY_INTERVAL: &str = "retryIntervalTime";
const RETRY_STOP_AT: &str = "retryStopAt";

/// The retry wishes at the top level of a message, each `None` where the message does not carry it or says null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryFields<'a> {
    /// `errorRetry`: whether a job that threw is tried again.
    pub error_retry: Option<Flag>,
    /// `noRetry`: whether the job may run at most once.
    pub no_retry: Option<Flag>,
    /// `retryIntervalTime`, in seconds, by the rules of PHP's `intval()`.
    pub retry_interval: Option<i64>,
    /// `retryStopAt`, a local date and time as the producer wrote it, unchecked.
    ///
    /// Numbers are given in decimal, `true` as `1`, `false` as the empty text, and an array or object as `Array` or `Object`, none of
    /// which is a date.
    pub retry_stop_at: Option<Cow<'a, str>>,
}

/// A field that should be a boolean. The PHP library compares with `===`, so 1 is not `true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Exactly `true`.
    True,
    /// Exactly `false`.
    False,
    /// Any other value.
    Other,
}

impl<'a> RetryFields<'a> {
    /// Reads the fields of `body`. A body that is no map carries none, nor does one in neither format.
    ///
    /// # Errors
    /// The body begins like one of the formats but is malformed.
    pub fn read(body: &'a [u8], limits: &Limits) -> Result<RetryFields<'a>, PayloadError> {
        match detect(body) {
            Format::Json => Ok(serde_json::from_slice::<JsonFields<'a>>(body)?.0),
            Format::Php => {
                let document = php::parse(body, limits)?;
                Ok(RetryFields::of_document(&document))
            }
            Format::Empty | Format::Unknown => Ok(RetryFields::default()),
        }
    }

    /// The same fields, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> RetryFields<'static> {
        RetryFields {
            error_retry: self.error_retry,
            no_retry: self.no_retry,
            retry_interval: self.retry_interval,
            retry_stop_at: self.retry_stop_at.map(|text| Cow::Owned(text.into_owned())),
        }
    }

    fn of_document(document: &php::Document<'a>) -> RetryFields<'a> {
        let slots = document.has_references().then(|| Slots::of(document));
        let mut fields = RetryFields::default();
        for name in [ERROR_RETRY, NO_RETRY, RETRY_INTERVAL, RETRY_STOP_AT] {
            let value = document.root().get(name);
            let resolved = match &slots {
                Some(slots) => value.and_then(|value| slots.resolve(value).ok()),
                None => value,
            };
            if let Some(value) = resolved {
                fields.set(name, value);
            }
        }
        fields
    }

    fn set(&mut self, name: &str, value: &Value<'a>) {
        match name {
            ERROR_RETRY => self.error_retry = flag(value),
            NO_RETRY => self.no_retry = flag(value),
            RETRY_INTERVAL => self.retry_interval = present(value).map(intval),
            RETRY_STOP_AT => self.retry_stop_at = present(value).map(text),
            _ => {}
        }
    }
}

fn present<'v, 'a>(value: &'v Value<'a>) -> Option<&'v Value<'a>> {
    (*value != Value::Null).then_some(value)
}

fn flag(value: &Value<'_>) -> Option<Flag> {
    match value {
        Value::Null => None,
        Value::Bool(true) => Some(Flag::True),
        Value::Bool(false) => Some(Flag::False),
        _ => Some(Flag::Other),
    }
}

fn text<'a>(value: &Value<'a>) -> Cow<'a, str> {
    match value {
        Value::String(Cow::Borrowed(bytes)) => String::from_utf8_lossy(bytes),
        Value::String(Cow::Owned(bytes)) => Cow::Owned(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(number) => Cow::Owned(number.to_string()),
        Value::Float(float) => Cow::Owned(float.spelling().to_owned()),
        Value::Bool(true) => Cow::Borrowed("1"),
        Value::Bool(false) | Value::Null => Cow::Borrowed(""),
        Value::Array(_) => Cow::Borrowed("Array"),
        _ => Cow::Borrowed("Object"),
    }
}

/// PHP 8's `intval()` on a 64-bit machine.
fn intval(value: &Value<'_>) -> i64 {
    match value {
        Value::Null => 0,
        Value::Bool(truth) => i64::from(*truth),
        Value::Int(number) => *number,
        Value::Float(float) => wrapping_int(float.value()),
        Value::String(bytes) => leading_int(bytes),
        Value::Array(entries) => i64::from(!entries.is_empty()),
        _ => 1,
    }
}

/// A float's integer part modulo 2^64, 0 for what is not finite: how PHP casts a float.
fn wrapping_int(number: f64) -> i64 {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if (-TWO_TO_63..TWO_TO_63).contains(&number) {
        return number as i64;
    }
    // Beyond 2^63 every double is an integer, and `%` is exact; it keeps the sign and yields NaN for infinities, which casts to 0.
    (number % (2.0 * TWO_TO_63)) as i128 as i64
}

/// The number a string begins with, 0 if none. Beyond 64 bits it stays at the nearest end, unlike a float.
fn leading_int(bytes: &[u8]) -> i64 {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
    let number = bytes.get(start..).map(numeric_prefix).unwrap_or_default();
    match number.parse::<i64>() {
        Ok(integer) => integer,
        // A float's cast stays at the nearest end of the range in Rust as well.
        Err(_) => number.parse::<f64>().map_or(0, |float| float as i64),
    }
}

/// The longest beginning that is a decimal number: sign, digits, fraction, exponent.
fn numeric_prefix(bytes: &[u8]) -> &str {
    let digits = |from: usize| {
        bytes
            .iter()
            .skip(from)
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let sign = |from: usize| usize::from(matches!(bytes.get(from), Some(b'+' | b'-')));
    let whole = sign(0);
    let whole_digits = digits(whole);
    let mut end = whole + whole_digits;
    let mut fraction_digits = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction_digits = digits(end + 1);
        end += 1 + fraction_digits;
    }
    if whole_digits + fraction_digits == 0 {
        return "";
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let exponent = end + 1 + sign(end + 1);
        if digits(exponent) > 0 {
            end = exponent + digits(exponent);
        }
    }
    bytes
        .get(..end)
        .and_then(|number| std::str::from_utf8(number).ok())
        .unwrap_or("")
}

/// Whether the message may carry `noRetry` as `true`: a quick look that spares ordinary jobs the decoding.
///
/// Never `false` where [`RetryFields::read`] would find [`Flag::True`]; where it is `true`, that has to be asked.
#[must_use]
pub fn may_ask_for_no_retry(body: &[u8]) -> bool {
    static NAME: Sought = LazyLock::new(|| memmem::Finder::new(NO_RETRY));
    let plainly = NAME.find_iter(body).any(|at| {
        let after = body.get(at + NO_RETRY.len()..).unwrap_or_default();
        let Some(after) = after.strip_prefix(b"\"") else {
            return false;
        };
        match after.strip_prefix(b";") {
            Some(php) => matches!(php, [b'b', b':', b'1', ..] | [b'R', ..]),
            None => {
                let value = after
                    .trim_ascii_start()
                    .strip_prefix(b":")
                    .map(<[u8]>::trim_ascii_start);
                value.is_some_and(|value| value.first() == Some(&b't'))
            }
        }
    });
    plainly || may_spell_the_name_with_escapes(body)
}

/// Both formats can spell a letter of the name as an escape, though no known producer does.
fn may_spell_the_name_with_escapes(body: &[u8]) -> bool {
    static PHP: Sought = LazyLock::new(|| memmem::Finder::new("S:7:"));
    static JSON: Sought = LazyLock::new(|| memmem::Finder::new("\\u00"));
    if detect(body) == Format::Php {
        return PHP.find(body).is_some();
    }
    // Most bodies have no escape at all, and a single byte is found the fastest.
    memchr(b'\\', body).is_some_and(|at| JSON.find(&body[at..]).is_some())
}

/// Prepared once: that takes as long as to search a short body.
type Sought = LazyLock<memmem::Finder<'static>>;

/// The fields of a JSON document, whatever else it holds.
struct JsonFields<'a>(RetryFields<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor).map(JsonFields)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = RetryFields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RetryFields<'de>, A::Error> {
        let mut fields = RetryFields::default();
        while let Some(name) = map.next_key_seed(AnyKey)? {
            match name.as_ref() {
                ERROR_RETRY | NO_RETRY | RETRY_INTERVAL | RETRY_STOP_AT => {
                    fields.set(&name, &map.next_value()?)
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(fields)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RetryFields<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(RetryFields::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<RetryFields<'de>, E> {
        Ok(RetryFields::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<RetryFields<'de>, E> {
        Ok(RetryFields::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<RetryFields<'de>, E> {
        Ok(RetryFields::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<RetryFields<'de>, E> {
        Ok(RetryFields::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<RetryFields<'de>, E> {
        Ok(RetryFields::default())
    }

    fn visit_unit<E>(self) -> Result<RetryFields<'de>, E> {
        Ok(RetryFields::default())
    }
}
