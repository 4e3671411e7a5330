//! The root module: where a host finds everything that a plugin offers.
#![allow(
    missing_docs,
    reason = "StableAbi generates undocumented items beside the struct"
)]

use abi_stable::{
    StableAbi,
    library::{LibHeader, RootModule},
    package_version_strings,
    prefix_type::PrefixTypeTrait,
    sabi_types::VersionStrings,
    std_types::{RResult, RStr, RString},
};

use crate::{handler::RawHandlerBox, host::HostApiRef};

/// Why a handler was not made. An integer for the same reason as [`crate::outcome::Verdict`].
///
/// A host treats a value that it does not know as [`CreateFailure::FAILED`].
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreateFailure(pub u8);

impl CreateFailure {
    /// The plugin has no handler of that name.
    pub const UNKNOWN_HANDLER: CreateFailure = CreateFailure(0);
    /// The configuration does not fit the handler.
    pub const CONFIG: CreateFailure = CreateFailure(1);
    /// The configuration fits, but the handler could not be made from it.
    pub const FAILED: CreateFailure = CreateFailure(2);
    /// The handler panicked while it was made or checked itself.
    pub const PANIC: CreateFailure = CreateFailure(3);
}

/// The error of [`Plugin::create`] and of a self-check. Frozen: no field is ever added.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct CreateError {
    /// What kind of failure it was.
    pub failure: CreateFailure,
    /// Why, in one line.
    pub message: RString,
}

/// The root module of a plugin. A later minor adds fields behind the last one.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRef)))]
#[sabi(missing_field(option))]
pub struct Plugin {
    /// Makes the handler of that name from its configuration, a JSON document; empty: there is none.
    ///
    /// May be called from any thread and several times, also for the same handler: each call makes one.
    /// `host` is the same in all calls. Must not unwind.
    #[sabi(last_prefix_field)]
    pub create: extern "C" fn(
        host: HostApiRef,
        handler: RStr<'_>,
        config: RStr<'_>,
    ) -> RResult<RawHandlerBox, CreateError>,
    /// What the handler of that name wants to be given, as a JSON document: an object that may have the JSON Schemas
    /// `config` and `payload`; empty where there is nothing to say. Since abi 1.2.
    ///
    /// May be called from any thread, also before any handler is made. Must not unwind.
    pub describe: extern "C" fn(handler: RStr<'_>) -> RString,
}

impl RootModule for PluginRef {
    abi_stable::declare_root_module_statics! {PluginRef}

    const BASE_NAME: &'static str = "asynccall_plugin";
    const NAME: &'static str = "asynccall_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// The library header that a plugin's entry answers with.
pub fn header(plugin: Plugin) -> LibHeader {
    LibHeader::from_module(plugin.leak_into_prefix())
}
