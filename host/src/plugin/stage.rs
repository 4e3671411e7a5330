//! The copy of a plugin that workers load, and its content hash.
//!
//! A library that is mapped from its own path dies with every `cp` over it: the
//! processes get SIGSEGV or SIGBUS. So the master copies each plugin once per
//! generation into a sealed memfd, and workers inherit it. The manifest is read
//! from the copy: what is loaded is what was checked.
//!
//! glibc recognises libraries by name, and a worker's name for a copy is
//! `/proc/self/fd/N`: a number that was closed and used again would give the first
//! library once more. Workers therefore never close or reuse these descriptors.

#[cfg(test)]
mod tests;

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
    sync::Arc,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    libc,
    sys::memfd::{MFdFlags, memfd_create},
};
use object::ReadCache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::plugin::{PluginError, PluginInfo, error::file_name, manifest, vet::Vetted};

/// How much is copied and hashed at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// The largest plugin that is copied, in bytes: what is more was hardly meant to be one, and the copy is in memory.
const MAX_PLUGIN: u64 = 4 << 30;

/// How much of a memfd's name is used, in bytes. The kernel takes up to 249 (memfd_create(2)).
const MAX_MEMFD_NAME: usize = 200;

/// A plugin's private copy. It goes away with the last descriptor and mapping of it.
#[derive(Debug)]
pub struct Staged {
    /// Which plugin it is.
    pub info: Arc<PluginInfo>,
    copy: OwnedFd,
}

/// A [`Staged`] plugin in the words of a worker that inherited the descriptor under the same number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedRef {
    /// Which plugin it is.
    pub info: PluginInfo,
    /// The descriptor of the copy.
    pub fd: RawFd,
}

impl Staged {
    /// A copy that an earlier instance of this process has made and left open.
    pub fn inherited(info: PluginInfo, copy: OwnedFd) -> Staged {
        Staged {
            info: Arc::new(info),
            copy,
        }
    }

    /// What a worker needs in order to load it.
    pub fn reference(&self) -> StagedRef {
        StagedRef {
            info: PluginInfo::clone(&self.info),
            fd: self.copy.as_raw_fd(),
        }
    }
}

impl AsFd for Staged {
    /// The copy: readable, and close-on-exec in this process.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.copy.as_fd()
    }
}

/// Copies a vetted plugin and reads its manifest from the copy.
pub fn stage(vetted: Vetted) -> Result<Staged, PluginError> {
    let Vetted { file, path, .. } = vetted;
    let failed = |step: &'static str| {
        let path = path.clone();
        move |source: io::Error| PluginError::Stage { path, step, source }
    };
    let before = Version::of(&file).map_err(failed("reading it"))?;
    if before.size > MAX_PLUGIN {
        let size = before.size;
        return Err(PluginError::Oversized {
            path,
            size,
            limit: MAX_PLUGIN,
        });
    }
    let mut copy = Copy::create(&path).map_err(failed("making room for its copy"))?;
    let sha256 = copy_hashed((&file).take(MAX_PLUGIN), &mut copy.writer).map_err(failed("copying it"))?;
    if before != Version::of(&file).map_err(failed("reading it"))? {
        return Err(PluginError::Changed { path });
    }
    let copy = copy.seal().map_err(failed("sealing its copy"))?;

    let reader = ReadCache::new(File::from(copy.try_clone().map_err(failed("reading its copy"))?));
    let manifest = match manifest::read(&reader) {
        Ok(manifest) => manifest,
        Err(source) => return Err(PluginError::Manifest { path, source }),
    };
    Ok(Staged {
        info: Arc::new(PluginInfo {
            path,
            sha256,
            manifest,
        }),
        copy,
    })
}

/// What changes when a file is written to while it is read.
#[derive(PartialEq)]
struct Version {
    size: u64,
    changed: (i64, i64),
}

impl Version {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Version {
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// Copies to the end of the file and returns the SHA-256 of what was copied, in hexadecimal digits.
fn copy_hashed(mut from: impl Read, to: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let chunk = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(chunk);
        to.write_all(chunk)?;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A file without a name that nobody else can write to.
struct Copy {
    writer: File,
    form: Form,
}

enum Form {
    /// Kept in memory, and closed for every write by seals (memfd_create(2)).
    Memory,
    /// On disk; already removed from its private directory.
    Disk,
}

impl Copy {
    /// In memory, or on disk where the system refuses that (an old kernel, a system call filter).
    fn create(plugin: &Path) -> io::Result<Self> {
        match in_memory(plugin) {
            Ok(writer) => Ok(Copy {
                writer,
                form: Form::Memory,
            }),
            Err(_refused) => Ok(Copy {
                writer: on_disk(&std::env::temp_dir())?,
                form: Form::Disk,
            }),
        }
    }

    /// Ends all writing.
    fn seal(self) -> io::Result<OwnedFd> {
        match self.form {
            Form::Memory => {
                let seals = SealFlag::F_SEAL_WRITE
                    | SealFlag::F_SEAL_GROW
                    | SealFlag::F_SEAL_SHRINK
                    | SealFlag::F_SEAL_SEAL;
                fcntl(&self.writer, FcntlArg::F_ADD_SEALS(seals))?;
                Ok(self.writer.into())
            }
            // Opened anew for reading, so that no descriptor that could write is inherited.
            Form::Disk => {
                let path = format!("/proc/self/fd/{}", self.writer.as_raw_fd());
                Ok(File::open(path)?.into())
            }
        }
    }
}

/// An empty memfd that can be sealed, named after the plugin: `/proc/PID/maps` and debuggers show it.
fn in_memory(plugin: &Path) -> io::Result<File> {
    let mut name = file_name(plugin).into_bytes();
    name.truncate(MAX_MEMFD_NAME);
    let name = CString::new(name).unwrap_or_default();
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Mapping needs no execute permission, and a system may forbid memfds that have it
    // (`vm.memfd_noexec`). Kernels before 6.3 do not know the flag.
    let no_exec = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    match memfd_create(name.as_c_str(), flags | no_exec) {
        Err(Errno::EINVAL) => Ok(memfd_create(name.as_c_str(), flags)?.into()),
        created => Ok(created?.into()),
    }
}

/// An empty file in a directory of its own, both of which are removed while the file is open.
fn on_disk(parent: &Path) -> io::Result<File> {
    let directory = nix::unistd::mkdtemp(&parent.join("asynccall-host-XXXXXX"))?;
    let path = directory.join("plugin.so");
    let created = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&path);
    let file_gone = std::fs::remove_file(&path);
    let directory_gone = std::fs::remove_dir(&directory);
    let file = created?;
    file_gone.and(directory_gone)?;
    Ok(file)
}
