//! Memory that processes share: created by one with a fixed size, mapped by all who inherit its descriptor.
//!
//! It begins with a mark and [`VERSION`], so that nobody takes it for something else. What it means is its
//! [`Layout`]'s business.
#![allow(
    unsafe_code,
    reason = "memory shared between processes; each block carries its argument"
)]

use std::{
    ffi::CStr,
    io,
    num::NonZeroUsize,
    ops::Deref,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        mman::{MapFlags, ProtFlags, mmap, munmap},
    },
};

use super::{VERSION, metrics, scoreboard};

/// What lies in shared memory.
///
/// # Safety
/// It consists of atomics alone, arrays of them and structs of these (`repr(C)`), so that any bytes are valid for it
/// and others may change them at any time.
pub(super) unsafe trait Layout {
    /// The first bytes of the memory.
    const MARK: [u8; 8];
    /// What the kernel calls the memory.
    const NAME: &'static CStr;
    /// What people call it.
    const WHAT: &'static str;
}

// SAFETY: a struct of atomics and of tables that consist of atomics.
unsafe impl Layout for scoreboard::Memory {
    const MARK: [u8; 8] = *b"acscore1";
    const NAME: &'static CStr = c"asynccall-scoreboard";
    const WHAT: &'static str = "the scoreboard";
}

// SAFETY: a struct of an atomic and an array of cells, which consist of atomics.
unsafe impl Layout for metrics::Memory {
    const MARK: [u8; 8] = *b"acmetri1";
    const NAME: &'static CStr = c"asynccall-metrics";
    const WHAT: &'static str = "the table of metrics";
}

/// The memory, as all processes see it.
#[repr(C, align(128))]
struct Framed<T> {
    mark: AtomicU64,
    version: AtomicU32,
    content: T,
}

/// The mapped memory and its descriptor. Memory that nobody has touched is zero and costs nothing.
pub(super) struct Mapping<T: Layout> {
    memory: NonNull<Framed<T>>,
    descriptor: OwnedFd,
}

// SAFETY: the memory consists of atomics alone, and stays mapped until the value is dropped.
unsafe impl<T: Layout> Send for Mapping<T> {}
// SAFETY: as above.
unsafe impl<T: Layout> Sync for Mapping<T> {}

impl<T: Layout> Mapping<T> {
    const SIZE: usize = size_of::<Framed<T>>();

    /// Creates an empty one, of a fixed size that no holder of the descriptor can change.
    pub(super) fn create() -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let descriptor = memfd_create(T::NAME, flags)?;
        nix::unistd::ftruncate(&descriptor, Self::SIZE as i64)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&descriptor, FcntlArg::F_ADD_SEALS(seals))?;
        let mapping = Self::map(descriptor)?;
        let framed = mapping.framed();
        framed.mark.store(u64::from_ne_bytes(T::MARK), Ordering::Relaxed);
        framed.version.store(VERSION, Ordering::Relaxed);
        Ok(mapping)
    }

    /// Maps one that another process created.
    pub(super) fn open(descriptor: OwnedFd) -> io::Result<Self> {
        let (what, wanted) = (T::WHAT, Self::SIZE);
        let size = nix::sys::stat::fstat(&descriptor)?.st_size;
        if size != wanted as i64 {
            return Err(invalid(format!(
                "{what} has {size} bytes, this binary wants {wanted}"
            )));
        }
        let mapping = Self::map(descriptor)?;
        let framed = mapping.framed();
        let version = framed.version.load(Ordering::Relaxed);
        let mark = framed.mark.load(Ordering::Relaxed);
        if (mark, version) != (u64::from_ne_bytes(T::MARK), VERSION) {
            return Err(invalid(format!(
                "{what} has version {version}, this binary wants {VERSION}"
            )));
        }
        Ok(mapping)
    }

    fn map(descriptor: OwnedFd) -> io::Result<Self> {
        let length = NonZeroUsize::new(Self::SIZE).ok_or(io::ErrorKind::InvalidInput)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh shared mapping at an address of the kernel's choice; the file has `SIZE` bytes
        // (created so, or checked by the caller) and its seals forbid shrinking it.
        let memory = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &descriptor, 0) }?;
        Ok(Mapping {
            memory: memory.cast(),
            descriptor,
        })
    }

    fn framed(&self) -> &Framed<T> {
        // SAFETY: the mapping is page-aligned, has the size of a `Framed<T>`, and lives as long as `self`; it
        // consists of atomics as a `Layout` promises, for which any bytes are valid and which others may change.
        unsafe { self.memory.as_ref() }
    }
}

impl<T: Layout> Deref for Mapping<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.framed().content
    }
}

impl<T: Layout> AsFd for Mapping<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl<T: Layout> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this size, and no borrow of it outlives `self`.
        let unmapped = unsafe { munmap(self.memory.cast(), Self::SIZE) };
        debug_assert!(unmapped.is_ok(), "unmapping a whole mapping of ours succeeds");
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
