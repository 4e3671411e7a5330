//! What a plugin says of itself, read from the bytes of its file.
//!
//! Nothing of the file is executed or mapped: loading a library runs its
//! constructors, so whatever can be refused is refused here. Who owns the file is
//! asked elsewhere. The symbols and their form are `asynccall_abi`'s.

mod elf;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use asynccall_abi::{
    ABI_MAJOR, ABI_MINOR,
    descriptor::{DESCRIPTOR_SYMBOL, KIND_ABI_STABLE, KIND_C, MAGIC},
    load::LoadError,
    manifest::MANIFEST_SYMBOL,
};
use object::ReadRef;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::plugin::error::REBUILD;
use elf::Library;

/// The largest manifest that is read, in bytes.
const MAX_MANIFEST: u64 = 1 << 20;

/// What to do about a manifest that says what it should not.
const REWRITE: &str = "plugin_api::export_plugin! writes the manifest, and ASYNCCALL_PLUGIN that of a plugin in C, whose texts are to \
                       be parts of a JSON string";

/// The longest name of a handler, in bytes. It is written into every log line of its jobs.
const MAX_HANDLER_NAME: usize = 128;

/// What a plugin says of itself. Keys that are not known here are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The abi version that the plugin was built for.
    pub abi: AbiVersion,
    /// The plugin's package name.
    pub name: String,
    /// The plugin's package version.
    pub version: String,
    /// The compiler that built it, for diagnostics only.
    pub toolchain: String,
    /// Its handlers: at least one, with different names.
    pub handlers: Vec<HandlerEntry>,
}

/// One handler in a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerEntry {
    /// How pools and configuration call it: 1 to 128 bytes, without spaces and control characters.
    pub name: String,
    /// One line for people; may be empty.
    #[serde(default)]
    pub description: String,
}

/// A version of the plugin abi, written `1.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbiVersion {
    /// Different majors refuse each other.
    pub major: u16,
    /// All minors of one major work together.
    pub minor: u16,
}

impl AbiVersion {
    /// What this host speaks.
    pub const HOST: AbiVersion = AbiVersion {
        major: ABI_MAJOR,
        minor: ABI_MINOR,
    };

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(AbiVersion {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for AbiVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AbiVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        AbiVersion::parse(&text).ok_or_else(|| {
            de::Error::invalid_value(de::Unexpected::Str(&text), &"an abi version such as `1.0`")
        })
    }
}

/// Why a file is no plugin for this host. `Display` continues a sentence that begins with the file's name.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The file has no bytes.
    #[error("is empty")]
    Empty,
    /// Not an ELF file.
    #[error("is not a shared library: it does not begin with the ELF magic")]
    NotElf {
        /// Whether it is an `ar` archive, as static libraries are.
        archive: bool,
    },
    /// A 32-bit library, or one of no known class.
    #[error("is not a 64-bit library, as this host needs it")]
    Class,
    /// A library for another kind of machine.
    #[error("was built for {found}, this host runs on {}", std::env::consts::ARCH)]
    Machine {
        /// The architecture's name, or its number in the ELF header.
        found: String,
    },
    /// An ELF file that cannot be loaded as a library.
    #[error("is {found}, not a shared library")]
    FileType {
        /// What it is.
        found: &'static str,
    },
    /// The end of the file is missing.
    #[error("is truncated: it has {found} of at least {wanted} bytes")]
    Truncated {
        /// Where the last part that the headers tell of ends, in bytes.
        wanted: u64,
        /// The file's size in bytes.
        found: u64,
    },
    /// Its headers contradict each other.
    #[error("is a damaged library: {detail}")]
    Damaged {
        /// What does not fit, in the words of the ELF reader.
        detail: String,
    },
    /// A library like any other.
    #[error("is a shared library but not an asynccall plugin: symbol `{DESCRIPTOR_SYMBOL}` not found")]
    NotAPlugin,
    /// A plugin of another abi major.
    #[error(
        "was built for plugin-abi {plugin}, this host speaks plugin-abi {}",
        AbiVersion::HOST
    )]
    Abi {
        /// What the plugin was built for.
        plugin: AbiVersion,
    },
    /// The descriptor is none that this host can use.
    #[error("is not a usable plugin: {source}")]
    Descriptor {
        /// What is wrong with it.
        source: LoadError,
    },
    /// A descriptor without a manifest beside it.
    #[error(
        "is not a usable plugin: it has `{DESCRIPTOR_SYMBOL}`, but symbol `{MANIFEST_SYMBOL}` was not found"
    )]
    NoManifest,
    /// The manifest is larger than any that is read.
    #[error("has a manifest of {size} bytes, more than {MAX_MANIFEST}")]
    Oversized {
        /// Its size in bytes.
        size: u64,
    },
    /// The manifest is not the JSON that it should be.
    #[error("has an unreadable manifest: {source}")]
    Json {
        /// Where and why.
        source: serde_json::Error,
    },
    /// The manifest's handlers cannot be used.
    #[error("has an unusable manifest: {detail}")]
    Handlers {
        /// Why not.
        detail: String,
    },
}

impl ManifestError {
    /// What to do about it, in one line.
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            ManifestError::NotElf { archive: true } | ManifestError::FileType { .. } => {
                "the plugin's crate needs crate-type = [\"cdylib\"]"
            }
            ManifestError::Empty | ManifestError::NotElf { .. } => {
                "a plugin is the `lib<name>.so` that cargo builds of a crate with crate-type = [\"cdylib\"]"
            }
            ManifestError::Class | ManifestError::Machine { .. } => {
                return Some(format!(
                    "build the plugin for {}-unknown-linux-gnu",
                    std::env::consts::ARCH
                ));
            }
            ManifestError::Truncated { .. } | ManifestError::Damaged { .. } => {
                "copy or build it again, and rename the complete file into place"
            }
            ManifestError::NotAPlugin | ManifestError::NoManifest => {
                "does the crate call plugin_api::export_plugin! and have crate-type = [\"cdylib\"]? in C, ASYNCCALL_PLUGIN of `asynccall_plugin.h` writes it"
            }
            ManifestError::Abi { .. }
            | ManifestError::Descriptor { .. }
            | ManifestError::Oversized { .. } => REBUILD,
            ManifestError::Json { .. } | ManifestError::Handlers { .. } => REWRITE,
        };
        Some(hint.to_owned())
    }
}

/// Reads the manifest of the library whose file is `data`.
///
/// The abi major is judged first, from the descriptor's bytes: another major may
/// have a manifest of another form.
pub fn read<'data>(data: impl ReadRef<'data>) -> Result<Manifest, ManifestError> {
    let library = Library::parse(data)?;
    let descriptor = library
        .symbol(DESCRIPTOR_SYMBOL)
        .ok_or(ManifestError::NotAPlugin)?;
    check_descriptor(
        library
            .bytes(descriptor.address, DESCRIPTOR_HEAD)
            .unwrap_or_default(),
    )?;

    let manifest = library.symbol(MANIFEST_SYMBOL).ok_or(ManifestError::NoManifest)?;
    if manifest.size > MAX_MANIFEST {
        return Err(ManifestError::Oversized { size: manifest.size });
    }
    let json = library
        .bytes(manifest.address, manifest.size)
        .ok_or_else(|| ManifestError::Damaged {
            detail: format!("symbol `{MANIFEST_SYMBOL}` points outside of the file"),
        })?;
    parse(json)
}

/// Number of bytes in a descriptor up to and with its abi minor.
const DESCRIPTOR_HEAD: u64 = 20;

/// Judges the first bytes of a `Descriptor`, as they are in the file of a machine of our own byte order.
///
/// The fields behind them hold addresses, which only the dynamic linker fills in.
fn check_descriptor(head: &[u8]) -> Result<(), ManifestError> {
    let refused = |source| Err(ManifestError::Descriptor { source });
    let Some((magic, rest)) = head.split_first_chunk::<8>() else {
        return refused(LoadError::Magic);
    };
    let &[_, _, _, _, k0, k1, k2, k3, major0, major1, minor0, minor1] = rest else {
        return refused(LoadError::Magic);
    };
    if *magic != MAGIC {
        return refused(LoadError::Magic);
    }
    check_abi(AbiVersion {
        major: u16::from_ne_bytes([major0, major1]),
        minor: u16::from_ne_bytes([minor0, minor1]),
    })?;
    match u32::from_ne_bytes([k0, k1, k2, k3]) {
        KIND_ABI_STABLE | KIND_C => Ok(()),
        kind => refused(LoadError::Kind { kind }),
    }
}

fn check_abi(plugin: AbiVersion) -> Result<(), ManifestError> {
    if plugin.major == AbiVersion::HOST.major {
        Ok(())
    } else {
        Err(ManifestError::Abi { plugin })
    }
}

/// Reads the text of a manifest. Zero bytes behind it are the end of a C string.
fn parse(json: &[u8]) -> Result<Manifest, ManifestError> {
    let end = json
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let json = json.get(..end).unwrap_or_default();
    let manifest: Manifest = serde_json::from_slice(json).map_err(|source| ManifestError::Json { source })?;
    check_abi(manifest.abi)?;
    check_handlers(&manifest.handlers).map_err(|detail| ManifestError::Handlers { detail })?;
    Ok(manifest)
}

fn check_handlers(handlers: &[HandlerEntry]) -> Result<(), String> {
    if handlers.is_empty() {
        return Err("it lists no handlers".to_owned());
    }
    let mut names = BTreeSet::new();
    for HandlerEntry { name, .. } in handlers {
        let printable = !name.contains(|c: char| c.is_control() || c.is_whitespace());
        if name.is_empty() || name.len() > MAX_HANDLER_NAME || !printable {
            return Err(format!(
                "handler name {name:?} is not 1 to {MAX_HANDLER_NAME} bytes without spaces"
            ));
        }
        if !names.insert(name) {
            return Err(format!("it lists handler `{name}` twice"));
        }
    }
    Ok(())
}
