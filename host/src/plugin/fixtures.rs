//! Small libraries in C that tests load, refuse and damage.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// A descriptor and a manifest as a plugin exports them. `entry` gives no library header.
pub(super) struct Plugin {
    pub(super) magic: &'static str,
    pub(super) kind: u32,
    pub(super) abi: (u16, u16),
    /// Empty: the symbol is missing.
    pub(super) manifest: String,
    /// More C.
    pub(super) extra: String,
}

impl Default for Plugin {
    fn default() -> Self {
        Plugin {
            magic: "ASYNCALL",
            kind: 1,
            abi: (1, 0),
            manifest: manifest(&["stub"]),
            extra: String::new(),
        }
    }
}

/// The manifest of a plugin `stub 0.1.0` with these handlers.
pub(super) fn manifest(handlers: &[&str]) -> String {
    let handlers: Vec<_> = handlers
        .iter()
        .map(|name| serde_json::json!({"name": name, "description": "", "since": "0.1.0"}))
        .collect();
    serde_json::json!({
        "abi": "1.0", "name": "stub", "version": "0.1.0", "toolchain": "cc", "license": "MIT",
        "handlers": handlers,
    })
    .to_string()
}

impl Plugin {
    #[track_caller]
    pub(super) fn build(&self, path: &Path) -> PathBuf {
        library(path, &self.source())
    }

    fn source(&self) -> String {
        let (major, minor) = self.abi;
        let manifest = if self.manifest.is_empty() {
            String::new()
        } else {
            format!("const char asynccall_manifest[] = {:?};", self.manifest)
        };
        format!(
            r#"
struct text {{ const char *at; unsigned long length; }};
static void *no_entry(void) {{ return 0; }}
const struct {{
    char magic[8]; unsigned size, kind; unsigned short major, minor; unsigned reserved;
    struct text name, version, toolchain; void *(*entry)(void);
}} asynccall_plugin = {{
    "{}", 80, {}, {major}, {minor}, 0, {{"stub", 4}}, {{"0.1.0", 5}}, {{"cc", 2}}, no_entry
}};
{manifest}
{}"#,
            self.magic, self.kind, self.extra
        )
    }
}

/// Compiles a shared library. Undefined symbols are left to the loader.
#[track_caller]
pub(super) fn library(path: &Path, source: &str) -> PathBuf {
    let code = path.with_extension("c");
    fs::write(&code, source).expect("the directory is writable");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-w", "-o"])
        .args([path, &code])
        .output()
        .expect("cc is what rustc links with, too");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    fs::remove_file(code).expect("it was just written");
    path.to_owned()
}

/// The bytes of a plugin that every check before loading accepts.
pub(super) fn good_bytes() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let path = Plugin::default().build(&dir.path().join("libstub.so"));
        fs::read(path).expect("it was just built")
    })
}

/// C that makes an empty file when the library is loaded.
pub(super) fn constructor_that_makes(trace: &Path) -> String {
    format!(
        "int creat(const char *, unsigned); \
         __attribute__((constructor)) static void run(void) {{ creat({:?}, 0600); }}",
        trace.display().to_string()
    )
}
