//! How the texts of this layer call files, system errors and lists of names.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// The last component of a path, which is how errors and log lines call a plugin.
pub(in crate::plugin) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).display().to_string()
}

/// A path as one word of a POSIX shell command line.
pub(in crate::plugin) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A system error in the words of these texts: lower case and without its number, where it is a common one.
pub(in crate::plugin) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotADirectory => "a part of its path is not a directory".to_owned(),
        _ => error.to_string(),
    }
}

pub(super) fn open_hint(error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Some("cargo leaves a plugin in `target/release/`, as `lib<name>.so`".to_owned())
        }
        io::ErrorKind::PermissionDenied => {
            Some("the user that runs asynccall-host must be able to read it".to_owned())
        }
        _ => None,
    }
}

pub(super) fn load_hint(path: &Path, detail: &str) -> Option<String> {
    let path = shell_word(path);
    if detail.contains("GLIBC_") {
        Some("it was built on a newer system: rebuild it on this one, or on an older one".to_owned())
    } else if detail.contains("cannot open shared object file") {
        Some(format!(
            "install the library that it needs; `ldd {path}` lists them"
        ))
    } else if detail.contains("undefined symbol") {
        Some(format!(
            "link it with the library that has the symbol; `ldd -r {path}` lists what is missing"
        ))
    } else {
        None
    }
}

pub(super) fn in_directories(dirs: &[PathBuf]) -> String {
    if dirs.is_empty() {
        String::new()
    } else {
        format!(": no `*.so` in {}", quoted(dirs.iter().map(|dir| dir.display())))
    }
}

pub(super) fn not_in(name: &str, dirs: &[PathBuf]) -> String {
    if dirs.is_empty() {
        "there are no directories to search".to_owned()
    } else {
        format!(
            "no `lib{name}.so` in {}",
            quoted(dirs.iter().map(|dir| dir.display()))
        )
    }
}

pub(super) fn listed(known: &[String]) -> String {
    match known {
        [] => "are none".to_owned(),
        [one] => format!("is `{one}`"),
        several => format!("are {}", quoted(several)),
    }
}

fn quoted<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = items.into_iter().map(|item| format!("`{item}`")).collect();
    quoted.join(", ")
}
