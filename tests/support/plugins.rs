//! The plugins that the tests load, built once per run with the profile and target directory of the tests.
//!
//! `cargo test` builds no other member's `cdylib`. What cargo has built is copied into the tests' own directory below
//! the target directory, so that a later build does not change a file under a running test.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
};

use serde_json::Value;

use super::skip;

/// The packages whose libraries the tests load.
const PACKAGES: &[&str] = &[
    "zoo-diary",
    "zoo-echo",
    "zoo-landmine",
    "zoo-loud",
    "zoo-pair",
    "zoo-picky",
    "zoo-prowler",
    "zoo-stillborn",
    "zoo-tally",
    "zoo-vandal",
    "asynccall-exec",
    "asynccall-http",
    "asynccall-mailer",
    "asynccall-model-example",
];

/// The built daemon.
pub(crate) fn daemon_binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_asynccall-host"))
}

/// The library of a plugin, such as `echo`.
#[track_caller]
pub(crate) fn plugin(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        // The other build first: what cargo leaves at the end is the ordinary one.
        let other = collect("other", &build(cargo(), &["zoo-echo"], &[("ECHO_TAG", "other")]));
        assert!(other.join("libecho.so").exists(), "cargo has built libecho.so");
        collect("plugins", &build(cargo(), PACKAGES, &[]))
    });
    directory.join(library(name))
}

/// The library of one package alone, for whoever can do without the time that the others take to build.
#[track_caller]
#[allow(dead_code, reason = "the benchmark uses it")]
pub(crate) fn built(package: &str, name: &str) -> PathBuf {
    collect("plugins", &build(cargo(), &[package], &[])).join(library(name))
}

/// `echo`, built a second time from changed source: its tag is `other`.
#[track_caller]
pub(crate) fn other_echo() -> PathBuf {
    let built = plugin("echo");
    let root = built.ancestors().nth(2).expect("it is below the root");
    root.join("other/libecho.so")
}

/// `echo`, built by another toolchain and in the release profile; `None`, said aloud, where none is installed.
#[track_caller]
pub(crate) fn foreign_echo() -> Option<PathBuf> {
    let foreign = Toolchain::other()?;
    Some(foreign.echo(&BUILDS[1]))
}

/// A way to build a plugin.
pub(crate) struct Build {
    /// Also the name of the directory that the tests keep the library in.
    pub(crate) name: &'static str,
    profile: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

/// The ways in which authors build their plugins. The second is the release profile as it is.
pub(crate) const BUILDS: [Build; 4] = [
    Build {
        name: "dev",
        profile: "dev",
        environment: &[],
    },
    Build {
        name: "release",
        profile: "release",
        environment: &[],
    },
    Build {
        name: "lto",
        profile: "release",
        environment: &[
            ("CARGO_PROFILE_RELEASE_LTO", "fat"),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
        ],
    },
    Build {
        name: "dev-lto",
        profile: "dev",
        // `fat` would take longer, and no author waits for it in a debug build.
        environment: &[("CARGO_PROFILE_DEV_LTO", "thin")],
    },
];

/// A Rust toolchain.
pub(crate) enum Toolchain {
    /// The one of these tests.
    Own,
    /// Another, by its name in rustup.
    Other(String),
}

impl Toolchain {
    /// One that is not the one of these tests; `None`, said aloud, where none is installed.
    #[track_caller]
    pub(crate) fn other() -> Option<Toolchain> {
        let name = other_toolchain();
        if name.is_none() {
            skip("no second Rust toolchain is installed (`rustup toolchain install nightly`)");
        }
        name.map(Toolchain::Other)
    }

    /// `echo`, built by this toolchain in this way.
    #[track_caller]
    pub(crate) fn echo(&self, how: &Build) -> PathBuf {
        // All ways of a toolchain leave their library at the same place, and the ordinary build of this one does so too.
        plugin("echo");
        static BUILDING: Mutex<()> = Mutex::new(());
        let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut cargo, directory, name) = match self {
            Toolchain::Own => {
                let cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
                (cargo, target().0.to_owned(), "own")
            }
            Toolchain::Other(toolchain) => {
                let mut rustup = Command::new("rustup");
                rustup.args(["run", toolchain, "cargo"]);
                // What the running cargo has set is meant for its own toolchain.
                for variable in [
                    "CARGO",
                    "RUSTC",
                    "RUSTDOC",
                    "RUSTUP_TOOLCHAIN",
                    "CARGO_TARGET_DIR",
                ] {
                    rustup.env_remove(variable);
                }
                (rustup, target().0.join("foreign"), "foreign")
            }
        };
        cargo.args(["build", "--profile", how.profile]);
        cargo.arg("--target-dir").arg(directory);
        let libraries = build(cargo, &["zoo-echo"], how.environment);
        collect(&format!("{name}-{}", how.name), &libraries).join("libecho.so")
    }
}

/// The smallest host, `plugin-api/abi/examples/loader.rs`.
#[track_caller]
pub(crate) fn loader() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let mut cargo = cargo();
        cargo.args(["--example", "loader"]);
        let files = reported(cargo, &["asynccall-abi"], &[]);
        let found = files.into_iter().find(|file| file.ends_with("examples/loader"));
        found.expect("cargo tells where the example is")
    });
    built.clone()
}

/// The file name of a plugin's library.
pub(crate) fn library(name: &str) -> String {
    format!("lib{name}.so")
}

/// Cargo as it runs these tests: same toolchain, profile and target directory.
fn cargo() -> Command {
    let (directory, profile) = target();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    cargo.args(["build", "--target-dir"]).arg(directory);
    // The directory of the profile `dev` is called otherwise.
    let profile = if profile == "debug" { "dev" } else { profile };
    cargo.args(["--profile", profile]);
    cargo
}

/// The target directory and the directory of the profile in it.
fn target() -> (&'static Path, &'static str) {
    let profile = daemon_binary().parent().expect("it is in a directory");
    let name = profile
        .file_name()
        .and_then(OsStr::to_str)
        .expect("cargo's own name");
    (profile.parent().expect("it is in the target directory"), name)
}

/// Builds packages, and says where their libraries are.
fn build(cargo: Command, packages: &[&str], environment: &[(&str, &str)]) -> Vec<PathBuf> {
    let files = reported(cargo, packages, environment).into_iter();
    // Dependencies report their proc macros, which are `.so` files as well, in `deps`.
    files
        .filter(|file| file.extension() == Some(OsStr::new("so")))
        .filter(|file| file.parent().is_none_or(|parent| !parent.ends_with("deps")))
        .collect()
}

/// Builds packages, and lists every file that came of it.
fn reported(mut cargo: Command, packages: &[&str], environment: &[(&str, &str)]) -> Vec<PathBuf> {
    for package in packages {
        cargo.args(["--package", package]);
    }
    let output = cargo
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("ECHO_TAG")
        .envs(environment.iter().copied())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo cannot build the plugins:\n{errors}"
    );
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let messages = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let files = messages.flat_map(|message| match message["filenames"].as_array() {
        Some(files) => files.clone(),
        None => Vec::new(),
    });
    files
        .filter_map(|file| Some(PathBuf::from(file.as_str()?)))
        .collect()
}

/// Copies libraries into a directory of the tests' own. Each appears there whole.
fn collect(name: &str, libraries: &[PathBuf]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("a directory");
    for library in libraries {
        let path = directory.join(library.file_name().expect("a file"));
        // With a name of its own: two tests may collect the same library at one time.
        let temporary = tempfile::NamedTempFile::new_in(&directory).expect("a file");
        fs::copy(library, &temporary).expect("the library is copied");
        temporary.persist(&path).expect("the library is put in place");
    }
    directory
}

/// The name of an installed toolchain that is not the one of these tests.
fn other_toolchain() -> Option<String> {
    let version = |mut command: Command| {
        let output = command.arg("--version").output().ok()?;
        output.status.success().then_some(output.stdout)
    };
    let of_cargo = Path::new(env!("CARGO")).with_file_name("rustc");
    let ours = version(Command::new(of_cargo))?;
    let list = Command::new("rustup").args(["toolchain", "list"]).output().ok()?;
    let list = String::from_utf8(list.stdout).ok()?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    let mut others = names.filter(|name| {
        let mut rustc = Command::new("rustup");
        rustc.args(["run", name, "rustc"]).env_remove("RUSTUP_TOOLCHAIN");
        version(rustc).is_some_and(|theirs| theirs != ours)
    });
    others.next().map(str::to_owned)
}
