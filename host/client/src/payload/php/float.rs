//! Floats in PHP's spelling, which is kept: `serialize_precision` decides it, and a body may come from any setting.

use std::borrow::Cow;
use std::fmt::Write as _;

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
    let exponent_at = |decimal: i32| !(-4..17).contains(&decimal);
    let scientific = format!("{number:e}");
    let parts = scientific
        .split_once('e')
        .map(|(digits, exponent)| (digits, exponent.parse::<i32>()));
    match parts {
        Some((digits, Ok(exponent))) if exponent_at(exponent) => {
            let mut text = digits.to_owned();
            if !digits.contains('.') {
                text.push_str(".0");
            }
            // Writing to a string cannot fail.
            let _ = write!(text, "E{exponent:+}");
            text
        }
        _ => format!("{number}"),
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
