//! The host that this library is connected to, once per process.

use std::sync::OnceLock;

use asynccall_abi::host::HostApiRef;

use crate::{
    bridge,
    panics::{self, Unguarded},
};

static HOST: OnceLock<HostApiRef> = OnceLock::new();

/// Where the library runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a worker, as a plugin.
    Plugin,
    /// In the author's tests.
    Test,
}

/// Remembers the host, and sends it the plugin's log events and panics. Only the first call does something.
pub(crate) fn connect(host: HostApiRef, place: Place) {
    HOST.get_or_init(|| {
        let unguarded = match place {
            Place::Plugin => Unguarded::Log,
            Place::Test => Unguarded::Previous,
        };
        panics::install_hook(host, unguarded);
        bridge::install(host);
        host
    });
}

/// Writes an error to the host's log, if there is a host.
pub(crate) fn error(message: &str) {
    if let Some(host) = HOST.get() {
        bridge::log(*host, tracing::Level::ERROR, module_path!(), message, &[]);
    }
}
