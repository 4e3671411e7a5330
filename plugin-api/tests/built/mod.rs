//! Asks cargo for the libraries of the workspace: `cargo test` builds no other member's.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A library as cargo has built it.
pub(crate) struct Library {
    pub(crate) file: PathBuf,
    /// Cargo's id of the package, which ends with name and version.
    pub(crate) package: String,
}

/// Builds a package of the workspace, and says where its library `target` with this extension is.
pub(crate) fn library(package: &str, target: &str, extension: &str) -> Library {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--message-format=json", "-p", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs the tests, so it can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let messages = output.stdout.split(|byte| *byte == b'\n');
    messages
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == target)
        .find_map(|message| {
            let mut files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
            let file = files.find(|file| Path::new(file).extension() == Some(OsStr::new(extension)))?;
            Some(Library {
                file: file.into(),
                package: message["package_id"].as_str()?.to_owned(),
            })
        })
        .expect("cargo tells where the library is")
}
