//! From a descriptor to the root module: the checks of a host, in order.
//!
//! The layout check of abi_stable is directional: an interface with more fields
//! than the implementation is refused. So the side with the lower minor is
//! taken as the interface, which makes every pair of minors work, both ways, and
//! every check stands alone, which makes any set of plugins work in one process.

use std::{ffi::c_void, fmt};

use abi_stable::{
    StableAbi,
    abi_stability::abi_checking::{CheckingGlobals, check_layout_compatibility_with_globals},
    library::{AbiHeaderRef, IsLayoutChecked},
    std_types::{RResult, RString},
};

use crate::{
    ABI_MAJOR, ABI_MINOR, c,
    descriptor::{Descriptor, KIND_ABI_STABLE, KIND_C, MAGIC, SIZE_1_0, Text},
    difference::{self, Interface},
    handler::RawHandlerBox,
    host::HostApiRef,
    plugin::{CreateError, PluginRef},
};

/// What a descriptor says, read and found plausible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The plugin's package name.
    pub name: &'a str,
    /// The plugin's package version.
    pub version: &'a str,
    /// The compiler that built it.
    pub toolchain: &'a str,
    /// abi major and minor that it was built for.
    pub abi: (u16, u16),
}

/// Why a library is not a plugin for this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The symbol exists, but it is not a descriptor.
    Magic,
    /// Another abi major.
    Major {
        /// abi major and minor of the plugin.
        plugin: (u16, u16),
    },
    /// The descriptor is shorter than abi 1.0's.
    Truncated {
        /// Size that the plugin states, in bytes.
        size: u32,
    },
    /// A kind of plugin that this host does not know.
    Kind {
        /// The kind that the plugin states.
        kind: u32,
    },
    /// A text of the descriptor is none, or not UTF-8.
    Text,
    /// The entry, or the table of a plugin in C, cannot be used.
    Functions {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The types of the two sides differ, although their versions say that they should not.
    Layout {
        /// The first difference, in one line.
        difference: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Magic => write!(
                f,
                "its symbol `asynccall_plugin` does not begin with the plugin magic"
            ),
            LoadError::Major {
                plugin: (major, minor),
            } => {
                write!(
                    f,
                    "it was built for plugin-abi {major}.{minor}, this host speaks plugin-abi {ABI_MAJOR}.{ABI_MINOR}"
                )
            }
            LoadError::Truncated { size } => {
                write!(
                    f,
                    "its descriptor has {size} bytes, plugin-abi 1.0 has {}",
                    SIZE_1_0
                )
            }
            LoadError::Kind { kind } => {
                write!(
                    f,
                    "it is a plugin of kind {kind}, this host knows the kinds {KIND_ABI_STABLE} and {KIND_C}"
                )
            }
            LoadError::Text => write!(
                f,
                "a text of its descriptor is null, longer than memory, or not UTF-8"
            ),
            LoadError::Functions { fault } => f.write_str(fault),
            LoadError::Layout { difference } => {
                write!(
                    f,
                    "its types differ from this host's although the versions agree: {difference}"
                )
            }
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads a field through the pointer: a reference would claim that the whole struct is there.
macro_rules! field {
    ($descriptor:expr, $field:ident) => {
        (&raw const (*$descriptor).$field).read()
    };
}

/// Reads a descriptor, the major first: nothing behind it is believed before it fits.
///
/// # Safety
///
/// `descriptor` is aligned and points to readable memory of at least [`SIZE_1_0`]
/// bytes that stays valid for `'a`, and the texts that it points to do too.
pub unsafe fn identify<'a>(descriptor: *const Descriptor) -> Result<Identity<'a>, LoadError> {
    // SAFETY: the caller promises the bytes of abi 1.0's descriptor, and any bytes are integers.
    let (magic, size, kind, abi) = unsafe {
        (
            field!(descriptor, magic),
            field!(descriptor, size),
            field!(descriptor, kind),
            (field!(descriptor, abi_major), field!(descriptor, abi_minor)),
        )
    };
    if magic != MAGIC {
        return Err(LoadError::Magic);
    }
    if abi.0 != ABI_MAJOR {
        return Err(LoadError::Major { plugin: abi });
    }
    if (size as usize) < SIZE_1_0 {
        return Err(LoadError::Truncated { size });
    }
    if ![KIND_ABI_STABLE, KIND_C].contains(&kind) {
        return Err(LoadError::Kind { kind });
    }
    Ok(Identity {
        // SAFETY: the field is one of abi 1.0, and the caller promises that the texts live for 'a.
        name: unsafe { text(field!(descriptor, name)) }?,
        // SAFETY: as above.
        version: unsafe { text(field!(descriptor, version)) }?,
        // SAFETY: as above.
        toolchain: unsafe { text(field!(descriptor, toolchain)) }?,
        abi,
    })
}

/// # Safety
///
/// `text` points to `len` readable bytes that live for `'a`.
unsafe fn text<'a>(text: Text) -> Result<&'a str, LoadError> {
    if text.len == 0 {
        return Ok("");
    }
    if text.ptr.is_null() || isize::try_from(text.len).is_err() {
        return Err(LoadError::Text);
    }
    // SAFETY: the caller promises the bytes.
    let bytes = unsafe { std::slice::from_raw_parts(text.ptr, text.len) };
    std::str::from_utf8(bytes).map_err(|_| LoadError::Text)
}

/// Everything that a plugin offers, of whichever kind it is.
#[derive(Clone, Copy)]
pub enum Root {
    /// Of kind [`KIND_ABI_STABLE`].
    Stable(PluginRef),
    /// Of kind [`KIND_C`].
    C(c::Plugin),
}

impl Root {
    /// As [`crate::plugin::Plugin::create`].
    pub fn create(
        &self,
        host: HostApiRef,
        handler: &str,
        config: &str,
    ) -> RResult<RawHandlerBox, CreateError> {
        match self {
            Root::Stable(root) => root.create()(host, handler.into(), config.into()),
            Root::C(plugin) => plugin.create(host, handler, config),
        }
    }

    /// As [`crate::plugin::Plugin::describe`]; `None` where the plugin cannot say.
    pub fn describe(&self, handler: &str) -> Option<RString> {
        match self {
            Root::Stable(root) => root.describe().map(|describe| describe(handler.into())),
            Root::C(plugin) => plugin.describe(handler),
        }
    }
}

/// Finds out everything that a plugin offers, and checks the layout where its kind has one to check.
///
/// # Safety
///
/// `descriptor` was accepted by [`identify`], and its library is never unloaded.
pub unsafe fn root(descriptor: *const Descriptor) -> Result<Root, LoadError> {
    // SAFETY: `identify` accepted it, the library stays, and the fields are of abi 1.0.
    let (kind, entry, abi) = unsafe {
        (
            field!(descriptor, kind),
            // Rust's functions are never null, and what was written in another language may be.
            (&raw const (*descriptor).entry)
                .cast::<Option<extern "C" fn() -> *const c_void>>()
                .read(),
            (field!(descriptor, abi_major), field!(descriptor, abi_minor)),
        )
    };
    let Some(entry) = entry else {
        return Err(LoadError::Functions {
            fault: "its descriptor has no entry",
        });
    };
    let answer = entry();
    if kind == KIND_C {
        // SAFETY: the descriptor's kind says that its entry answers with such a table, and the library stays.
        return unsafe { c::Plugin::read(answer.cast()) }
            .map(Root::C)
            .map_err(|fault| LoadError::Functions { fault });
    }
    // SAFETY: the descriptor's kind says that its entry answers with a library header, and the library stays.
    unsafe { root_module(answer, abi) }.map(Root::Stable)
}

/// # Safety
///
/// `header` is what the entry of a descriptor of kind [`KIND_ABI_STABLE`] has answered, and the library is never
/// unloaded.
unsafe fn root_module(header: *const c_void, abi: (u16, u16)) -> Result<PluginRef, LoadError> {
    if header.is_null() {
        return Err(layout("its entry gave no library header"));
    }
    // SAFETY: the descriptor's kind says that the entry answers with an abi_stable library header that
    // lives as long as the library. `AbiHeaderRef` is a transparent non-null reference to its first
    // field, and `upgrade` checks magic and version there before it believes the rest.
    let header: AbiHeaderRef = unsafe { std::mem::transmute(header) };
    let header = header.upgrade().map_err(layout)?;

    let IsLayoutChecked::Yes(theirs) = header.root_mod_consts().layout() else {
        return Err(layout("it was built without a layout to check"));
    };
    let ours = <PluginRef as StableAbi>::LAYOUT;
    let taken = if abi < (ABI_MAJOR, ABI_MINOR) {
        Interface::Plugin
    } else {
        Interface::Host
    };
    let (interface, implementation) = taken.order(theirs, ours);
    // What abi_stable remembers of other plugins would be compared with this one, in whichever direction they came.
    // Plugins never meet each other's types, only the host's.
    let nothing_else = CheckingGlobals::new();
    check_layout_compatibility_with_globals(interface, implementation, &nothing_else)
        .map_err(|errors| layout(difference::in_one_line(&errors, taken)))?;

    // SAFETY: the layouts were found compatible, in the direction that the minors call for.
    unsafe { header.unchecked_layout::<PluginRef>() }.map_err(layout)
}

/// A difference in one line; abi_stable's own texts may have several.
fn layout(difference: impl fmt::Display) -> LoadError {
    let text = difference.to_string();
    LoadError::Layout {
        difference: text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}
