//! A test's own directory: gone with the test, kept and named when it fails.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use tempfile::TempDir;

/// The directory.
pub(crate) struct Directory(Option<TempDir>);

impl Directory {
    /// A new one, empty and private.
    pub(crate) fn new() -> Directory {
        let directory = tempfile::Builder::new().prefix("asynccall-test-").tempdir();
        Directory(Some(directory.expect("a directory")))
    }

    /// Its path.
    pub(crate) fn root(&self) -> &Path {
        self.0.as_ref().expect("it is taken out in `drop` alone").path()
    }

    /// A path in it.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root().join(name)
    }

    /// Writes a file, its directories included, and answers with its path.
    #[track_caller]
    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is in the directory")).expect("a directory");
        fs::write(&path, content).expect("the file is written");
        path
    }

    /// Copies a file into it, under its own name.
    #[track_caller]
    pub(crate) fn copy(&self, file: &Path) -> PathBuf {
        let path = self.path(file.file_name().expect("a file"));
        fs::copy(file, &path).expect("the file is copied");
        path
    }
}

impl Drop for Directory {
    #[allow(clippy::print_stderr, reason = "read by whoever looks into the failure")]
    fn drop(&mut self) {
        if let Some(directory) = self.0.take()
            && thread::panicking()
        {
            eprintln!("kept: {}", directory.keep().display());
        }
    }
}
