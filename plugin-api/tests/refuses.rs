//! What stops an author's build, and with which words.

mod built;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// A crate that is a plugin, were it not for what a test adds.
const PLUGIN: &str = "
    use plugin_api::prelude::*;
    pub struct Plain;
    impl Handler for Plain {
        type Config = ();
        type Payload = RawBody;
        fn new(_: ()) -> Result<Self> { Ok(Plain) }
        fn execute(&self, _: &Job, _: RawBody) -> Result { Ok(().into()) }
    }
    pub struct Bystander;
";

fn plugin_api() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| built::library("asynccall-plugin-api", "plugin_api", "rlib").file)
}

/// Compiles `PLUGIN` with these lines, as far as an author's errors go; `Err` is what the compiler says.
fn compile(flags: &[&str], lines: &str) -> Result<(), String> {
    let library = plugin_api();
    let dependencies = library.with_file_name("deps");
    let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args([
            "--edition=2024",
            "--crate-type=cdylib",
            "--crate-name=author",
            "--emit=metadata",
        ])
        .args(["--extern", &format!("plugin_api={}", library.display())])
        .args(["-L", &format!("dependency={}", dependencies.display())])
        .args(["-o", concat!(env!("CARGO_TARGET_TMPDIR"), "/author.rmeta")])
        .args(flags)
        .arg("-")
        .env("CARGO_PKG_NAME", "author")
        .env("CARGO_PKG_VERSION", "0.1.0")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a compiler");
    let mut source = compiler.stdin.take().expect("its input is a pipe");
    source
        .write_all(format!("{PLUGIN}{lines}").as_bytes())
        .expect("the compiler reads");
    drop(source);
    let output = compiler.wait_with_output().expect("the compiler ends");
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[track_caller]
fn refused(flags: &[&str], lines: &str, words: &str) {
    let said = compile(flags, lines).expect_err("the build stops");
    assert!(said.contains(words), "{said}");
}

#[test]
fn a_plugin_builds_also_where_unsafe_code_is_forbidden() {
    assert_eq!(
        compile(&["-F", "unsafe_code", "-D", "warnings"], "export_plugin!(Plain);"),
        Ok(())
    );
}

#[test]
fn panics_that_abort() {
    refused(
        &["-C", "panic=abort"],
        "export_plugin!(Plain);",
        "a plugin needs panic = \"unwind\"",
    );
}

#[test]
fn names_that_no_host_takes() {
    let alphabet = "a handler's name is made of a-z, 0-9, `_` and `-`";
    let length = "a handler's name has 1 to 64 bytes";
    let long = format!("export_plugin!(\"{}\" => Plain);", "a".repeat(65));
    refused(&[], "export_plugin!(\"Plain\" => Plain);", alphabet);
    refused(&[], "export_plugin!(\"a.b\" => Plain);", alphabet);
    refused(&[], "type 邮件 = Plain; export_plugin!(邮件);", alphabet);
    refused(&[], "export_plugin!(\"\" => Plain);", length);
    refused(&[], &long, length);
    refused(
        &[],
        "export_plugin!(\"a\" => Plain, \"a\" => Plain);",
        "two handlers of the plugin have the same name",
    );
}

#[test]
fn a_type_that_is_no_handler() {
    refused(&[], "export_plugin!(Bystander);", "`Bystander` is not a handler");
}
