//! Reads PHP's `serialize()` text into values that borrow from it.

use std::borrow::Cow;

use super::error::{Error, ErrorKind};
use super::float::Float;
use super::scan::Scanner;
use super::value::{Custom, Document, Entries, Enum, Key, Object, Value};
use crate::payload::Limits;

/// The shortest entry of an array: `i:0;` and `N;`.
const SHORTEST_ENTRY: usize = 6;
/// Room made for the entries of an array before any was read; more comes as they are read, whatever was announced.
const FIRST_ENTRIES: usize = 16;
/// Custom payloads inside one another whose slots are counted. Reading them is the only recursion here.
const COUNTED_PAYLOADS: usize = 32;

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
    let rest = reader.text.rest().trim_ascii_end().len();
    if rest > 0 {
        return Err(reader.text.error(ErrorKind::Trailing { count: rest }));
    }
    Ok(Document {
        root,
        has_references: reader.has_references,
    })
}

pub(super) struct Reader<'a> {
    pub(super) text: Scanner<'a>,
    max_depth: usize,
    /// Custom payloads around the text that is being read.
    payloads: usize,
    /// Slots given out so far.
    slots: u64,
    has_references: bool,
    /// Whether a `C:` payload was passed that may hold slots we cannot count.
    passed_opaque: bool,
}

/// What stands at the beginning of a value.
enum Beginning<'a> {
    /// All of it.
    Whole(Value<'a>),
    /// An array, or an object if there is a class, up to its `{`.
    Entries {
        class: Option<&'a [u8]>,
        declared: usize,
    },
}

/// An array or object whose entries are being read.
struct Open<'a> {
    class: Option<&'a [u8]>,
    declared: usize,
    entries: Entries<'a>,
    /// The key of the entry whose value comes next.
    key: Key<'a>,
}

impl<'a> Open<'a> {
    fn into_value(self) -> Value<'a> {
        match self.class {
            None => Value::Array(self.entries),
            Some(class) => Value::Object(Box::new(Object {
                class: class.into(),
                properties: self.entries,
            })),
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8], max_depth: usize) -> Reader<'a> {
        Reader {
            text: Scanner::new(body, 0),
            max_depth,
            payloads: 0,
            slots: 0,
            has_references: false,
            passed_opaque: false,
        }
    }

    /// Reads one value. What it is nested in waits in a list, so that deep bodies need no stack.
    pub(super) fn value(&mut self) -> Result<Value<'a>, Error> {
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            let mut value = match self.beginning(self.max_depth - open.len())? {
                Beginning::Whole(value) => value,
                Beginning::Entries { class, declared } => {
                    if open.len() == self.max_depth {
                        return Err(self.text.error(ErrorKind::TooDeep {
                            limit: self.max_depth,
                        }));
                    }
                    let entries = Entries::with_capacity(declared.min(FIRST_ENTRIES));
                    let mut container = Open {
                        class,
                        declared,
                        entries,
                        key: Key::Int(0),
                    };
                    if declared > 0 {
                        container.key = self.key()?;
                        open.push(container);
                        continue;
                    }
                    self.end_of_entries()?;
                    container.into_value()
                }
            };
            // The value may be the last of its array, which then is the last of the one around it, and so on.
            loop {
                let Some(container) = open.last_mut() else {
                    return Ok(value);
                };
                let key = std::mem::replace(&mut container.key, Key::Int(0));
                container.entries.push((key, value));
                if container.entries.len() < container.declared {
                    container.key = self.key()?;
                    break;
                }
                let Some(container) = open.pop() else { break };
                self.end_of_entries()?;
                value = container.into_value();
            }
        }
    }

    /// `levels` is how much deeper a value may nest here.
    fn beginning(&mut self, levels: usize) -> Result<Beginning<'a>, Error> {
        let tag = self.text.next("a value")?;
        if tag != b'R' {
            self.slots += 1;
        }
        if tag == b'N' {
            return self
                .text
                .expect(b';', "`;`")
                .map(|()| Beginning::Whole(Value::Null));
        }
        if !matches!(
            tag,
            b's' | b'i' | b'a' | b'b' | b'd' | b'S' | b'O' | b'C' | b'E' | b'R' | b'r'
        ) {
            return Err(self
                .text
                .unexpected(tag, "a value (`N`, `b`, `i`, `d`, `s`, `a`, `O`, …)"));
        }
        self.text.colon()?;
        let value = match tag {
            b's' => Value::String(Cow::Borrowed(self.text.string()?)),
            b'i' => Value::Int(self.text.int()?),
            b'a' => return self.entries(None),
            b'b' => Value::Bool(self.text.bool()?),
            b'd' => self.float()?,
            b'S' => Value::String(Cow::Owned(self.text.escaped_string()?)),
            b'O' => {
                let class = self.class_name()?;
                return self.entries(Some(class));
            }
            b'C' => self.custom(levels)?,
            b'E' => self.enum_case()?,
            b'R' => Value::Reference(self.reference(self.slots)?),
            _ => Value::SameObject(self.reference(self.slots - 1)?),
        };
        Ok(Beginning::Whole(value))
    }

    /// `2:{`
    fn entries(&mut self, class: Option<&'a [u8]>) -> Result<Beginning<'a>, Error> {
        let declared = self.text.length()?;
        self.text.expect(b':', "`:`")?;
        self.text.expect(b'{', "`{`")?;
        let left = self.text.rest().len();
        if declared > left / SHORTEST_ENTRY {
            return Err(self.text.error(ErrorKind::TooMany { declared, left }));
        }
        Ok(Beginning::Entries { class, declared })
    }

    fn end_of_entries(&mut self) -> Result<(), Error> {
        self.text.expect(b'}', "`}` after the last element")
    }

    fn key(&mut self) -> Result<Key<'a>, Error> {
        let tag = self.text.next("a key")?;
        if !matches!(tag, b's' | b'i' | b'S') {
            return Err(self.text.unexpected(tag, "a key (`i` or `s`)"));
        }
        self.text.colon()?;
        Ok(match tag {
            b's' => Key::Bytes(Cow::Borrowed(self.text.string()?)),
            b'i' => Key::Int(self.text.int()?),
            _ => Key::Bytes(Cow::Owned(self.text.escaped_string()?)),
        })
    }

    fn float(&mut self) -> Result<Value<'a>, Error> {
        let offset = self.text.at();
        let spelling = self.text.until_semicolon()?;
        let float = Float::from_spelling(spelling).ok_or(Error {
            offset,
            kind: ErrorKind::Float,
        })?;
        Ok(Value::Float(float))
    }

    fn enum_case(&mut self) -> Result<Value<'a>, Error> {
        let offset = self.text.at();
        let name = self.text.string()?;
        let bad = |what| Error {
            offset,
            kind: ErrorKind::Name { what },
        };
        let mut parts = name.splitn(2, |&byte| byte == b':');
        let (class, case) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if !is_name(class) {
            return Err(bad("class"));
        }
        if !is_name(case) {
            return Err(bad("case"));
        }
        Ok(Value::Enum(Box::new(Enum {
            class: class.into(),
            case: case.into(),
        })))
    }

    fn reference(&mut self, known: u64) -> Result<u64, Error> {
        let offset = self.text.at();
        let slot = self.text.length()? as u64;
        self.text.expect(b';', "`;`")?;
        self.has_references = true;
        if slot == 0 || (slot > known && !self.passed_opaque) {
            return Err(Error {
                offset,
                kind: ErrorKind::Reference { slot, known },
            });
        }
        Ok(slot)
    }

    /// `3:"Foo":`
    fn class_name(&mut self) -> Result<&'a [u8], Error> {
        let offset = self.text.at();
        let class = self.text.quoted()?;
        if !is_name(class) {
            return Err(Error {
                offset,
                kind: ErrorKind::Name { what: "class" },
            });
        }
        self.text.colon().map(|()| class)
    }

    fn custom(&mut self, levels: usize) -> Result<Value<'a>, Error> {
        let class = self.class_name()?;
        let length = self.text.length()?;
        self.text.expect(b':', "`:`")?;
        self.text.expect(b'{', "`{`")?;
        let start = self.text.at();
        let payload = self.text.take(length)?;
        let inner = self.inner_value(start, levels);
        self.text.expect(b'}', "`}` after the payload")?;
        Ok(Value::Custom(Box::new(Custom {
            class: class.into(),
            payload: payload.into(),
            inner,
        })))
    }

    /// Reads the payload that was just passed as one value that continues our count of slots.
    ///
    /// `None`, with nothing counted, if it is not one.
    fn inner_value(&mut self, start: usize, levels: usize) -> Option<Value<'a>> {
        let body = self.text.body_until(self.text.at());
        let mut inner = Reader {
            text: Scanner::new(body, start),
            max_depth: levels.saturating_sub(1),
            payloads: self.payloads + 1,
            ..*self
        };
        let readable = levels > 0 && inner.payloads <= COUNTED_PAYLOADS;
        let value = if readable { inner.value().ok() } else { None };
        #[cfg(test)]
        {
            self.text.steps += inner.text.steps;
        }
        let value = value.filter(|_| inner.text.rest().is_empty());
        if value.is_some() {
            self.slots = inner.slots;
            self.passed_opaque = inner.passed_opaque;
            self.has_references = inner.has_references;
        } else {
            self.passed_opaque = true;
        }
        value
    }
}

/// Whether PHP would accept this as the name of a class (with its namespace) or of a case.
fn is_name(name: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\\' | 0x80..);
    !name.is_empty() && name.iter().all(allowed)
}
