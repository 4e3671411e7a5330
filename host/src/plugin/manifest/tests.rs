use std::{fs::File, path::Path};

use object::ReadCache;
use proptest::{collection, prelude::*, sample::Index};

use super::*;
use crate::plugin::{
    PluginError,
    fixtures::{self, Plugin, good_bytes},
};

/// Builds the library and reads its manifest. The error is the whole text, as of a file of that name.
#[track_caller]
fn read_built(build: impl FnOnce(&Path)) -> Result<Manifest, String> {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = dir.path().join("libstub.so");
    build(&path);
    let bytes = std::fs::read(path).expect("it was built");
    refused(&bytes)
}

fn refused(bytes: &[u8]) -> Result<Manifest, String> {
    read(bytes).map_err(|source| {
        let path = "/srv/libstub.so".into();
        PluginError::Manifest { path, source }.full()
    })
}

fn patched(offset: usize, value: &[u8]) -> String {
    let mut bytes = good_bytes().to_vec();
    bytes[offset..offset + value.len()].copy_from_slice(value);
    refused(&bytes).expect_err("the header no longer fits")
}

fn with_manifest(manifest: impl Into<String>) -> Result<Manifest, String> {
    let manifest = manifest.into();
    let plugin = Plugin {
        manifest,
        ..Plugin::default()
    };
    read_built(|path| drop(plugin.build(path)))
}

#[test]
fn a_manifest_is_read_from_the_file_and_unknown_keys_are_ignored() {
    let manifest = read(good_bytes()).expect("the plugin is good");
    assert_eq!(manifest.abi, AbiVersion { major: 1, minor: 0 });
    assert_eq!(
        (&*manifest.name, &*manifest.version, &*manifest.toolchain),
        ("stub", "0.1.0", "cc")
    );
    assert_eq!(manifest.handlers.len(), 1);
    assert_eq!(manifest.handlers[0].name, "stub");
}

#[test]
fn a_file_gives_the_same_manifest_as_its_bytes() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = Plugin::default().build(&dir.path().join("libstub.so"));
    let cache = ReadCache::new(File::open(path).expect("it was just built"));
    assert_eq!(read(&cache).ok(), read(good_bytes()).ok());
}

#[test]
fn a_manifest_survives_its_way_to_a_worker() {
    let manifest = read(good_bytes()).expect("the plugin is good");
    let text = serde_json::to_string(&manifest).expect("it is plain data");
    assert!(text.starts_with(r#"{"abi":"1.0","#), "{text}");
    assert_eq!(serde_json::from_str::<Manifest>(&text).ok(), Some(manifest));
}

#[test]
fn a_plugin_of_another_major_is_refused_before_its_manifest_is_read() {
    let plugin = Plugin {
        abi: (2, 0),
        manifest: "of another form".to_owned(),
        ..Plugin::default()
    };
    let error = read_built(|path| drop(plugin.build(path))).expect_err("the majors differ");
    insta::assert_snapshot!(error, @r#"
    libstub.so was built for plugin-abi 2.0, this host speaks plugin-abi 1.2
      hint: rebuild the plugin with `asynccall-plugin-api = "1"`, one in C with what `asynccall-host plugin header` prints
    "#);
}

#[test]
fn a_later_minor_of_the_same_major_is_accepted() {
    let plugin = Plugin {
        abi: (1, 7),
        manifest: fixtures::manifest(&["stub"]).replace("1.0", "1.7"),
        ..Plugin::default()
    };
    let manifest = read_built(|path| drop(plugin.build(path))).expect("minors work together");
    assert_eq!(manifest.abi, AbiVersion { major: 1, minor: 7 });
}

#[test]
fn any_other_library_is_said_to_be_no_plugin() {
    let build = |path: &Path| drop(fixtures::library(path, "int answer(void) { return 42; }"));
    insta::assert_snapshot!(read_built(build).expect_err("it has no descriptor"), @r#"
    libstub.so is a shared library but not an asynccall plugin: symbol `asynccall_plugin` not found
      hint: does the crate call plugin_api::export_plugin! and have crate-type = ["cdylib"]? in C, ASYNCCALL_PLUGIN of `asynccall_plugin.h` writes it
    "#);
}

#[test]
fn a_library_that_only_uses_the_symbol_is_no_plugin() {
    let source = "extern char asynccall_plugin[]; char *use(void) { return asynccall_plugin; }";
    let error = read_built(|path| drop(fixtures::library(path, source))).expect_err("it defines nothing");
    assert!(error.contains("symbol `asynccall_plugin` not found"), "{error}");
}

#[test]
fn a_descriptor_without_a_manifest_is_refused() {
    insta::assert_snapshot!(with_manifest("").expect_err("there is none"), @r#"
    libstub.so is not a usable plugin: it has `asynccall_plugin`, but symbol `asynccall_manifest` was not found
      hint: does the crate call plugin_api::export_plugin! and have crate-type = ["cdylib"]? in C, ASYNCCALL_PLUGIN of `asynccall_plugin.h` writes it
    "#);
}

#[test]
fn a_symbol_that_is_no_descriptor_is_refused() {
    let magic = Plugin {
        magic: "elephant",
        ..Plugin::default()
    };
    let error = read_built(|path| drop(magic.build(path))).expect_err("the magic is wrong");
    insta::assert_snapshot!(error, @r#"
    libstub.so is not a usable plugin: its symbol `asynccall_plugin` does not begin with the plugin magic
      hint: rebuild the plugin with `asynccall-plugin-api = "1"`, one in C with what `asynccall-host plugin header` prints
    "#);
    let zeroed = |path: &Path| drop(fixtures::library(path, "char asynccall_plugin[80];"));
    assert_eq!(read_built(zeroed), Err(error), "bytes that are not in the file");
    let kind = Plugin {
        kind: 9,
        ..Plugin::default()
    };
    let error = read_built(|path| drop(kind.build(path))).expect_err("the kind is unknown");
    assert!(error.contains("plugin of kind 9"), "{error}");
}

#[test]
fn a_manifest_that_is_not_the_expected_json_is_refused() {
    insta::assert_snapshot!(with_manifest(r#"{"abi":"1.0","name":"stub"}"#).expect_err("keys are missing"), @r#"
    libstub.so has an unreadable manifest: missing field `version` at line 1 column 27
      hint: plugin_api::export_plugin! writes the manifest, and ASYNCCALL_PLUGIN that of a plugin in C, whose texts are to be parts of a JSON string
    "#);
    let error = with_manifest(fixtures::manifest(&["stub"]).replace("1.0", "one")).expect_err("no version");
    assert!(error.contains("expected an abi version such as `1.0`"), "{error}");
    let error = with_manifest("x".repeat(MAX_MANIFEST as usize)).expect_err("with its NUL it is too long");
    assert!(
        error.contains("has a manifest of 1048577 bytes, more than 1048576"),
        "{error}"
    );
}

#[test]
fn handler_names_are_present_printable_and_different() {
    let long = "x".repeat(129);
    let cases: [(&[&str], &str); 5] = [
        (&[], "it lists no handlers"),
        (&["sms", "sms"], "it lists handler `sms` twice"),
        (
            &["a b"],
            "handler name \"a b\" is not 1 to 128 bytes without spaces",
        ),
        (&[""], "handler name \"\" is not"),
        (&[&long], "is not 1 to 128 bytes"),
    ];
    for (handlers, expected) in cases {
        let error = parse(fixtures::manifest(handlers).as_bytes()).expect_err("a name is wrong");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(parse(fixtures::manifest(&["邮件", "sms"]).as_bytes()).is_ok());
}

#[test]
fn what_is_no_library_of_this_machine_is_said_to_be_what_it_is() {
    let no_elf = refused(b"#!/usr/bin/php\n").expect_err("a script");
    insta::assert_snapshot!(no_elf, @r#"
    libstub.so is not a shared library: it does not begin with the ELF magic
      hint: a plugin is the `lib<name>.so` that cargo builds of a crate with crate-type = ["cdylib"]
    "#);
    let archive = refused(b"!<arch>\nlibstub.rlib/").expect_err("an archive");
    assert!(
        archive.ends_with("the plugin's crate needs crate-type = [\"cdylib\"]"),
        "{archive}"
    );
    let texts = [
        refused(b"").expect_err("an empty file"),
        patched(4, &[1]),
        patched(16, &1_u16.to_ne_bytes()),
        patched(16, &2_u16.to_ne_bytes()),
        patched(18, &22_u16.to_ne_bytes()),
    ];
    let first_lines: Vec<&str> = texts.iter().filter_map(|text| text.lines().next()).collect();
    let this = std::env::consts::ARCH;
    assert_eq!(
        first_lines,
        [
            "libstub.so is empty",
            "libstub.so is not a 64-bit library, as this host needs it",
            "libstub.so is an object file, not a shared library",
            "libstub.so is an executable, not a shared library",
            &format!("libstub.so was built for s390x, this host runs on {this}"),
        ]
    );
}

#[test]
fn a_library_without_its_end_is_said_to_be_truncated() {
    let bytes = good_bytes();
    for length in [8, 64, bytes.len() / 2, bytes.len() - 1] {
        let error = refused(&bytes[..length]).expect_err("the end is missing");
        assert!(
            error.contains(&format!("is truncated: it has {length} of at least ")),
            "{error}"
        );
    }
}

proptest! {
    #[test]
    fn no_damage_to_a_library_makes_the_reader_panic(
        flips in collection::vec((any::<Index>(), any::<u8>()), 1..8),
        headers in collection::vec((0..0x400_usize, any::<u8>()), 0..4),
        sections in collection::vec((1..0x800_usize, any::<u8>()), 0..4),
        end in any::<Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = good_bytes().to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        for (at, value) in headers {
            bytes[at] = value;
        }
        for (from_end, value) in sections {
            let at = bytes.len() - from_end;
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(end.index(bytes.len()));
        }
        // Whatever is still accepted must be a manifest that keeps its promises.
        if let Ok(manifest) = read(&*bytes) {
            prop_assert_eq!(manifest.abi.major, AbiVersion::HOST.major);
            prop_assert!(check_handlers(&manifest.handlers).is_ok());
        }
    }
}
