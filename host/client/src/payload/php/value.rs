//! PHP values as data: what `serialize()` can say, with strings borrowed from the body.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::float::Float;

/// The entries of an array, or the properties of an object, in PHP's order. Keys may repeat in a body that PHP did not write.
pub type Entries<'a> = Vec<Entry<'a>>;

/// A key and what it stands for.
pub type Entry<'a> = (Key<'a>, Value<'a>);

/// One serialized PHP value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `N;`
    Null,
    /// `b:1;`
    Bool(bool),
    /// `i:42;`
    Int(i64),
    /// `d:0.1;`
    Float(Float<'a>),
    /// `s:2:"ab";`, any bytes.
    String(Cow<'a, [u8]>),
    /// `a:1:{…}`
    Array(Entries<'a>),
    /// `O:8:"stdClass":1:{…}`
    Object(Box<Object<'a>>),
    /// `C:3:"Foo":2:{…}`
    Custom(Box<Custom<'a>>),
    /// `E:11:"Suit:Hearts";`
    Enum(Box<Enum<'a>>),
    /// `R:2;`, a PHP reference (`&$x`) to the value in this slot. Takes no slot itself.
    Reference(u64),
    /// `r:2;`, the object in this slot once more. Takes a slot itself.
    SameObject(u64),
}

/// The key of an array's entry or the name of a property, exactly as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key<'a> {
    /// `i:0;`
    Int(i64),
    /// `s:1:"a";`. Protected properties are `"\0*\0name"`, private ones `"\0Class\0name"`.
    Bytes(Cow<'a, [u8]>),
}

/// An object as its class and properties (or what its `__serialize()` returned).
#[derive(Clone, Debug, PartialEq)]
pub struct Object<'a> {
    /// The class name, without a leading backslash.
    pub class: Cow<'a, [u8]>,
    /// The properties.
    pub properties: Entries<'a>,
}

/// An object whose class writes its own payload (PHP's `Serializable` interface).
#[derive(Clone, Debug)]
pub struct Custom<'a> {
    /// The class name, without a leading backslash.
    pub class: Cow<'a, [u8]>,
    /// The bytes between the braces; only the class knows what they mean.
    pub payload: Cow<'a, [u8]>,
    /// The payload read as one serialized value, where it is one: references count its slots.
    pub(super) inner: Option<Value<'a>>,
}

/// One case of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enum<'a> {
    /// The enum's class name.
    pub class: Cow<'a, [u8]>,
    /// The name of the case.
    pub case: Cow<'a, [u8]>,
}

impl<'a> Custom<'a> {
    /// An object of `class` with an opaque payload.
    pub fn new(class: impl Into<Cow<'a, [u8]>>, payload: impl Into<Cow<'a, [u8]>>) -> Custom<'a> {
        Custom {
            class: class.into(),
            payload: payload.into(),
            inner: None,
        }
    }

    pub(super) fn into_owned(self) -> Custom<'static> {
        Custom {
            class: self.class.into_owned().into(),
            payload: self.payload.into_owned().into(),
            inner: self.inner.map(Value::into_owned),
        }
    }
}

impl PartialEq for Custom<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.class == other.class && self.payload == other.payload
    }
}

/// A body that was read: its outermost value, and whether references occur in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<'a> {
    pub(super) root: Value<'a>,
    pub(super) has_references: bool,
}

impl<'a> Document<'a> {
    /// The outermost value. References in it are unresolved.
    #[must_use]
    pub fn root(&self) -> &Value<'a> {
        &self.root
    }

    /// The outermost value, without the document around it.
    #[must_use]
    pub fn into_root(self) -> Value<'a> {
        self.root
    }

    /// Whether the body contains `R:` or `r:`.
    #[must_use]
    pub fn has_references(&self) -> bool {
        self.has_references
    }
}

impl<'a> Value<'a> {
    /// A string.
    pub fn string(bytes: impl Into<Cow<'a, [u8]>>) -> Value<'a> {
        Value::String(bytes.into())
    }

    /// The entry of an array under `key`, as PHP would find it: the last one where the key repeats.
    /// `None` where there is none and where this is no array.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Array(entries) = self else { return None };
        let wanted = KeyIdentity::of_bytes(key.as_bytes());
        entries
            .iter()
            .rev()
            .find(|(key, _)| key.identity() == wanted)
            .map(|(_, value)| value)
    }
}

impl<'a> Key<'a> {
    /// A key of an array that PHP itself would write: `"5"` becomes the integer 5, `"05"` stays a string.
    #[must_use]
    pub fn for_array(text: Cow<'a, str>) -> Key<'a> {
        match canonical_int(text.as_bytes()) {
            Some(number) => Key::Int(number),
            None => Key::Bytes(match text {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }),
        }
    }

    pub(in crate::payload) fn identity(&self) -> KeyIdentity<'_> {
        match self {
            Key::Int(number) => KeyIdentity::Int(*number),
            Key::Bytes(bytes) => KeyIdentity::of_bytes(bytes),
        }
    }
}

/// What PHP takes a key for: `"5"` and 5 are the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::payload) enum KeyIdentity<'k> {
    Int(i64),
    Bytes(&'k [u8]),
}

impl<'k> KeyIdentity<'k> {
    fn of_bytes(bytes: &'k [u8]) -> KeyIdentity<'k> {
        canonical_int(bytes).map_or(KeyIdentity::Bytes(bytes), KeyIdentity::Int)
    }
}

/// The integer that PHP's arrays take this string for: decimal, no leading zero, no `+`, no `-0`, 64 bits.
fn canonical_int(bytes: &[u8]) -> Option<i64> {
    match bytes {
        b"0" => return Some(0),
        [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] if bytes.len() <= 20 => {}
        _ => return None,
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Arrays up to this length are searched for repeated keys pair by pair, which is faster than hashing.
const PAIRWISE: usize = 12;

/// The entries that count where keys repeat: for each place, in order, the index of the last entry with its key.
///
/// `None` where no key repeats, which is every array that PHP wrote.
pub(in crate::payload) fn winners(entries: &[Entry<'_>]) -> Option<Vec<usize>> {
    let may_repeat = match entries.len() {
        ..=PAIRWISE => repeats_within(entries),
        _ => hashes_repeat(entries),
    };
    if !may_repeat {
        return None;
    }
    let mut place_of = HashMap::with_capacity(entries.len());
    let mut places = Vec::new();
    for (index, (key, _)) in entries.iter().enumerate() {
        let place = *place_of.entry(key.identity()).or_insert(places.len());
        match places.get_mut(place) {
            Some(winner) => *winner = index,
            None => places.push(index),
        }
    }
    (places.len() < entries.len()).then_some(places)
}

fn repeats_within(entries: &[Entry<'_>]) -> bool {
    let same = |left: &Key<'_>, right: &Key<'_>| match (left, right) {
        (Key::Bytes(left), Key::Bytes(right)) => left == right,
        (left, right) => left.identity() == right.identity(),
    };
    entries.iter().enumerate().any(|(index, (key, _))| {
        let before = entries.get(..index).unwrap_or_default();
        before.iter().any(|(earlier, _)| same(earlier, key))
    })
}

/// Whether two keys have the same hash, which keys that differ all but never have.
///
/// Sorting the hashes takes a fraction of what filling a hash table takes, whose every step in a large array misses the
/// processor's caches.
fn hashes_repeat(entries: &[Entry<'_>]) -> bool {
    let state = RandomState::new();
    let mut hashes: Vec<u64> = entries
        .iter()
        .map(|(key, _)| state.hash_one(key.identity()))
        .collect();
    hashes.sort_unstable();
    !hashes.is_sorted_by(|before, after| before < after)
}
