//! The words of `serialize()` text: numbers, lengths, strings and the punctuation between them.

use super::error::{Error, ErrorKind};

/// A place in a body, which only moves forward.
///
/// The small steps are inlined into the reader, which lives in another codegen unit and spends its time in them.
pub(super) struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
    /// Bytes looked at, those looked at twice counted twice. Strings of a known length are not looked at.
    #[cfg(test)]
    pub(super) steps: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(body: &'a [u8], at: usize) -> Scanner<'a> {
        Scanner {
            body,
            at,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// How many bytes were passed.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The body up to `end`.
    pub(super) fn body_until(&self, end: usize) -> &'a [u8] {
        self.body.get(..end).unwrap_or(self.body)
    }

    /// An integer with the `;` that ends it. PHP takes a `+` and leading zeros as well.
    #[inline]
    pub(super) fn int(&mut self) -> Result<i64, Error> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        if negative || self.peek() == Some(b'+') {
            self.advance(1);
        }
        // Counted downwards, since the smallest integer has no positive counterpart.
        let mut number: i64 = 0;
        let first = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let digit = i64::from(digit - b'0');
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_sub(digit))
                .ok_or(Error {
                    offset: start,
                    kind: ErrorKind::NumberTooLarge,
                })?;
            self.advance(1);
        }
        if self.at == first {
            return Err(self.unexpected_here("a digit"));
        }
        self.expect(b';', "a digit or `;`")?;
        if negative {
            return Ok(number);
        }
        number.checked_neg().ok_or(Error {
            offset: start,
            kind: ErrorKind::NumberTooLarge,
        })
    }

    /// `0;` or `1;`
    pub(super) fn bool(&mut self) -> Result<bool, Error> {
        let truth = match self.next("`0` or `1`")? {
            b'0' => false,
            b'1' => true,
            found => return Err(self.unexpected(found, "`0` or `1`")),
        };
        self.expect(b';', "`;`").map(|()| truth)
    }

    /// The bytes before the next `;`, which is passed too.
    pub(super) fn until_semicolon(&mut self) -> Result<&'a [u8], Error> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte != b';') {
            self.advance(1);
        }
        let bytes = self.body.get(start..self.at).unwrap_or_default();
        self.expect(b';', "`;`").map(|()| bytes)
    }

    /// What follows the colon of `s:`, up to and with its `;`.
    #[inline]
    pub(super) fn string(&mut self) -> Result<&'a [u8], Error> {
        let bytes = self.quoted()?;
        self.expect(b';', "`;` after the string").map(|()| bytes)
    }

    /// What follows the colon of `S:`: the length counts characters, of which `\41` is one.
    pub(super) fn escaped_string(&mut self) -> Result<Vec<u8>, Error> {
        let length = self.length()?;
        self.expect(b':', "`:`")?;
        self.expect(b'"', "`\"`")?;
        self.announced(length)?;
        let mut bytes = Vec::new();
        while bytes.len() < length {
            match self.next("the rest of the string")? {
                b'\\' => {
                    let digits = [self.next("a digit")?, self.next("a digit")?];
                    let text = std::str::from_utf8(&digits).unwrap_or_default();
                    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
                    let byte = u8::from_str_radix(text, 16).ok().filter(|_| is_hex);
                    bytes.push(byte.ok_or_else(|| self.error(ErrorKind::Escape))?);
                }
                byte => bytes.push(byte),
            }
        }
        self.expect(b'"', "`\"` at the end of the string")?;
        self.expect(b';', "`;` after the string").map(|()| bytes)
    }

    /// `3:"abc"`
    #[inline]
    pub(super) fn quoted(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length()?;
        self.expect(b':', "`:`")?;
        self.expect(b'"', "`\"`")?;
        let bytes = self.take(length)?;
        self.expect(b'"', "`\"` at the end of the string").map(|()| bytes)
    }

    #[inline]
    pub(super) fn length(&mut self) -> Result<usize, Error> {
        let start = self.at;
        let mut number: usize = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number
                .checked_mul(10)
                .and_then(|number| number.checked_add(usize::from(digit - b'0')))
                .ok_or(Error {
                    offset: start,
                    kind: ErrorKind::NumberTooLarge,
                })?;
            self.advance(1);
        }
        if self.at == start {
            Err(self.unexpected_here("a digit"))
        } else {
            Ok(number)
        }
    }

    #[inline]
    fn announced(&self, length: usize) -> Result<(), Error> {
        let left = self.rest().len();
        if length > left {
            return Err(self.error(ErrorKind::TooLong {
                declared: length,
                left,
            }));
        }
        Ok(())
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        self.announced(length)?;
        let bytes = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn colon(&mut self) -> Result<(), Error> {
        self.expect(b':', "`:`")
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8, wanted: &'static str) -> Result<(), Error> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected_here(wanted));
        }
        self.advance(1);
        Ok(())
    }

    #[inline]
    pub(super) fn next(&mut self, wanted: &'static str) -> Result<u8, Error> {
        let byte = self.peek().ok_or_else(|| self.error(ErrorKind::End { wanted }))?;
        self.advance(1);
        Ok(byte)
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    #[inline]
    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        #[cfg(test)]
        {
            self.steps += bytes;
        }
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    #[cold]
    pub(super) fn error(&self, kind: ErrorKind) -> Error {
        Error {
            offset: self.at,
            kind,
        }
    }

    /// For a byte that was already passed.
    #[cold]
    pub(super) fn unexpected(&self, found: u8, wanted: &'static str) -> Error {
        Error {
            offset: self.at - 1,
            kind: ErrorKind::Unexpected { found, wanted },
        }
    }

    #[cold]
    fn unexpected_here(&self, wanted: &'static str) -> Error {
        self.error(match self.peek() {
            Some(found) => ErrorKind::Unexpected { found, wanted },
            None => ErrorKind::End { wanted },
        })
    }
}
