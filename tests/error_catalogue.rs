//! The whole catalogue of what a daemon says of plugins that it cannot use, and that it outlives every one of them.
//!
//! Each misuse is tried twice: by a start, which ends with the text, and by the reload of a daemon that serves, which is
//! refused with the same text, keeps its master and its workers, and goes on doing jobs.

#[allow(dead_code, reason = "the unit tests of the host need more of it")]
#[path = "../host/src/plugin/fixtures.rs"]
mod fixtures;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use fixtures::Plugin;

use crate::{
    reload::refused,
    support::{Beanstalkd, Directory, Host, own_name, plugin},
};

/// A file with one pool that loads these plugins, and more keys of `[plugins]` or tables behind.
fn loading(files: &[&Path], more: &str) -> String {
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    format!("[[pool]]\nname = \"p\"\ntubes = [\"t\"]\n[plugins]\nload = {files:?}\n{more}")
}

/// The same file, whose pool has chosen a handler.
fn choosing(handler: &str, config: &str) -> String {
    config.replace(
        "name = \"p\"\n",
        &format!("name = \"p\"\nhandler = \"{handler}\"\n"),
    )
}

/// Hashes differ from build to build.
fn without_hashes(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_at_checked(64) {
        Some((hash, rest)) if hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => format!("HASH{rest}"),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What a start and a reload say of this misuse, which `prepare` makes in a directory and describes in a file.
#[track_caller]
fn told(queue: &Beanstalkd, prepare: impl Fn(&Directory) -> String) -> String {
    let host = Host::new(queue).log_level("off");
    let config = prepare(host.directory());
    let started = host.config(&config).run(&["run"]).to_string();

    let echo = plugin("echo");
    let daemon = Host::new(queue).workers(2).config(&loading(&[&echo], "")).start();
    let config = prepare(daemon.host().directory());
    daemon.host().directory().write("host.toml", config);
    let workers = daemon.workers();
    let reloaded = refused(&daemon, queue);
    assert_eq!(daemon.workers(), workers, "the old workers go on");
    assert_eq!(started, reloaded, "a start and a reload say the same");
    started.replace(&format!("`{}`", own_name()), "`OWNER`")
}

/// The same of a small plugin in C.
#[track_caller]
fn told_of(queue: &Beanstalkd, plugin: &Plugin) -> String {
    told(queue, |directory| {
        loading(&[&plugin.build(&directory.path("libstub.so"))], "")
    })
}

/// The same of a handler of the zoo that is not made.
#[track_caller]
fn told_of_stillborn(queue: &Beanstalkd, config: &str) -> String {
    let more = format!("[daemon]\nstart_timeout = 2\n[handler.stillborn]\n{config}");
    told(queue, |_| loading(&[&plugin("stillborn")], &more))
}

#[test]
fn a_file_that_is_no_plugin_is_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let text = told(&queue, |directory| {
        loading(&[&directory.write("libtext.so", "just text")], "")
    });
    insta::assert_snapshot!(text, @r#"
    exit 66
    error: libtext.so is not a shared library: it does not begin with the ELF magic
      hint: a plugin is the `lib<name>.so` that cargo builds of a crate with crate-type = ["cdylib"]
    "#);
    let symbol = told(&queue, |directory| {
        let path = directory.path("libplain.so");
        loading(
            &[&fixtures::library(&path, "int answer(void) { return 42; }")],
            "",
        )
    });
    insta::assert_snapshot!(symbol, @r#"
    exit 66
    error: libplain.so is a shared library but not an asynccall plugin: symbol `asynccall_plugin` not found
      hint: does the crate call plugin_api::export_plugin! and have crate-type = ["cdylib"]? in C, ASYNCCALL_PLUGIN of `asynccall_plugin.h` writes it
    "#);
}

#[test]
fn a_descriptor_of_another_magic_major_or_kind_is_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let magic = Plugin {
        magic: "ELEPHANT",
        ..Plugin::default()
    };
    insta::assert_snapshot!(told_of(&queue, &magic), @r#"
    exit 66
    error: libstub.so is not a usable plugin: its symbol `asynccall_plugin` does not begin with the plugin magic
      hint: rebuild the plugin with `asynccall-plugin-api = "1"`, one in C with what `asynccall-host plugin header` prints
    "#);
    let newer = Plugin {
        abi: (2, 0),
        ..Plugin::default()
    };
    insta::assert_snapshot!(told_of(&queue, &newer), @r#"
    exit 66
    error: libstub.so was built for plugin-abi 2.0, this host speaks plugin-abi 1.2
      hint: rebuild the plugin with `asynccall-plugin-api = "1"`, one in C with what `asynccall-host plugin header` prints
    "#);
    let kind = Plugin {
        kind: 9,
        ..Plugin::default()
    };
    insta::assert_snapshot!(told_of(&queue, &kind), @r#"
    exit 66
    error: libstub.so is not a usable plugin: it is a plugin of kind 9, this host knows the kinds 1 and 2
      hint: rebuild the plugin with `asynccall-plugin-api = "1"`, one in C with what `asynccall-host plugin header` prints
    "#);
}

#[test]
fn a_library_of_another_layout_is_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    insta::assert_snapshot!(told_of(&queue, &Plugin::default()), @r#"
    exit 1
    error: cannot load libstub.so: its types differ from this host's although the versions agree: its entry gave no library header
      hint: rebuild the plugin with `asynccall-plugin-api = "1"`, one in C with what `asynccall-host plugin header` prints
    "#);
}

#[test]
fn a_manifest_that_is_missing_or_says_something_else_is_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let without = Plugin {
        manifest: String::new(),
        ..Plugin::default()
    };
    insta::assert_snapshot!(told_of(&queue, &without), @r#"
    exit 66
    error: libstub.so is not a usable plugin: it has `asynccall_plugin`, but symbol `asynccall_manifest` was not found
      hint: does the crate call plugin_api::export_plugin! and have crate-type = ["cdylib"]? in C, ASYNCCALL_PLUGIN of `asynccall_plugin.h` writes it
    "#);
    let other = Plugin {
        manifest: fixtures::manifest(&["stub"]).replace("0.1.0", "0.2.0"),
        ..Plugin::default()
    };
    insta::assert_snapshot!(told_of(&queue, &other), @r#"
    exit 1
    error: cannot load libstub.so: its types differ from this host's although the versions agree: its descriptor says `stub 0.1.0`, its manifest says `stub 0.2.0`
      hint: rebuild the plugin with `asynccall-plugin-api = "1"`, one in C with what `asynccall-host plugin header` prints
    "#);
}

#[test]
fn an_undefined_symbol_is_found_when_the_plugin_is_loaded() {
    let Some(queue) = Beanstalkd::start() else { return };
    let undefined = Plugin {
        extra: "void missing_function(void); void use(void) { missing_function(); }".to_owned(),
        ..Plugin::default()
    };
    insta::assert_snapshot!(told_of(&queue, &undefined), @r"
    exit 1
    error: cannot load libstub.so: undefined symbol: missing_function
      hint: link it with the library that has the symbol; `ldd -r DIR/libstub.so` lists what is missing
    ");
}

#[test]
fn a_constructor_that_crashes_or_exits_ends_only_its_worker() {
    let Some(queue) = Beanstalkd::start() else { return };
    let crashing = Plugin {
        extra: "__attribute__((constructor)) static void run(void) { *(volatile int *)1 = 0; }".to_owned(),
        ..Plugin::default()
    };
    insta::assert_snapshot!(told_of(&queue, &crashing), @r"
    exit 1
    error: the worker ended before it was ready: SIGSEGV
    ");
    let leaving = Plugin {
        extra: "void _exit(int); __attribute__((constructor)) static void run(void) { _exit(0); }".to_owned(),
        ..Plugin::default()
    };
    insta::assert_snapshot!(told_of(&queue, &leaving), @r"
    exit 1
    error: the worker ended before it was ready: exit code 0
    ");
}

#[test]
fn handlers_that_are_there_twice_or_not_at_all_are_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let twice = told(&queue, |directory| {
        let second = directory.path("libsecond.so");
        fs::copy(plugin("echo"), &second).expect("a copy");
        loading(&[&plugin("echo"), &second], "")
    });
    insta::assert_snapshot!(twice, @r"
    exit 78
    error: handler `echo` is in two plugins: `PLUGINS/libecho.so` and `DIR/libsecond.so`
      hint: load only one of the two
    ");
    let missing = told(&queue, |_| choosing("ecko", &loading(&[&plugin("echo")], "")));
    insta::assert_snapshot!(missing, @r"
    exit 78
    error: pool `p`: no plugin has a handler `ecko`; there is `echo`
      hint: did you mean `echo`?
    ");
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_by_the_name_of_its_key() {
    let Some(queue) = Beanstalkd::start() else { return };
    insta::assert_snapshot!(told_of_stillborn(&queue, "hwo = \"refuse\"\n"), @r"
    exit 1
    error: cannot configure handler `stillborn`: unknown field `hwo`, expected `how` or `when`
    ");
    insta::assert_snapshot!(told_of_stillborn(&queue, "how = \"refused\"\n"), @r"
    exit 1
    error: cannot configure handler `stillborn`: unknown variant `refused`, expected one of `refuse`, `panic`, `abort`, `exit`, `hang` (at `how`)
    ");
}

#[test]
fn a_handler_that_refuses_panics_crashes_or_hangs_while_it_is_made_does_not_start() {
    let Some(queue) = Beanstalkd::start() else { return };
    insta::assert_snapshot!(told_of_stillborn(&queue, "how = \"refuse\"\n"), @r"
    exit 1
    error: cannot create handler `stillborn`: there is no database
    ");
    insta::assert_snapshot!(told_of_stillborn(&queue, "how = \"panic\"\n"), @r"
    exit 1
    error: handler `stillborn` of libstillborn.so panicked when it was created: panicked at plugins/zoo/stillborn/src/lib.rs:40: the constructor gave up
    ");
    insta::assert_snapshot!(told_of_stillborn(&queue, "how = \"abort\"\n"), @r"
    exit 1
    error: the worker ended before it was ready: SIGABRT
      its last line: last words before the abort
    ");
    insta::assert_snapshot!(told_of_stillborn(&queue, "how = \"exit\"\n"), @r"
    exit 1
    error: the worker ended before it was ready: exit code 0
    ");
    insta::assert_snapshot!(told_of_stillborn(&queue, "how = \"hang\"\n"), @r"
    exit 1
    error: the worker was not ready within 2 s
      hint: what its handler does in `new` or `self_check` takes too long, or raise --start-timeout
    ");
    let landmine = told(&queue, |_| {
        loading(&[&plugin("landmine")], "[handler.landmine]\nat = \"new\"\n")
    });
    insta::assert_snapshot!(landmine, @r"
    exit 1
    error: the worker ended before it was ready: SIGSEGV
    ");
}

#[test]
fn a_file_that_others_may_change_is_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let writable = told(&queue, |directory| {
        let file = directory.copy(&plugin("echo"));
        fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("it is ours");
        loading(&[&file], "")
    });
    insta::assert_snapshot!(writable, @r"
    exit 66
    error: refusing plugin libecho.so: `DIR/libecho.so` (mode 0666, owner `OWNER`) can be written by everybody
      hint: run `chmod o-w DIR/libecho.so`, or accept the risk with `--allow-unsafe-plugins`
    ");
}

#[test]
fn a_file_that_the_lock_does_not_have_or_has_with_another_hash_is_refused() {
    let Some(queue) = Beanstalkd::start() else { return };
    let locked = |entry: &str| {
        let text = told(&queue, |directory| {
            let lock = directory.write("plugins.lock", format!("version = 1\n{entry}"));
            let more = format!("require_sha256 = true\nlock = \"{}\"\n", lock.display());
            loading(&[&directory.copy(&plugin("echo"))], &more)
        });
        without_hashes(&text)
    };
    insta::assert_snapshot!(locked(""), @r"
    exit 66
    error: refusing plugin libecho.so: `DIR/libecho.so` (sha256 HASH) is not in lock file `DIR/plugins.lock`
      hint: if `DIR/libecho.so` is what it should be, agree to it with `asynccall-host plugin lock`
    ");
    let entry = format!(
        "[[plugin]]\nfile = \"libecho.so\"\nname = \"zoo-echo\"\nversion = \"0.1.0\"\nsha256 = \"{}\"\n",
        "0".repeat(64)
    );
    insta::assert_snapshot!(locked(&entry), @r"
    exit 66
    error: refusing plugin libecho.so: `DIR/libecho.so` has sha256 HASH, lock file `DIR/plugins.lock` wants HASH
      hint: if `DIR/libecho.so` is what it should be, agree to it with `asynccall-host plugin lock`
    ");
}
