//! The exported bytes that describe a plugin to a reader that never executes it.
//!
//! The symbol is an array of bytes in read-only data, without relocations: flat
//! JSON in UTF-8, readable straight from the ELF file.
//!
//! ```json
//! {"abi":"1.2","name":"mailer","version":"0.1.0","toolchain":"rustc 1.95.0",
//!  "handlers":[{"name":"mailer","description":"Sends the job's message as an e-mail"}]}
//! ```
//!
//! Readers ignore keys that they do not know. [`length`] and [`bytes`] build the
//! array in constant expressions.

use crate::{ABI_MAJOR, ABI_MINOR};

/// The name of the exported array.
pub const MANIFEST_SYMBOL: &str = "asynccall_manifest";

/// What goes into a manifest.
#[derive(Clone, Copy)]
pub struct Manifest<'a> {
    /// The plugin's package name.
    pub name: &'a str,
    /// The plugin's package version.
    pub version: &'a str,
    /// The compiler that built the plugin.
    pub toolchain: &'a str,
    /// Name and description of every handler in the plugin.
    pub handlers: &'a [(&'a str, &'a str)],
}

/// Number of bytes that [`bytes`] makes of `manifest`.
pub const fn length(manifest: &Manifest<'_>) -> usize {
    let mut writer = Writer::<0> { bytes: [], len: 0 };
    writer.manifest(manifest);
    writer.len
}

/// The manifest as JSON. `N` must be what [`length`] says of it.
pub const fn bytes<const N: usize>(manifest: &Manifest<'_>) -> [u8; N] {
    let mut writer = Writer::<N> {
        bytes: [0; N],
        len: 0,
    };
    writer.manifest(manifest);
    assert!(
        writer.len == N,
        "a manifest's array is exactly as long as its text"
    );
    writer.bytes
}

/// Writes into an array, or only counts where `N` is 0.
struct Writer<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Writer<N> {
    const fn manifest(&mut self, manifest: &Manifest<'_>) {
        self.raw(b"{\"abi\":\"");
        self.decimal(ABI_MAJOR);
        self.raw(b".");
        self.decimal(ABI_MINOR);
        self.raw(b"\",\"name\":");
        self.text(manifest.name);
        self.raw(b",\"version\":");
        self.text(manifest.version);
        self.raw(b",\"toolchain\":");
        self.text(manifest.toolchain);
        self.raw(b",\"handlers\":[");
        let mut i = 0;
        while i < manifest.handlers.len() {
            if i > 0 {
                self.raw(b",");
            }
            self.raw(b"{\"name\":");
            self.text(manifest.handlers[i].0);
            self.raw(b",\"description\":");
            self.text(manifest.handlers[i].1);
            self.raw(b"}");
            i += 1;
        }
        self.raw(b"]}");
    }

    const fn raw(&mut self, raw: &[u8]) {
        let mut i = 0;
        while i < raw.len() {
            self.byte(raw[i]);
            i += 1;
        }
    }

    const fn byte(&mut self, byte: u8) {
        if N > 0 {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
    }

    const fn decimal(&mut self, number: u16) {
        if number >= 10 {
            self.decimal(number / 10);
        }
        self.byte(b'0' + (number % 10) as u8);
    }

    /// A JSON string (RFC 8259, section 7).
    const fn text(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.byte(b'"');
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() {
            match text[i] {
                quoted @ (b'"' | b'\\') => {
                    self.byte(b'\\');
                    self.byte(quoted);
                }
                control @ 0..0x20 => {
                    self.raw(b"\\u00");
                    self.byte(HEX[(control >> 4) as usize]);
                    self.byte(HEX[(control & 15) as usize]);
                }
                other => self.byte(other),
            }
            i += 1;
        }
        self.byte(b'"');
    }
}
