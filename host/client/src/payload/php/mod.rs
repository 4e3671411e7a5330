//! PHP's `serialize()` format: a reader, a writer and the values between them.
//!
//! [`parse`] and [`write()`] are inverse for every body that PHP itself wrote, byte for byte: order, spelling of floats,
//! references and property names are kept. What PHP reads but never writes is read too where it means one thing
//! only (`i:+7;`, `d:.5;`, `S:` strings), and written the way PHP would.
//!
//! Stricter than PHP 8.2, on purpose: bytes after the value are refused unless they are white space (8.2 ignores
//! them silently, 8.3 warns), and so is an integer beyond 64 bits (PHP makes it another number).
//! Looser: classes and enums need not exist.
//!
//! # Slots
//!
//! `R:n;` and `r:n;` point at the n-th value of the body, counted from 1 for the outermost. Every value takes a slot
//! when it begins, before what it contains; so does `r:`. Keys take none, and neither does `R:`. Where the
//! payload of a `C:` object is itself one serialized value, PHP counts the values in it as well (the class called
//! `serialize()` inside its own `serialize()`), and so do we, up to 32 payloads inside one another; any other payload
//! counts as none.

mod error;
mod float;
mod from;
mod from_json;
mod read;
mod scan;
mod slots;
mod value;
mod write;

pub use error::{Error, ErrorKind};
pub use float::Float;
pub use from_json::from_json;
pub use read::parse;
pub use value::{Custom, Document, Entries, Entry, Enum, Key, Object, Value};
pub use write::write;

pub(super) use from_json::AnyKey;
pub(super) use slots::{BadReference, Slots};
pub(super) use value::{KeyIdentity, winners};

#[cfg(test)]
mod tests;
