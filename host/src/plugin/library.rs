//! Loading a staged plugin and calling across the border. The worker's side only.
//!
//! The order is fixed: dlopen of the copy, descriptor, layout check, `create`, self-check. A
//! library is never closed: its code runs in threads, thread-local destructors and
//! `atexit` handlers that nobody can wait for. What could be refused without
//! executing the plugin was refused when it was staged.
#![allow(
    unsafe_code,
    reason = "a named place: dlopen, dlsym and the descriptor's raw pointers; each block is argued for"
)]

#[cfg(test)]
mod tests;

use std::{
    error::Error as _,
    ffi::c_void,
    fmt,
    mem::ManuallyDrop,
    os::fd::{BorrowedFd, RawFd},
    sync::Arc,
    time::Duration,
};

use asynccall_abi::{
    abi_stable::std_types::{RResult, RString},
    descriptor::{DESCRIPTOR_SYMBOL, Descriptor},
    handler::RawHandlerBox,
    host::HostApiRef,
    job::RawJobRef,
    load::{LoadError, Root, identify, root},
    outcome::Outcome,
    plugin::{CreateError, CreateFailure},
};
use libloading::os::unix::{self, RTLD_LOCAL, RTLD_NOW};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::plugin::{
    PluginError, PluginInfo,
    description::Description,
    error::file_name,
    manifest::{AbiVersion, ManifestError},
    stage::StagedRef,
};

/// A loaded plugin. Dropping it unloads nothing.
pub(super) struct Library {
    info: Arc<PluginInfo>,
    root: Root,
    host: HostApiRef,
}

impl Library {
    /// Loads the copy and shakes hands with it. Runs the library's constructors.
    ///
    /// The descriptor becomes close-on-exec and stays open for the life of the process.
    pub(super) fn open(staged: StagedRef, host: HostApiRef) -> Result<Self, PluginError> {
        let StagedRef { info, fd } = staged;
        let load = |detail: String| PluginError::Load {
            path: info.path.clone(),
            detail,
        };
        keep_from_children(fd).map_err(|error| load(format!("descriptor {fd}: {error}")))?;
        let library = dlopen(fd).map_err(|error| load(words(&error, fd, &file_name(&info.path))))?;
        let descriptor =
            descriptor_of(&library).map_err(|error| load(words(&error, fd, &file_name(&info.path))))?;
        match shake_hands(descriptor, &info) {
            Ok(root) => Ok(Library {
                info: Arc::new(info),
                root,
                host,
            }),
            Err(error) => Err(refused(error, info)),
        }
    }

    /// Which plugin it is.
    pub(super) fn info(&self) -> &Arc<PluginInfo> {
        &self.info
    }

    /// What the plugin says of one of its handlers; nothing where it is of an abi before 1.2.
    pub(super) fn describe(&self, handler: &str) -> Result<Description, PluginError> {
        let answer = self.root.describe(handler).unwrap_or_default();
        Description::read(&answer).map_err(|source| PluginError::Description {
            handler: handler.to_owned(),
            path: self.info.path.clone(),
            source,
        })
    }

    /// Makes one of the plugin's handlers from its configuration, a JSON document.
    pub(super) fn create(&self, handler: &str, config: &str) -> Result<Handler, PluginError> {
        match self.root.create(self.host, handler, config) {
            RResult::ROk(raw) => Ok(Handler {
                name: handler.to_owned(),
                plugin: Arc::clone(&self.info),
                raw,
            }),
            RResult::RErr(error) => Err(self.not_created(handler, error)),
        }
    }

    fn not_created(&self, handler: &str, error: CreateError) -> PluginError {
        let handler = handler.to_owned();
        let message = RString::into_string(error.message);
        match error.failure {
            CreateFailure::CONFIG => PluginError::Configure { handler, message },
            CreateFailure::PANIC => PluginError::Panicked {
                handler,
                path: self.info.path.clone(),
                at: "when it was created",
                message,
            },
            // The manifest promised the handler, so an unknown one is the plugin's fault as well.
            _ => PluginError::Create { handler, message },
        }
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// A configured handler of a loaded plugin. Dropping it runs the plugin's code.
pub struct Handler {
    name: String,
    plugin: Arc<PluginInfo>,
    raw: RawHandlerBox,
}

impl Handler {
    /// The name that pools use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The plugin that it came from.
    pub fn plugin(&self) -> &Arc<PluginInfo> {
        &self.plugin
    }

    /// Has the handler look whether it can work. One of abi 1.0 has nothing to look at.
    ///
    /// To be called before the first job. It may take its time: nothing here limits it.
    pub fn self_check(&self) -> Result<(), PluginError> {
        let RResult::RErr(error) = self.raw.self_check() else {
            return Ok(());
        };
        let handler = self.name.clone();
        let message = RString::into_string(error.message);
        Err(match error.failure {
            CreateFailure::PANIC => PluginError::Panicked {
                handler,
                path: self.plugin.path.clone(),
                at: "in its self-check",
                message,
            },
            _ => PluginError::SelfCheck { handler, message },
        })
    }

    /// Runs one job to its end, on this thread. May be called from several threads at once.
    ///
    /// A panic of the handler is an outcome. One that leaves the plugin all the same ends the process.
    pub fn execute(&self, job: RawJobRef<'_>) -> Outcome {
        self.raw.execute(job)
    }

    /// How often the handler wants [`Handler::tick`]; `None`: never, as one of abi 1.1.
    pub fn tick_every(&self) -> Option<Duration> {
        let millis = self.raw.tick_every_ms();
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// Has the handler do what is due apart from jobs, on this thread. To be called from one thread at a time.
    pub fn tick(&self) {
        self.raw.tick();
    }

    /// Lets the handler say goodbye. To be called once, after the last job and tick. Nothing here limits its time.
    pub fn shutdown(&self) {
        self.raw.shutdown();
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("name", &self.name)
            .field("plugin", &self.plugin.path)
            .finish_non_exhaustive()
    }
}

/// Keeps an inherited copy out of the programs that handlers start.
fn keep_from_children(fd: RawFd) -> nix::Result<()> {
    if fd < 0 {
        return Err(nix::errno::Errno::EBADF);
    }
    // SAFETY: the number is not -1. The borrow lasts for this call, and the descriptors of staged
    // plugins are never closed in a worker; a number that is not open gives EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map(drop)
}

/// The name that the dynamic linker knows a copy by.
fn linker_name(fd: RawFd) -> String {
    format!("/proc/self/fd/{fd}")
}

/// With `RTLD_NOW`, since a lazily bound plugin with an undefined symbol would die in the middle of a
/// job; with `RTLD_LOCAL`, since plugins must not see each other's symbols. Never closed.
fn dlopen(fd: RawFd) -> Result<ManuallyDrop<unix::Library>, libloading::Error> {
    // SAFETY: the library's constructors run, in a worker that exists to execute this code: it is
    // trusted like the worker itself, and its owner was vetted. It is never closed, so no
    // destructor runs either.
    let library = unsafe { unix::Library::open(Some(linker_name(fd)), RTLD_NOW | RTLD_LOCAL) }?;
    Ok(ManuallyDrop::new(library))
}

/// Where the descriptor is. Neither null nor checked in any other way.
fn descriptor_of(library: &unix::Library) -> Result<*const Descriptor, libloading::Error> {
    // SAFETY: the symbol is only taken as an address; its type is not believed here.
    let symbol = unsafe { library.get::<*mut c_void>(DESCRIPTOR_SYMBOL) }?;
    Ok(symbol.into_raw().cast_const().cast())
}

/// Reads the descriptor and checks the layout of the types behind it.
///
/// `descriptor` is the address of the symbol in a library that stays loaded.
fn shake_hands(descriptor: *const Descriptor, info: &PluginInfo) -> Result<Root, LoadError> {
    if descriptor.is_null() || !descriptor.is_aligned() {
        return Err(LoadError::Magic);
    }
    // SAFETY: the address is the library's symbol, not null and aligned. The manifest's reader found the
    // magic there in the file and this abi major, whose descriptors have at least the size of abi
    // 1.0's; a plugin that exports a shorter one breaks the promise of its magic. The library and
    // with it the texts stay for ever.
    let identity = unsafe { identify(descriptor) }?;
    let manifest = &info.manifest;
    if (identity.name, identity.version) != (&*manifest.name, &*manifest.version) {
        return Err(LoadError::Layout {
            difference: format!(
                "its descriptor says `{} {}`, its manifest says `{} {}`",
                identity.name, identity.version, manifest.name, manifest.version
            ),
        });
    }
    // SAFETY: `identify` accepted the descriptor, and the library is never unloaded.
    unsafe { root(descriptor) }
}

fn refused(error: LoadError, info: PluginInfo) -> PluginError {
    let path = info.path;
    match error {
        LoadError::Major {
            plugin: (major, minor),
        } => PluginError::Manifest {
            path,
            source: ManifestError::Abi {
                plugin: AbiVersion { major, minor },
            },
        },
        LoadError::Functions { fault } => PluginError::Load {
            path,
            detail: fault.to_owned(),
        },
        other => PluginError::Handshake {
            path,
            detail: other.to_string(),
        },
    }
}

/// The dynamic linker's own words, in which the plugin has its file's name instead of the copy's.
fn words(error: &libloading::Error, fd: RawFd, file: &str) -> String {
    let text = match error.source() {
        Some(linker) => linker.to_string(),
        None => error.to_string(),
    };
    let name = linker_name(fd);
    let text = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text);
    let mut parts = text.split(&name);
    let mut named = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A digit behind the name makes it the name of another descriptor.
        let other = part.starts_with(|c: char| c.is_ascii_digit());
        named += if other { &name } else { file };
        named += part;
    }
    named
}
