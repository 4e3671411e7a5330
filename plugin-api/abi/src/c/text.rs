//! Texts and lists as C passes them.

use std::{borrow::Cow, slice};

use crate::descriptor::Text;

/// A text that C has lent for the call; what is not UTF-8 in it is replaced.
///
/// # Safety
///
/// As the header says: `text` points to `len` readable bytes while the call lasts, or is empty.
pub(super) unsafe fn borrowed<'a>(text: Text) -> Cow<'a, str> {
    // SAFETY: the caller's promise.
    String::from_utf8_lossy(unsafe { bytes(text) })
}

/// # Safety
///
/// As for [`borrowed`].
pub(super) unsafe fn bytes<'a>(text: Text) -> &'a [u8] {
    // SAFETY: the caller's promise, and the bytes of a text have no alignment.
    unsafe { list(text.ptr, text.len) }
}

/// # Safety
///
/// `first` points to `len` readable values while the call lasts; or there are none, and it may be null. What no memory can hold reads as none.
pub(super) unsafe fn list<'a, T>(first: *const T, len: usize) -> &'a [T] {
    let too_long = len
        .checked_mul(size_of::<T>())
        .is_none_or(|bytes| isize::try_from(bytes).is_err());
    if first.is_null() || len == 0 || too_long {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(first, len) }
}

/// A text of ours. Valid for as long as the bytes are.
pub(super) fn text(bytes: &[u8]) -> Text {
    Text {
        ptr: bytes.as_ptr(),
        len: bytes.len(),
    }
}

/// Leaves a value where C wants it.
///
/// # Safety
///
/// `to` is writable, or null.
pub(super) unsafe fn give<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: the caller's promise.
        unsafe { to.write(value) };
    }
}
