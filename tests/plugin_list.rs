//! `plugin list`: what the search path holds, and what of it would be refused.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use asynccall_abi::{ABI_MAJOR, ABI_MINOR};
use serde_json::Value;

use crate::support::{Ended, Host, own_name, plugin, plugins::library};

/// Runs it with these words; hashes, which every build changes, become `HASH`, and the abi is `A.B`.
#[track_caller]
fn list(host: &Host, words: &[&str]) -> String {
    let mut all = vec!["plugin", "list"];
    all.extend(words);
    without_hashes(&host.run_bare(&all))
}

fn without_hashes(ended: &Ended) -> String {
    let is_hash = |word: &str| word.len() == 12 && word.chars().all(|c| c.is_ascii_hexdigit());
    let text = ended.to_string().replace(&format!("`{}`", own_name()), "`OWNER`");
    let text = text.replace(&format!(" {ABI_MAJOR}.{ABI_MINOR} "), " A.B ");
    let words = text.split(' ').map(|word| match is_hash(word) {
        true => "HASH________",
        false => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

fn copy(name: &str, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    fs::copy(plugin(name), to.join(library(name))).expect("a copy");
}

#[test]
fn every_file_of_the_search_path_has_a_row_and_its_reason() {
    let host = Host::unconnected();
    copy("pair", &host.path("names"));
    copy("loud", &host.path("names"));
    copy("echo", &host.path("drop"));
    fs::write(host.path("drop/libtext.so"), "just text").expect("a file");
    let open = Permissions::from_mode(0o666);
    fs::set_permissions(host.path("names").join(library("loud")), open).expect("it is ours");
    symlink(
        host.path("drop").join(library("echo")),
        host.path("drop/libagain.so"),
    )
    .expect("a link");
    let config = host.directory().write(
        "host.toml",
        "[plugins]\nload = [\"pair\", \"pear\"]\ndirs = [\"./names\"]\ndrop_in = [\"./drop\", \"./none\"]\n",
    );
    let config = config.to_str().expect("a path");
    insta::assert_snapshot!(list(&host, &["-c", config]), @r#"
    exit 0
    NAME      VERSION  ABI  HANDLERS    HASH          VETTED  LOAD  PATH
    zoo-pair  0.1.0    A.B  left,right  HASH________  yes     yes   DIR/names/libpair.so
    zoo-echo  0.1.0    A.B  echo        HASH________  yes     yes   DIR/drop/libecho.so
    -         -        -    -           -             no      yes   DIR/drop/libtext.so
      libtext.so is not a shared library: it does not begin with the ELF magic
        hint: a plugin is the `lib<name>.so` that cargo builds of a crate with crate-type = ["cdylib"]
    zoo-loud  0.1.0    A.B  loud        HASH________  no      no    DIR/names/libloud.so
      refusing plugin libloud.so: `DIR/names/libloud.so` (mode 0666, owner `OWNER`) can be written by everybody
        hint: run `chmod o-w DIR/names/libloud.so`, or accept the risk with `--allow-unsafe-plugins`
    problem: cannot find plugin `pear`: no `libpear.so` in `DIR/names`
      hint: did you mean `pair`?
    problem: cannot read plugin directory `DIR/none`: no such directory
    "#);
    insta::assert_snapshot!(list(&host, &["-c", config, "--allow-unsafe-plugins"]), @r#"
    exit 0
    NAME      VERSION  ABI  HANDLERS    HASH          VETTED  LOAD  PATH
    zoo-pair  0.1.0    A.B  left,right  HASH________  yes     yes   DIR/names/libpair.so
    zoo-echo  0.1.0    A.B  echo        HASH________  yes     yes   DIR/drop/libecho.so
    -         -        -    -           -             no      yes   DIR/drop/libtext.so
      libtext.so is not a shared library: it does not begin with the ELF magic
        hint: a plugin is the `lib<name>.so` that cargo builds of a crate with crate-type = ["cdylib"]
    zoo-loud  0.1.0    A.B  loud        HASH________  unsafe  no    DIR/names/libloud.so
      warning: loading UNSAFE plugin libloud.so, as `--allow-unsafe-plugins` says: `DIR/names/libloud.so` (mode 0666, owner `OWNER`) can be written by everybody; mend it with `chmod o-w DIR/names/libloud.so`
    problem: cannot find plugin `pear`: no `libpear.so` in `DIR/names`
      hint: did you mean `pair`?
    problem: cannot read plugin directory `DIR/none`: no such directory
    "#);
}

#[test]
fn the_document_has_hashes_toolchains_and_descriptions() {
    let host = Host::unconnected();
    let file = plugin("pair");
    let file = file.to_str().expect("a path");
    let out = host
        .run_bare(&["plugin", "list", "--json", "--plugin", file])
        .succeeded();
    let document: Value = serde_json::from_str(&out).expect("JSON");
    let [pair] = document["plugins"].as_array().expect("a list").as_slice() else {
        panic!("one plugin: {document}")
    };
    assert_eq!(pair["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(pair["handlers"][1]["name"], "right");
    assert_eq!(pair["handlers"][1]["description"], "Answers from a task");
    assert!(
        pair["toolchain"]
            .as_str()
            .is_some_and(|name| name.starts_with("rustc "))
    );
    assert_eq!(
        (&pair["vetted"], &pair["load"]),
        (&Value::from("yes"), &Value::from(true))
    );
    assert_eq!(document["problems"], Value::Array(Vec::new()));
}

#[test]
fn nothing_to_list_is_said_and_a_wrong_configuration_is_refused() {
    let host = Host::unconnected();
    insta::assert_snapshot!(list(&host, &[]), @"
    exit 0
    problem: no plugin to load
      hint: name one with `--plugin ./libmailer.so`
    ");
    let config = host.directory().write("host.toml", "[plugins]\nlod = []\n");
    insta::assert_snapshot!(list(&host, &["-c", config.to_str().expect("a path")]), @"
    exit 78
    error: DIR/host.toml:2: `plugins.lod`: unknown key; hint: did you mean `load`?
    ");
}
