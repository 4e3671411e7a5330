//! Floats in PHP's spelling, which is kept: `serialize_precision` decides it, and a body may come from any setting.

use std::borrow::Cow;

/// A float as PHP spelled it in the body.
///
/// Two floats are equal where their spellings are, so `NAN` equals itself and `-0` differs from `0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Float<'a> {
    spelling: Cow<'a, str>,
}

impl<'a> Float<'a> {
    /// Takes a spelling as PHP's `unserialize()` accepts it between `d:` and `;`; `None` for any other text.
    #[must_use]
    pub fn from_spelling(spelling: &'a [u8]) -> Option<Float<'a>> {
        let spelling = std::str::from_utf8(spelling).ok()?;
        let known = matches!(spelling, "INF" | "-INF" | "NAN") || is_decimal(spelling);
        known.then_some(Float {
            spelling: Cow::Borrowed(spelling),
        })
    }

    pub(super) fn into_owned(self) -> Float<'static> {
        Float {
            spelling: Cow::Owned(self.spelling.into_owned()),
        }
    }

    /// The text between `d:` and `;`.
    #[must_use]
    pub fn spelling(&self) -> &str {
        &self.spelling
    }

    /// The number. A spelling beyond the range of doubles is infinite, as in PHP.
    #[must_use]
    pub fn value(&self) -> f64 {
        match self.spelling.as_ref() {
            "INF" => f64::INFINITY,
            "-INF" => f64::NEG_INFINITY,
            // The spelling was checked when it was taken, so NAN is all that is left to fail here.
            decimal => decimal.parse().unwrap_or(f64::NAN),
        }
    }
}

/// Spells a number as PHP does with `serialize_precision = -1`, its default since 7.1: the shortest digits that
/// read back the same, with an exponent below 1.0E-4 and from 1.0E+17 on.
impl From<f64> for Float<'_> {
    fn from(number: f64) -> Self {
        let spelling = match number {
            number if number.is_nan() => Cow::Borrowed("NAN"),
            f64::INFINITY => Cow::Borrowed("INF"),
            f64::NEG_INFINITY => Cow::Borrowed("-INF"),
            number => Cow::Owned(spell(number)),
        };
        Float { spelling }
    }
}

fn spell(number: f64) -> String {
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(number.abs());
    let (digits, exponent) = digits_and_exponent(shortest);
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if !(-4..17).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let rest = if rest.is_empty() { "0" } else { rest };
        return format!("{sign}{first}.{rest}E{exponent:+}");
    }
    // How many digits stand before the point; none or fewer below 1.
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    if whole == 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("{sign}0.{zeros}{digits}");
    }
    match digits.split_at_checked(whole) {
        Some((whole, fraction)) if !fraction.is_empty() => format!("{sign}{whole}.{fraction}"),
        _ => format!("{sign}{digits:0<whole$}"),
    }
}

/// The significant digits of an unsigned decimal like `0.0012` or `1.2e-7`, and the exponent of the first of them.
fn digits_and_exponent(decimal: &str) -> (String, i32) {
    let (mantissa, exponent) = decimal.split_once('e').unwrap_or((decimal, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = [whole, fraction].concat();
    let significant = all.trim_start_matches('0');
    // A double has at most a few hundred digits in any notation, so the casts lose nothing.
    let first = whole.len() as i32 - 1 - (all.len() - significant.len()) as i32;
    match significant.trim_end_matches('0') {
        "" => ("0".to_owned(), 0),
        digits => (digits.to_owned(), first + exponent.parse().unwrap_or(0)),
    }
}

/// `[+-]? (digits | digits "." digits? | "." digits) ([eE] [+-]? digits)?`, the grammar of `unserialize()`.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_is_sound = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0 && exponent_is_sound
}
