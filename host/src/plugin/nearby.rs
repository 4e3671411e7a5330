//! What is there instead of what was asked for: similar names, and the libraries of a directory.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// The candidate that `wanted` is most probably a slip of. `None` where nothing is similar.
pub(super) fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    /// Below this similarity (0 to 1) a suggestion misleads more than it helps. clap draws the line there, too.
    const SIMILAR: f64 = 0.7;
    known
        .into_iter()
        .map(|name| (strsim::jaro(wanted, name), name))
        .filter(|(similarity, _)| *similarity > SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name.to_owned())
}

/// The file names `*.so` in a directory, sorted. Hidden files are none of them.
pub(super) fn libraries_in(dir: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if is_library(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a file of this name counts as a plugin of its directory.
pub(super) fn is_library(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".so") && !name.starts_with(b".")
}
