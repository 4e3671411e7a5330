//! Reads PHP's `serialize()` text into values that borrow from it.

use std::borrow::Cow;

use super::error::{Error, ErrorKind};
use super::float::Float;
use super::value::{Custom, Document, Entries, Enum, Key, Object, Value};
use crate::payload::Limits;

/// The shortest entry of an array: `i:0;` and `N;`.
const SHORTEST_ENTRY: usize = 6;
/// Room made for the entries of an array before any was read; more comes as they are read, whatever was announced.
const FIRST_ENTRIES: usize = 16;

/// Reads one serialized value, which white space may follow.
///
/// Time and memory are linear in the body's length: announced lengths are believed only as far as the body reaches.
///
/// # Errors
/// At the first byte that PHP would not accept, and where a limit or a strictness named in the [module](super) applies.
pub fn parse<'a>(body: &'a [u8], limits: &Limits) -> Result<Document<'a>, Error> {
    if body.len() > limits.body {
        let kind = ErrorKind::BodyTooLong {
            len: body.len(),
            limit: limits.body,
        };
        return Err(Error { offset: 0, kind });
    }
    let mut reader = Reader::new(body, limits.levels());
    let root = reader.value()?;
    let rest = reader.rest().trim_ascii_end().len();
    if rest > 0 {
        return Err(reader.error(ErrorKind::Trailing { count: rest }));
    }
    Ok(Document {
        root,
        has_references: reader.has_references,
    })
}

pub(super) struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    depth: usize,
    max_depth: usize,
    /// Slots given out so far.
    slots: u64,
    has_references: bool,
    /// Whether a `C:` payload was passed that may hold slots we cannot count.
    passed_opaque: bool,
    /// Bytes looked at, those looked at twice counted twice.
    #[cfg(test)]
    pub(super) steps: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8], max_depth: usize) -> Reader<'a> {
        Reader {
            body,
            at: 0,
            depth: 0,
            max_depth,
            slots: 0,
            has_references: false,
            passed_opaque: false,
            #[cfg(test)]
            steps: 0,
        }
    }

    pub(super) fn value(&mut self) -> Result<Value<'a>, Error> {
        let tag = self.next("a value")?;
        if tag != b'R' {
            self.slots += 1;
        }
        match tag {
            b'N' => self.expect(b';', "`;`").map(|()| Value::Null),
            b's' => self.colon().and_then(|()| self.string()).map(Value::String),
            b'i' => self.colon().and_then(|()| self.int()).map(Value::Int),
            b'a' => self.array(),
            b'b' => self.bool(),
            b'd' => self.float(),
            b'S' => self
                .colon()
                .and_then(|()| self.escaped_string())
                .map(Value::String),
            b'O' => self.object(),
            b'C' => self.custom(),
            b'E' => self.enum_case(),
            b'R' => self.reference(self.slots).map(Value::Reference),
            b'r' => self.reference(self.slots - 1).map(Value::SameObject),
            found => Err(self.unexpected(found, "a value (`N`, `b`, `i`, `d`, `s`, `a`, `O`, …)")),
        }
    }

    fn bool(&mut self) -> Result<Value<'a>, Error> {
        self.colon()?;
        let truth = match self.next("`0` or `1`")? {
            b'0' => false,
            b'1' => true,
            found => return Err(self.unexpected(found, "`0` or `1`")),
        };
        self.expect(b';', "`;`").map(|()| Value::Bool(truth))
    }

    /// An integer with the `;` that ends it. PHP takes a `+` and leading zeros as well.
    fn int(&mut self) -> Result<i64, Error> {
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

    fn float(&mut self) -> Result<Value<'a>, Error> {
        self.colon()?;
        let start = self.at;
        while self.peek().is_some_and(|byte| byte != b';') {
            self.advance(1);
        }
        let spelling = self.body.get(start..self.at).unwrap_or_default();
        let float = Float::from_spelling(spelling).ok_or(Error {
            offset: start,
            kind: ErrorKind::Float,
        })?;
        self.expect(b';', "`;`").map(|()| Value::Float(float))
    }

    /// What follows the colon of `s:`, up to and with its `;`.
    fn string(&mut self) -> Result<Cow<'a, [u8]>, Error> {
        let bytes = self.quoted()?;
        self.expect(b';', "`;` after the string")
            .map(|()| Cow::Borrowed(bytes))
    }

    /// What follows the colon of `S:`: the length counts characters, of which `\41` is one.
    fn escaped_string(&mut self) -> Result<Cow<'a, [u8]>, Error> {
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
        self.expect(b';', "`;` after the string")
            .map(|()| Cow::Owned(bytes))
    }

    fn array(&mut self) -> Result<Value<'a>, Error> {
        self.colon()?;
        self.entries().map(Value::Array)
    }

    fn object(&mut self) -> Result<Value<'a>, Error> {
        let class = self.class_name()?;
        let properties = self.entries()?;
        Ok(Value::Object(Box::new(Object {
            class: Cow::Borrowed(class),
            properties,
        })))
    }

    fn custom(&mut self) -> Result<Value<'a>, Error> {
        let class = self.class_name()?;
        let length = self.length()?;
        self.expect(b':', "`:`")?;
        self.expect(b'{', "`{`")?;
        let start = self.at;
        let payload = self.take(length)?;
        self.expect(b'}', "`}` after the payload")?;
        let inner = self.inner_value(start, length);
        let custom = Custom {
            class: Cow::Borrowed(class),
            payload: Cow::Borrowed(payload),
            inner,
        };
        Ok(Value::Custom(Box::new(custom)))
    }

    /// Reads a custom payload as one value that continues our count of slots; `None`, with nothing counted, if it is not one.
    fn inner_value(&mut self, start: usize, length: usize) -> Option<Value<'a>> {
        let mut inner = Reader::new(self.body.get(..start + length)?, self.max_depth);
        inner.at = start;
        inner.depth = self.depth + 1;
        inner.slots = self.slots;
        inner.passed_opaque = self.passed_opaque;
        let value = if inner.depth > inner.max_depth {
            None
        } else {
            inner.value().ok()
        };
        #[cfg(test)]
        {
            self.steps += inner.steps;
        }
        let value = value.filter(|_| inner.rest().is_empty());
        if value.is_some() {
            self.slots = inner.slots;
            self.passed_opaque = inner.passed_opaque;
            self.has_references |= inner.has_references;
        } else {
            self.passed_opaque = true;
        }
        value
    }

    fn enum_case(&mut self) -> Result<Value<'a>, Error> {
        self.colon()?;
        let start = self.at;
        let name = self.quoted()?;
        self.expect(b';', "`;` after the case")?;
        let bad = |what| Error {
            offset: start,
            kind: ErrorKind::Name { what },
        };
        let colon = name.iter().position(|&byte| byte == b':').ok_or(bad("case"))?;
        let (class, case) = (
            name.get(..colon).unwrap_or_default(),
            name.get(colon + 1..).unwrap_or_default(),
        );
        if !is_name(class) {
            return Err(bad("class"));
        }
        if !is_name(case) {
            return Err(bad("case"));
        }
        Ok(Value::Enum(Box::new(Enum {
            class: Cow::Borrowed(class),
            case: Cow::Borrowed(case),
        })))
    }

    fn reference(&mut self, known: u64) -> Result<u64, Error> {
        self.colon()?;
        let start = self.at;
        let slot = self.length()? as u64;
        self.expect(b';', "`;`")?;
        self.has_references = true;
        if slot == 0 || (slot > known && !self.passed_opaque) {
            return Err(Error {
                offset: start,
                kind: ErrorKind::Reference { slot, known },
            });
        }
        Ok(slot)
    }

    /// A class name with the colons around it.
    fn class_name(&mut self) -> Result<&'a [u8], Error> {
        self.colon()?;
        let start = self.at;
        let class = self.quoted()?;
        if !is_name(class) {
            return Err(Error {
                offset: start,
                kind: ErrorKind::Name { what: "class" },
            });
        }
        self.colon().map(|()| class)
    }

    /// `2:{…}`: the entries of an array or the properties of an object.
    fn entries(&mut self) -> Result<Entries<'a>, Error> {
        let declared = self.length()?;
        self.expect(b':', "`:`")?;
        self.expect(b'{', "`{`")?;
        let left = self.rest().len();
        if declared > left / SHORTEST_ENTRY {
            return Err(self.error(ErrorKind::TooMany { declared, left }));
        }
        if self.depth == self.max_depth {
            return Err(self.error(ErrorKind::TooDeep {
                limit: self.max_depth,
            }));
        }
        self.depth += 1;
        let mut entries = Entries::with_capacity(declared.min(FIRST_ENTRIES));
        for _ in 0..declared {
            let key = self.key()?;
            entries.push((key, self.value()?));
        }
        self.depth -= 1;
        self.expect(b'}', "`}` after the last element").map(|()| entries)
    }

    fn key(&mut self) -> Result<Key<'a>, Error> {
        match self.next("a key")? {
            b's' => self.colon().and_then(|()| self.string()).map(Key::Bytes),
            b'i' => self.colon().and_then(|()| self.int()).map(Key::Int),
            b'S' => self.colon().and_then(|()| self.escaped_string()).map(Key::Bytes),
            found => Err(self.unexpected(found, "a key (`i` or `s`)")),
        }
    }

    /// `3:"abc"`
    fn quoted(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length()?;
        self.expect(b':', "`:`")?;
        self.expect(b'"', "`\"`")?;
        let bytes = self.take(length)?;
        self.expect(b'"', "`\"` at the end of the string").map(|()| bytes)
    }

    fn length(&mut self) -> Result<usize, Error> {
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

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        self.announced(length)?;
        let bytes = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        Ok(bytes)
    }

    fn colon(&mut self) -> Result<(), Error> {
        self.expect(b':', "`:`")
    }

    fn expect(&mut self, byte: u8, wanted: &'static str) -> Result<(), Error> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected_here(wanted));
        }
        self.advance(1);
        Ok(())
    }

    fn next(&mut self, wanted: &'static str) -> Result<u8, Error> {
        let byte = self.peek().ok_or_else(|| self.error(ErrorKind::End { wanted }))?;
        self.advance(1);
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        #[cfg(test)]
        {
            self.steps += bytes;
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.body.get(self.at..).unwrap_or_default()
    }

    #[cold]
    fn error(&self, kind: ErrorKind) -> Error {
        Error {
            offset: self.at,
            kind,
        }
    }

    /// For a byte that was already passed.
    #[cold]
    fn unexpected(&self, found: u8, wanted: &'static str) -> Error {
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

/// Whether PHP would accept this as the name of a class (with its namespace) or of a case.
fn is_name(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\\' | 0x80..);
    !name.is_empty() && name.iter().all(allowed)
}
