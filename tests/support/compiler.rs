//! Plugins in C and C++, compiled for a test.

use std::{path::PathBuf, process::Command};

use super::{Directory, author::repository};

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

/// Compiles the zoo in C to `libNAME.so` in a directory, by this compiler and with more flags.
#[track_caller]
pub(crate) fn c_zoo(directory: &Directory, name: &str, compiler: &str, more: &[&str]) -> PathBuf {
    let library = directory.path(format!("lib{name}.so"));
    let output = Command::new(compiler)
        .args(STRICT)
        .args(more)
        .arg("-I")
        .arg(repository().join("plugin-api/abi/include"))
        .arg("-o")
        .args([&library, &repository().join("tests/fixtures/c/zoo.c")])
        .output()
        .expect("a compiler is what rustc links with, too");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    library
}
