//! Lines, words and numbers: the grain of the protocol under commands and replies alike.

use std::ops::Range;

use super::error::{Excerpt, ProtocolError};

/// The longest line, line end included (protocol.txt, "BAD_FORMAT"; the server's replies fit the same buffer).
pub const MAX_LINE_BYTES: usize = 224;

/// What came of parsing the beginning of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<T> {
    /// A whole value.
    Complete {
        /// The value.
        value: T,
        /// How many bytes of the input it took.
        consumed: usize,
    },
    /// The input is a beginning, and nothing in it is wrong so far.
    Incomplete {
        /// The least length of the whole input, in bytes, with which it is worth calling again.
        needed: usize,
    },
}

/// The first line of `input` without its line end.
pub(super) fn first_line(input: &[u8]) -> Result<Parsed<&[u8]>, ProtocolError> {
    let within = &input[..input.len().min(MAX_LINE_BYTES)];
    let Some(feed) = position(within, b'\n') else {
        if within.len() == MAX_LINE_BYTES {
            return Err(ProtocolError::LineTooLong {
                found: Excerpt::new(within),
                limit: MAX_LINE_BYTES,
            });
        }
        return Ok(Parsed::Incomplete {
            needed: input.len() + 1,
        });
    };
    match within[..feed].strip_suffix(b"\r") {
        Some(line) => Ok(Parsed::Complete {
            value: line,
            consumed: feed + 1,
        }),
        None => Err(ProtocolError::BareLineFeed {
            found: Excerpt::new(&within[..feed]),
        }),
    }
}

/// Where a body of `length` bytes that begins at `start` of `input` lies, once it and its line end are there.
///
/// `length` was checked against the caller's limit before, so the sums below cannot overflow on 64 bits; they
/// saturate elsewhere, which reads as a body that never completes.
pub(super) fn body_at(
    input: &[u8],
    start: usize,
    length: usize,
) -> Result<Parsed<Range<usize>>, ProtocolError> {
    let end = start.saturating_add(length);
    let needed = end.saturating_add(2);
    if input.len() < needed {
        return Ok(Parsed::Incomplete { needed });
    }
    let after = &input[end..needed];
    if after != b"\r\n" {
        return Err(ProtocolError::BodyNotTerminated {
            found: Excerpt::new(after),
            length,
        });
    }
    Ok(Parsed::Complete {
        value: start..end,
        consumed: needed,
    })
}

/// Where `byte` is first. A few bytes from the beginning, as in every line: there a search for long texts takes longer.
fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    bytes.iter().position(|found| *found == byte)
}

/// Checks an announced body length against the caller's limit.
pub(super) fn body_length(announced: u64, limit: usize) -> Result<usize, ProtocolError> {
    match usize::try_from(announced) {
        Ok(length) if length <= limit => Ok(length),
        _ => Err(ProtocolError::BodyTooLong { announced, limit }),
    }
}

/// The words of one line after its first word, for taking them off one by one.
///
/// Words are parted by exactly one space. Every method answers `None` where the line does not fit; the caller
/// turns that into one error for the whole line.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Words<'a> {
    /// Parts `line` into its first word and the words after it.
    pub(super) fn split(line: &'a [u8]) -> (&'a [u8], Self) {
        match position(line, b' ') {
            Some(space) => (
                &line[..space],
                Self {
                    rest: Some(&line[space + 1..]),
                },
            ),
            None => (line, Self { rest: None }),
        }
    }

    pub(super) fn word(&mut self) -> Option<&'a [u8]> {
        let (word, after) = Self::split(self.rest?);
        self.rest = after.rest;
        Some(word)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        decimal(self.word()?)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.u64()?).ok()
    }

    /// `Some` only where no word is left.
    pub(super) fn end(self) -> Option<()> {
        self.rest.is_none().then_some(())
    }

    pub(super) fn is_empty(self) -> bool {
        self.rest.is_none()
    }
}

/// Reads digits only: no sign, no space, no empty text, nothing over 2^64 − 1.
pub(super) fn decimal(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |value, &byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Appends `value` in decimal; the hot path has no need of the formatting machinery for that.
pub(super) fn push_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_only_and_end_at_the_largest_u64() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for text in ["", "-1", "+1", " 1", "1 ", "1a", "0x1", "18446744073709551616"] {
            assert_eq!(decimal(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in [0, 9, 10, 99, 100, 4_294_967_295, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }

    #[test]
    fn a_line_has_at_most_224_bytes_with_its_end() {
        let longest = [vec![b'a'; 222], b"\r\n".to_vec()].concat();
        assert!(matches!(
            first_line(&longest),
            Ok(Parsed::Complete { consumed: 224, .. })
        ));
        assert!(matches!(
            first_line(&[b'a'; 223]),
            Ok(Parsed::Incomplete { needed: 224 })
        ));
        assert!(matches!(
            first_line(&[b'a'; 224]),
            Err(ProtocolError::LineTooLong { .. })
        ));
    }

    #[test]
    fn a_bare_line_feed_is_an_error() {
        assert!(matches!(
            first_line(b"DELETED\n"),
            Err(ProtocolError::BareLineFeed { .. })
        ));
        assert!(matches!(
            first_line(b"\n"),
            Err(ProtocolError::BareLineFeed { .. })
        ));
    }
}
