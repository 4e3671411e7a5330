//! What cargo has to build, and where it lies then: the paths are cargo's own words.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use crate::{
    events::Events,
    failure::Failure,
    process::{Process, typed},
};

/// More than the slowest machine needs.
const LIMIT: Duration = Duration::from_secs(3600);

/// Builds one package in the profile that the quickstart was built in, and says where its `target` lies. `show` gets
/// the command line as one would type it.
pub(crate) fn build(
    package: &str,
    target: &'static str,
    directory: &Path,
    events: &Events,
    show: impl FnOnce(&str) -> Result<(), Failure>,
) -> Result<PathBuf, Failure> {
    let mut command = Command::new("cargo");
    command.args(["build", "--package", package]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    show(&typed(&command))?;
    let messages = directory.join(format!("{package}.json"));
    let failed = |source| Failure::file(&messages, source);
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(command.get_args())
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(File::create(&messages).map_err(failed)?);
    let mut cargo = Process::start(&mut cargo)?;
    events.wait("the build", LIMIT, None, || cargo.succeeded())?;
    let messages = fs::read_to_string(&messages).map_err(failed)?;
    let mut artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    artifacts
        .find_map(|message| artifact(&message, target))
        .ok_or(Failure::NotBuilt { name: target })
}

/// The program or library of one of cargo's messages, if that is `target`.
fn artifact(message: &Value, target: &str) -> Option<PathBuf> {
    let made = &message["target"];
    let is_linked = |kind: &Value| kind == "bin" || kind == "cdylib";
    if made["name"] != target || !made["kind"].as_array()?.iter().any(is_linked) {
        return None;
    }
    let file = message["executable"]
        .as_str()
        .or_else(|| message["filenames"][0].as_str());
    file.map(PathBuf::from)
}
