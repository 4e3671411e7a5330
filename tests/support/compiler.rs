//! Plugins in C and C++, compiled for a test.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{Directory, PATIENCE};

/// What every plugin is compiled with here: not one warning.
const STRICT: &[&str] = &[
    "-O1",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Werror",
    "-shared",
    "-fPIC",
];

/// The header that authors include.
pub(crate) fn header_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api/abi/include")
}

/// A file below the project's own directory.
pub(crate) fn project_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// Compiles the zoo in C to `libNAME.so` in a directory, by this compiler and with more flags.
#[track_caller]
pub(crate) fn c_zoo(directory: &Directory, name: &str, compiler: &str, more: &[&str]) -> PathBuf {
    let library = directory.path(format!("lib{name}.so"));
    let output = Command::new(compiler)
        .args(STRICT)
        .args(more)
        .arg("-I")
        .arg(header_directory())
        .arg("-o")
        .args([&library, &project_file("tests/fixtures/c/zoo.c")])
        .output()
        .expect("a compiler is what rustc links with, too");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    library
}

/// Runs a shell command in a directory; what it printed.
#[track_caller]
pub(crate) fn shell(directory: &Path, command: &str, path: &Path) -> String {
    let limit = PATIENCE.as_secs().to_string();
    let paths = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("timeout")
        .args([&limit, "sh", "-e", "-c", command])
        .env("PATH", format!("{}:{paths}", path.display()))
        .current_dir(directory)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
