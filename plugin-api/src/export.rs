//! What makes a library a plugin: [`export_plugin!`](crate::export_plugin), and what it expands to.

use asynccall_abi::{
    abi_stable::library::LibHeader,
    handler::RawHandlerBox,
    manifest::Manifest,
    plugin::{CreateError, Plugin},
};

use crate::{
    adapter::{self, Run},
    schemas::Schemas,
};

/// The compiler that builds the plugin.
const TOOLCHAIN: &str = env!("PLUGIN_TOOLCHAIN");

/// One handler of a plugin.
pub struct Entry {
    pub(crate) name: &'static str,
    description: &'static str,
    pub(crate) make: fn(&str, &str) -> Result<RawHandlerBox, CreateError>,
    pub(crate) schemas: fn() -> Schemas,
}

/// The handlers of a plugin, as a type: the exported functions carry no data.
pub trait Export {
    /// In the order that the author wrote.
    const HANDLERS: &'static [Entry];
    /// The package's name.
    const PLUGIN: &'static str;
}

/// An [`Entry`] for a handler of either kind.
pub const fn entry<K: 'static, H: Run<K>>(name: &'static str) -> Entry {
    Entry {
        name,
        description: H::DESCRIPTION,
        make: adapter::make::<K, H>,
        schemas: H::schemas,
    }
}

/// The plugin's library header.
#[must_use]
pub fn header<E: Export>() -> LibHeader {
    asynccall_abi::plugin::header(Plugin {
        create: adapter::create::<E>,
        describe: adapter::describe::<E>,
    })
}

/// The handlers as the manifest lists them: name and description.
#[must_use]
pub const fn listed<const N: usize>(handlers: &'static [Entry]) -> [(&'static str, &'static str); N] {
    let mut listed = [("", ""); N];
    let mut i = 0;
    while i < N {
        listed[i] = (handlers[i].name, handlers[i].description);
        i += 1;
    }
    listed
}

/// The plugin's manifest.
#[must_use]
pub const fn manifest<'a>(
    name: &'a str,
    version: &'a str,
    handlers: &'a [(&'a str, &'a str)],
) -> Manifest<'a> {
    Manifest {
        name,
        version,
        toolchain: TOOLCHAIN,
        handlers,
    }
}

/// Stops the build of a plugin whose handler names no host would take.
pub const fn check_names(handlers: &[Entry]) {
    assert!(!handlers.is_empty(), "a plugin exports at least one handler");
    let mut i = 0;
    while i < handlers.len() {
        let name = handlers[i].name.as_bytes();
        assert!(
            !name.is_empty() && name.len() <= 64,
            "a handler's name has 1 to 64 bytes"
        );
        let mut at = 0;
        while at < name.len() {
            assert!(
                matches!(name[at], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'),
                "a handler's name is made of a-z, 0-9, `_` and `-`; name it with export_plugin!(\"name\" => Type)"
            );
            at += 1;
        }
        let mut other = i + 1;
        while other < handlers.len() {
            assert!(
                !equal(name, handlers[other].name.as_bytes()),
                "two handlers of the plugin have the same name"
            );
            other += 1;
        }
        i += 1;
    }
}

const fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut i = 0;
    while i < one.len() {
        if one[i] != other[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Number of bytes of [`snake_case`].
#[must_use]
pub const fn snake_case_length(path: &str) -> usize {
    convert::<0>(path).1
}

/// The name of a handler from its type: `crate::mail::SmtpMailer` → `smtp_mailer`, `HTTPCall` → `http_call`.
#[must_use]
pub const fn snake_case<const N: usize>(path: &str) -> [u8; N] {
    convert::<N>(path).0
}

/// Writes as much as fits, and counts everything.
const fn convert<const N: usize>(path: &str) -> ([u8; N], usize) {
    let path = path.as_bytes();
    let mut end = 0;
    while end < path.len() && path[end] != b'<' {
        end += 1;
    }
    let mut start = end;
    while start > 0 && path[start - 1] != b':' {
        start -= 1;
    }
    let mut name = [0; N];
    let mut len = 0;
    let mut at = start;
    while at < end {
        let byte = path[at];
        // A word begins at the first capital, and at the last one of an abbreviation before a word.
        if byte.is_ascii_uppercase() && at > start && path[at - 1] != b'_' {
            let after_word = !path[at - 1].is_ascii_uppercase();
            let before_word = at + 1 < end && path[at + 1].is_ascii_lowercase();
            if after_word || before_word {
                if len < N {
                    name[len] = b'_';
                }
                len += 1;
            }
        }
        if len < N {
            name[len] = byte.to_ascii_lowercase();
        }
        len += 1;
        at += 1;
    }
    (name, len)
}

/// Makes the crate a plugin that exports the given handlers. To be called once, in a `cdylib` crate.
///
/// ```
/// # use plugin_api::prelude::*;
/// # struct Mailer;
/// # impl Handler for Mailer {
/// #     type Config = ();
/// #     type Payload = RawBody;
/// #     fn new((): ()) -> Result<Self> { Ok(Mailer) }
/// #     fn execute(&self, _: &Job, _: RawBody) -> Result { Ok(().into()) }
/// # }
/// export_plugin!(Mailer); // The handler's name is the type's, in snake case: `mailer`.
/// # fn main() {}
/// ```
///
/// Several handlers, and names of one's own:
///
/// ```
/// # use plugin_api::prelude::*;
/// # struct Mailer;
/// # struct Sms;
/// # impl Handler for Mailer {
/// #     type Config = ();
/// #     type Payload = RawBody;
/// #     fn new((): ()) -> Result<Self> { Ok(Mailer) }
/// #     fn execute(&self, _: &Job, _: RawBody) -> Result { Ok(().into()) }
/// # }
/// # impl Handler for Sms {
/// #     type Config = ();
/// #     type Payload = RawBody;
/// #     fn new((): ()) -> Result<Self> { Ok(Sms) }
/// #     fn execute(&self, _: &Job, _: RawBody) -> Result { Ok(().into()) }
/// # }
/// export_plugin!("mailer" => Mailer, "text-message" => Sms);
/// # fn main() {}
/// ```
///
/// `AsyncHandler`s are exported in the same way, also beside others. A name has 1 to 64 bytes of `a-z`, `0-9`, `_` and
/// `-`, and no other handler of the plugin has it. Anything else stops the build:
///
/// ```compile_fail,E0080
/// # use plugin_api::prelude::*;
/// # struct Mailer;
/// # impl Handler for Mailer {
/// #     type Config = ();
/// #     type Payload = RawBody;
/// #     fn new((): ()) -> Result<Self> { Ok(Mailer) }
/// #     fn execute(&self, _: &Job, _: RawBody) -> Result { Ok(().into()) }
/// # }
/// export_plugin!("Mailer" => Mailer);
/// # fn main() {}
/// ```
///
/// ```compile_fail,E0080
/// # use plugin_api::prelude::*;
/// # struct Mailer;
/// # impl Handler for Mailer {
/// #     type Config = ();
/// #     type Payload = RawBody;
/// #     fn new((): ()) -> Result<Self> { Ok(Mailer) }
/// #     fn execute(&self, _: &Job, _: RawBody) -> Result { Ok(().into()) }
/// # }
/// export_plugin!("mailer" => Mailer, "mailer" => Mailer);
/// # fn main() {}
/// ```
///
/// So does a profile with `panic = "abort"`: there, a handler's panic would take the worker with it.
#[macro_export]
macro_rules! export_plugin {
    ($($name:literal => $handler:ty),+ $(,)?) => {
        $crate::export_plugin!(@library $(($name) $handler;)+);
    };
    ($($handler:ty),+ $(,)?) => {
        $crate::export_plugin!(@library $(({
            const PATH: &str = ::core::stringify!($handler);
            const BYTES: [u8; $crate::__private::snake_case_length(PATH)] = $crate::__private::snake_case(PATH);
            const NAME: &str = match ::core::str::from_utf8(&BYTES) {
                ::core::result::Result::Ok(name) => name,
                ::core::result::Result::Err(_) => "",
            };
            NAME
        }) $handler;)+);
    };
    (@library $(($name:expr) $handler:ty;)+) => {
        #[cfg(panic = "abort")]
        ::core::compile_error!(
            "a plugin needs panic = \"unwind\": with panic = \"abort\" a handler's panic ends the worker process"
        );

        const _: () = {
            struct Library;

            impl $crate::__private::Export for Library {
                const HANDLERS: &'static [$crate::__private::Entry] =
                    &[$($crate::__private::entry::<_, $handler>($name)),+];
                const PLUGIN: &'static str = ::core::env!("CARGO_PKG_NAME");
            }

            const HANDLERS: &[$crate::__private::Entry] = <Library as $crate::__private::Export>::HANDLERS;
            const LISTED: [(&str, &str); HANDLERS.len()] = $crate::__private::listed(HANDLERS);
            const MANIFEST: $crate::__private::Manifest<'static> = $crate::__private::manifest(
                ::core::env!("CARGO_PKG_NAME"),
                ::core::env!("CARGO_PKG_VERSION"),
                &LISTED,
            );

            const _: () = $crate::__private::check_names(HANDLERS);

            extern "C" fn entry() -> *const ::core::ffi::c_void {
                static HEADER: ::std::sync::OnceLock<$crate::__private::LibHeader> =
                    ::std::sync::OnceLock::new();
                let header = HEADER.get_or_init($crate::__private::header::<Library>);
                ::core::ptr::from_ref(header).cast()
            }

            #[unsafe(export_name = "asynccall_manifest")]
            static EXPORTED_MANIFEST: [u8; $crate::__private::manifest_length(&MANIFEST)] =
                $crate::__private::manifest_bytes(&MANIFEST);

            #[unsafe(export_name = "asynccall_plugin")]
            static EXPORTED_DESCRIPTOR: $crate::__private::Descriptor = $crate::__private::Descriptor::new(
                MANIFEST.name,
                MANIFEST.version,
                MANIFEST.toolchain,
                entry,
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! named {
        ($path:literal) => {{
            const NAME: [u8; snake_case_length($path)] = snake_case($path);
            std::str::from_utf8(&NAME).expect("ASCII stays ASCII")
        }};
    }

    #[test]
    fn a_type_names_its_handler_in_snake_case() {
        assert_eq!(named!("Mailer"), "mailer");
        assert_eq!(named!("crate::mail::SmtpMailer"), "smtp_mailer");
        assert_eq!(named!("HTTPCall"), "http_call");
        assert_eq!(named!("Sha2Sum"), "sha2_sum");
        assert_eq!(named!("Already_Snake"), "already_snake");
        assert_eq!(named!("self::Retry<With::Param>"), "retry");
    }
}
