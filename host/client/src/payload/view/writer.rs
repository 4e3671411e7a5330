//! Writes the view of a PHP document in one walk over its values.

use std::collections::HashSet;
use std::ptr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::forms::{self, BASE64_PREFIX, class_key, property_name, resembles_our_forms};
use super::{Path, ViewError, ViewErrorKind};
use crate::payload::Limits;
use crate::payload::php::{
    BadReference, Custom, Document, Entries, Entry, Enum, Float, Key, KeyIdentity, Object, Slots, Value,
    winners,
};

/// Writes the view of a whole document; says whether one of our forms occurs in it.
pub(super) fn write_view(
    document: &Document<'_>,
    limits: &Limits,
    out: &mut Vec<u8>,
) -> Result<bool, ViewError> {
    out.clear();
    let mut writer = Writer {
        out,
        limit: limits.output,
        depth: 0,
        max_depth: limits.levels(),
        slots: document.has_references().then(|| Slots::of(document)),
        open: HashSet::new(),
        marked: false,
        resembling: None,
    };
    writer.value(document.root()).map_err(|error| *error)?;
    Ok(writer.marked)
}

/// Boxed, so that the results on the way are one word.
type Written = Result<(), Box<ViewError>>;

struct Writer<'o, 'd, 'a> {
    out: &'o mut Vec<u8>,
    limit: usize,
    depth: usize,
    max_depth: usize,
    /// Present where the document has references.
    slots: Option<Slots<'d, 'a>>,
    /// The arrays and objects we are in, kept where there are references.
    open: HashSet<*const Value<'a>>,
    /// Whether one of our forms was written.
    marked: bool,
    /// The user's key that resembles one of our forms.
    resembling: Option<String>,
}

impl<'d, 'a> Writer<'_, 'd, 'a> {
    fn value(&mut self, value: &'d Value<'a>) -> Written {
        match value {
            Value::Null => self.out.extend_from_slice(b"null"),
            Value::Bool(truth) => self
                .out
                .extend_from_slice(if *truth { b"true" } else { b"false" }),
            Value::Int(number) => self.json(number),
            Value::Float(float) => self.float(float)?,
            Value::String(bytes) => self.string(bytes)?,
            Value::Array(_) | Value::Object(_) => self.container(value)?,
            Value::Custom(custom) => self.custom(custom)?,
            Value::Enum(case) => self.enum_case(case)?,
            Value::Reference(_) | Value::SameObject(_) => self.reference(value)?,
        }
        self.within_limit(0)
    }

    fn reference(&mut self, value: &'d Value<'a>) -> Written {
        let target = match &self.slots {
            Some(slots) => slots.resolve(value),
            None => Ok(value),
        };
        let target = target.map_err(|BadReference { slot }| fault(ViewErrorKind::Reference { slot }))?;
        if self.open.contains(&ptr::from_ref(target)) {
            return Err(fault(ViewErrorKind::Cycle));
        }
        self.value(target)
    }

    fn container(&mut self, value: &'d Value<'a>) -> Written {
        if self.depth == self.max_depth {
            return Err(fault(ViewErrorKind::TooDeep {
                limit: self.max_depth,
            }));
        }
        self.depth += 1;
        let tracked = self.slots.is_some();
        if tracked {
            self.open.insert(ptr::from_ref(value));
        }
        match value {
            Value::Array(entries) => self.array(entries)?,
            Value::Object(object) => self.object(object)?,
            _ => {}
        }
        if tracked {
            self.open.remove(&ptr::from_ref(value));
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, entries: &'d Entries<'a>) -> Written {
        if is_list(entries.iter()) {
            return self.list(entries.iter());
        }
        match self.chosen(entries)? {
            None => self.map(entries.iter()),
            Some(chosen) if is_list(chosen.iter().copied()) => self.list(chosen.into_iter()),
            Some(chosen) => self.map(chosen.into_iter()),
        }
    }

    /// The entries that count where keys repeat, `None` where none does.
    fn chosen(&self, entries: &'d Entries<'a>) -> Result<Option<Vec<&'d Entry<'a>>>, Box<ViewError>> {
        match winners(entries) {
            Some(_) if self.slots.is_some() => Err(fault(ViewErrorKind::Repeated)),
            Some(winners) => Ok(Some(
                winners
                    .into_iter()
                    .filter_map(|index| entries.get(index))
                    .collect(),
            )),
            None => Ok(None),
        }
    }

    fn list(&mut self, entries: impl Iterator<Item = &'d Entry<'a>>) -> Written {
        self.out.push(b'[');
        for (index, (_, value)) in entries.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(value)
                .map_err(|error| under(error, || format!("[{index}]")))?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, entries: impl ExactSizeIterator<Item = &'d Entry<'a>>) -> Written {
        let alone = entries.len() == 1;
        self.out.push(b'{');
        for (index, (key, value)) in entries.enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            if let Key::Bytes(bytes) = key
                && resembles_our_forms(bytes, alone)
            {
                self.note_resemblance(bytes)
                    .map_err(|error| under(error, || step(key)))?;
            }
            self.entry(key, value)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn object(&mut self, object: &'d Object<'a>) -> Written {
        let chosen = self.chosen(&object.properties)?;
        let properties = chosen.unwrap_or_else(|| object.properties.iter().collect());
        forms::check_names(&properties).map_err(|key| fault(ViewErrorKind::SameKey { key }))?;
        self.out.push(b'{');
        self.mark()?;
        self.json(&class_key(&properties));
        self.out.push(b':');
        self.string(&object.class)?;
        for (key, value) in properties {
            self.out.push(b',');
            if let Key::Bytes(bytes) = key
                && bytes.starts_with(BASE64_PREFIX.as_bytes())
            {
                self.note_resemblance(bytes)?;
            }
            self.property(key, value)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn property(&mut self, key: &'d Key<'a>, value: &'d Value<'a>) -> Written {
        match key {
            Key::Bytes(bytes) if bytes.first() == Some(&0) => {
                // A name that is not UTF-8 keeps its zero bytes, so that the whole of it can be had back.
                let name = property_name(bytes);
                self.key(if std::str::from_utf8(&name).is_ok() {
                    &name
                } else {
                    bytes
                })?;
                self.out.push(b':');
                self.value(value).map_err(|error| under(error, || step(key)))
            }
            _ => self.entry(key, value),
        }
    }

    fn entry(&mut self, key: &'d Key<'a>, value: &'d Value<'a>) -> Written {
        match key {
            Key::Int(number) => {
                self.out.push(b'"');
                self.json(number);
                self.out.push(b'"');
            }
            Key::Bytes(bytes) => self.key(bytes)?,
        }
        self.out.push(b':');
        self.value(value).map_err(|error| under(error, || step(key)))
    }

    fn key(&mut self, bytes: &[u8]) -> Written {
        self.within_limit(bytes.len())?;
        if is_plain(bytes) {
            self.quoted(bytes);
            return Ok(());
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => self.json(text),
            Err(_) => {
                self.mark()?;
                self.json(&format!("{BASE64_PREFIX}{}", BASE64.encode(bytes)));
            }
        }
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) -> Written {
        self.within_limit(bytes.len())?;
        if is_plain(bytes) {
            self.quoted(bytes);
            return Ok(());
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => self.json(text),
            Err(_) => {
                self.mark()?;
                self.out.extend_from_slice(b"{\"__base64\":");
                self.json(&BASE64.encode(bytes));
                self.out.push(b'}');
            }
        }
        Ok(())
    }

    fn float(&mut self, float: &Float<'_>) -> Written {
        if let Some(text) = forms::plain_number(float) {
            self.out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        self.mark()?;
        self.out.extend_from_slice(b"{\"__float\":");
        // A spelling beyond the range of doubles is infinite, and is named so.
        self.json(Float::from(float.value()).spelling());
        self.out.push(b'}');
        Ok(())
    }

    fn custom(&mut self, custom: &Custom<'a>) -> Written {
        self.mark()?;
        self.out.extend_from_slice(b"{\"__class\":");
        self.string(&custom.class)?;
        self.out.extend_from_slice(b",\"__serialized\":");
        self.string(&custom.payload)?;
        self.out.push(b'}');
        Ok(())
    }

    fn enum_case(&mut self, case: &Enum<'_>) -> Written {
        self.string(&[&case.class, b"::".as_slice(), &case.case].concat())
    }

    /// A text that JSON has as it is.
    fn quoted(&mut self, plain: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(plain);
        self.out.push(b'"');
    }

    fn json<T: Serialize + ?Sized>(&mut self, value: &T) {
        // Strings and integers always serialize, and writing to a vector cannot fail.
        let _ = serde_json::to_writer(&mut *self.out, value);
    }

    /// Notes that one of our forms is written.
    fn mark(&mut self) -> Written {
        self.marked = true;
        self.unambiguous()
    }

    fn note_resemblance(&mut self, key: &[u8]) -> Written {
        if self.resembling.is_none() {
            self.resembling = Some(shown(key));
        }
        self.unambiguous()
    }

    fn unambiguous(&self) -> Written {
        match &self.resembling {
            Some(key) if self.marked => Err(fault(ViewErrorKind::Ambiguous { key: key.clone() })),
            _ => Ok(()),
        }
    }

    /// Fails if the view is too long already, or will be with this many bytes more.
    fn within_limit(&self, more: usize) -> Written {
        if self.out.len() + more > self.limit {
            return Err(fault(ViewErrorKind::TooLong { limit: self.limit }));
        }
        Ok(())
    }
}

/// Whether these bytes are ASCII with nothing to escape, as most texts are.
///
/// Looks at all of them, whatever the first ones are: without a way out the compiler makes it a loop over many bytes at once.
fn is_plain(bytes: &[u8]) -> bool {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
    bytes.iter().fold(true, |all, &byte| all & plain(byte))
}

/// PHP's rule, also for keys like `"0"` that it takes for integers.
fn is_list<'d, 'a: 'd>(mut entries: impl Iterator<Item = &'d Entry<'a>>) -> bool {
    let mut next = 0;
    entries.all(|(key, _)| {
        let in_order = key.identity() == KeyIdentity::Int(next);
        next += 1;
        in_order
    })
}

#[cold]
fn fault(kind: ViewErrorKind) -> Box<ViewError> {
    Box::new(ViewError {
        path: Path::default(),
        kind,
    })
}

#[cold]
fn under(mut error: Box<ViewError>, step: impl FnOnce() -> String) -> Box<ViewError> {
    error.path.steps.push(step());
    error
}

fn step(key: &Key<'_>) -> String {
    match key {
        Key::Int(number) => format!("[{number}]"),
        Key::Bytes(bytes) => format!(".{}", shown(&property_name(bytes))),
    }
}

/// A key in an error, on one line and not too long.
fn shown(key: &[u8]) -> String {
    const LONGEST: usize = 60;
    match std::str::from_utf8(key) {
        Ok(text) if text.chars().count() <= LONGEST && !text.contains(char::is_control) => text.to_owned(),
        _ => key.get(..LONGEST).unwrap_or(key).escape_ascii().to_string(),
    }
}
