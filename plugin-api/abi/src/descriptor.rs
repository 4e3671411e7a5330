//! The exported C symbol that a host reads before it trusts anything else.
//!
//! It is plain C on purpose: it outlives the library that describes the richer
//! types, and plugins in other languages can write it by hand.

use std::{ffi::c_void, mem::offset_of};

/// The name of the exported [`Descriptor`].
pub const DESCRIPTOR_SYMBOL: &str = "asynccall_plugin";

/// First bytes of every descriptor.
pub const MAGIC: [u8; 8] = *b"ASYNCALL";

/// [`Descriptor::kind`] of plugins whose entry answers with an abi_stable library header.
pub const KIND_ABI_STABLE: u32 = 1;

/// [`Descriptor::kind`] of plugins whose entry answers with a table of plain C functions
/// ([`crate::c::PluginFunctions`]). Since abi 1.2.
pub const KIND_C: u32 = 2;

/// Size of abi 1.0's [`Descriptor`] in bytes: the least that a plugin may state. It holds on 64-bit machines.
pub const SIZE_1_0: usize = 80;

// Nothing compares the descriptors of two sides, so their layout is held here: it is that of abi 1.0 for ever.
const _: () = {
    assert!(offset_of!(Descriptor, magic) == 0);
    assert!(offset_of!(Descriptor, size) == 8);
    assert!(offset_of!(Descriptor, kind) == 12);
    assert!(offset_of!(Descriptor, abi_major) == 16);
    assert!(offset_of!(Descriptor, abi_minor) == 18);
    assert!(offset_of!(Descriptor, reserved) == 20);
    assert!(offset_of!(Descriptor, name) == 24);
    assert!(offset_of!(Descriptor, version) == 40);
    assert!(offset_of!(Descriptor, toolchain) == 56);
    assert!(offset_of!(Descriptor, entry) == 72);
    assert!(size_of::<Descriptor>() >= SIZE_1_0);
};

/// A borrowed UTF-8 text that lives as long as the library.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Text {
    /// First byte; not terminated by a NUL.
    pub ptr: *const u8,
    /// Length in bytes.
    pub len: usize,
}

impl Text {
    /// Wraps a static string.
    pub const fn new(text: &'static str) -> Self {
        Text {
            ptr: text.as_ptr(),
            len: text.len(),
        }
    }
}

/// What a plugin says of itself, in plain C.
///
/// `size` is the size of this struct as the plugin knows it: a host reads no
/// field that ends behind it, so fields can be added at the end. What stands up to
/// `abi_minor` stays there in every major: that is how two majors refuse each other in words.
#[repr(C)]
pub struct Descriptor {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// Size of this struct in bytes, as the plugin was built.
    pub size: u32,
    /// How [`Descriptor::entry`] is to be called: [`KIND_ABI_STABLE`] or [`KIND_C`].
    pub kind: u32,
    /// The abi major that the plugin was built for.
    pub abi_major: u16,
    /// The abi minor that the plugin was built for.
    pub abi_minor: u16,
    /// Plugins write 0, hosts read nothing from it.
    pub reserved: u32,
    /// The plugin's package name.
    pub name: Text,
    /// The plugin's package version.
    pub version: Text,
    /// The compiler that built the plugin, for diagnostics only.
    pub toolchain: Text,
    /// Answers with the kind's own root: for [`KIND_ABI_STABLE`] a library header
    /// (`abi_stable::library::LibHeader`) that lives as long as the library, for [`KIND_C`] its table, which does so too. May be called from
    /// any thread and more than once, with the same answer. Must not unwind.
    pub entry: extern "C" fn() -> *const c_void,
}

// SAFETY: every field is immutable for as long as the library is loaded, and
// the texts point to string literals.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// A descriptor of kind [`KIND_ABI_STABLE`] for this abi version.
    pub const fn new(
        name: &'static str,
        version: &'static str,
        toolchain: &'static str,
        entry: extern "C" fn() -> *const c_void,
    ) -> Self {
        Descriptor {
            magic: MAGIC,
            size: size_of::<Descriptor>() as u32,
            kind: KIND_ABI_STABLE,
            abi_major: crate::ABI_MAJOR,
            abi_minor: crate::ABI_MINOR,
            reserved: 0,
            name: Text::new(name),
            version: Text::new(version),
            toolchain: Text::new(toolchain),
            entry,
        }
    }
}
