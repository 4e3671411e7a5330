//! What was released: plugins and a host of every minor, unpacked from `tests/fixtures/abi`.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::skip;

/// Plugins and a host, as they were when the minor was released.
pub(super) struct Released {
    /// As `1.0`.
    pub(super) version: String,
    pub(super) minor: u16,
    pub(super) plugin: PathBuf,
    pub(super) loader: PathBuf,
    /// The zoo in C, where the minor knows plugins in C.
    pub(super) in_c: Option<PathBuf>,
}

/// Every released minor; none, said aloud, where the files cannot run.
#[track_caller]
pub(super) fn released() -> Vec<Released> {
    if !cfg!(all(
        target_os = "linux",
        target_arch = "x86_64",
        target_env = "gnu"
    )) {
        skip("the released plugins are for x86_64 Linux with glibc");
        return Vec::new();
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/abi");
    let entries = fs::read_dir(directory).expect("the fixtures are there");
    let directories = entries
        .map(|entry| entry.expect("the fixtures can be listed").path())
        .filter(|path| path.is_dir());
    let released: Vec<_> = directories
        .map(|directory| {
            let version = file_name(&directory).to_owned();
            let minor = version.strip_prefix("1.").and_then(|minor| minor.parse().ok());
            let minor = minor.expect("a directory has the name of its minor");
            Released {
                minor,
                version,
                plugin: unpacked(&directory, "libecho.so"),
                loader: unpacked(&directory, "loader"),
                in_c: (minor >= 2).then(|| unpacked(&directory, "libzoo.so")),
            }
        })
        .collect();
    assert!(released.iter().any(|released| released.minor == 0));
    released
}

impl Released {
    /// Whether plugin and loader know progress and self-checks.
    pub(super) fn has_progress_and_self_check(&self) -> bool {
        self.minor >= 1
    }

    /// Whether plugin and loader know ticks, shutdown, metrics, jobs put by handlers, and schemas.
    pub(super) fn has_ticks_metrics_and_puts(&self) -> bool {
        self.minor >= 2
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name()
        .and_then(OsStr::to_str)
        .expect("our names are text")
}

/// Unpacks a fixture into a directory of this process's own, where nobody else changes it.
#[track_caller]
fn unpacked(directory: &Path, name: &str) -> PathBuf {
    let packed = fs::File::open(directory.join(format!("{name}.gz"))).expect("the fixture is there");
    // Every system that can build this has gzip; a crate for a few files would be more.
    let output = Command::new("gzip")
        .arg("-dc")
        .stdin(packed)
        .output()
        .expect("gzip can be started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let to = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("released")
        .join(file_name(directory));
    fs::create_dir_all(&to).expect("a directory");
    let path = to.join(name);
    let thread = std::thread::current().id();
    let temporary = to.join(format!("{name}.{}.{thread:?}", std::process::id()));
    fs::write(&temporary, output.stdout).expect("the file is written");
    fs::set_permissions(&temporary, Permissions::from_mode(0o755)).expect("it is ours");
    fs::rename(&temporary, &path).expect("the file is put in place");
    path
}
