use std::{fs, path::Path};

use super::*;
use crate::{
    exit::Exit,
    plugin::fixtures::{self, Plugin},
};

/// Builds `lib{name}.so` with these handlers.
#[track_caller]
fn plugin(dir: &Path, name: &str, handlers: &[&str]) -> PathBuf {
    let plugin = Plugin {
        manifest: fixtures::manifest(handlers),
        ..Plugin::default()
    };
    plugin.build(&dir.join(format!("lib{name}.so")))
}

fn directory() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = dir.path().canonicalize().expect("it exists");
    (dir, path)
}

fn paths(paths: &[&Path]) -> Request {
    Request {
        load: paths.iter().map(|path| Asked::Path((*path).to_owned())).collect(),
        ..Request::default()
    }
}

fn named(name: &str, dirs: &[&Path]) -> Request {
    Request {
        load: vec![Asked::Name(name.to_owned())],
        dirs: dirs.iter().map(|dir| (*dir).to_owned()).collect(),
        ..Request::default()
    }
}

/// The whole error text, in which the directory is called `DIR`.
#[track_caller]
fn refused(request: &Request, dir: &Path) -> String {
    let errors = stage_all(request).expect_err("something is wrong with it");
    errors.to_string().replace(&dir.display().to_string(), "DIR")
}

#[test]
fn a_slash_or_the_ending_makes_a_path_and_everything_else_is_a_name() {
    for path in ["./mailer", "/srv/libmailer.so", "libmailer.so", "dir/"] {
        assert_eq!(Asked::parse(path), Asked::Path(path.into()));
    }
    for name in ["mailer", "libmailer", "mailer.so.1", ""] {
        assert_eq!(Asked::parse(name), Asked::Name(name.to_owned()));
    }
}

#[test]
fn a_name_is_the_first_hit_along_the_directories() {
    let (_dir, dir) = directory();
    let (first, second) = (dir.join("first"), dir.join("second"));
    fs::create_dir_all(&first).expect("the directory is ours");
    fs::create_dir_all(&second).expect("the directory is ours");
    let expected = plugin(&second, "mailer", &["mailer"]);
    let request = named("mailer", &[&dir.join("missing"), &first, &second]);
    assert_eq!(resolve(&request).expect("there is one"), [expected]);

    fs::write(first.join("libmailer.so"), "broken").expect("the directory is ours");
    let error = refused(&request, &dir);
    assert!(
        error.starts_with("libmailer.so is not a shared library"),
        "no falling through: {error}"
    );
    fs::remove_file(first.join("libmailer.so")).expect("it was just written");
    std::os::unix::fs::symlink("nowhere", first.join("libmailer.so")).expect("the directory is ours");
    let error = refused(&request, &dir);
    assert!(
        error.starts_with("cannot open plugin `DIR/first/libmailer.so`: no such file"),
        "{error}"
    );
}

#[test]
fn a_name_that_no_directory_has_is_told_with_the_directories() {
    let (_dir, dir) = directory();
    fs::write(dir.join("libmailer.so"), "").expect("the directory is ours");
    let texts = [
        refused(&named("mialer", &[&dir, &dir.join("more")]), &dir),
        refused(&named("sms", &[&dir]), &dir),
        refused(&named("sms", &[]), &dir),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r"
    cannot find plugin `mialer`: no `libmialer.so` in `DIR`, `DIR/more`
      hint: did you mean `mailer`?
    cannot find plugin `sms`: no `libsms.so` in `DIR`
      hint: give the path of the file, or add its directory to `[plugins] dirs`
    cannot find plugin `sms`: there are no directories to search
      hint: give the path of the file, or add its directory to `[plugins] dirs`
    ");
}

#[test]
fn a_drop_in_directory_gives_every_library_in_the_order_of_names() {
    let (_dir, dir) = directory();
    for name in ["libb.so", "liba.so", ".libhidden.so", "libc.so.1", "notes.txt"] {
        fs::write(dir.join(name), "").expect("the directory is ours");
    }
    let request = Request {
        drop_in: vec![dir.clone()],
        ..Request::default()
    };
    let found = resolve(&request).expect("it can be read");
    assert_eq!(found, [dir.join("liba.so"), dir.join("libb.so")]);
}

#[test]
fn a_request_for_nothing_and_a_missing_directory_are_errors() {
    let (_dir, dir) = directory();
    let from = |drop_in: &[PathBuf]| Request {
        drop_in: drop_in.to_vec(),
        ..Request::default()
    };
    let texts = [
        refused(&from(&[]), &dir),
        refused(&from(std::slice::from_ref(&dir)), &dir),
        refused(&from(&[dir.join("missing")]), &dir),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r"
    no plugin to load
      hint: name one with `--plugin ./libmailer.so`
    no plugin to load: no `*.so` in `DIR`
      hint: name one with `--plugin ./libmailer.so`
    cannot read plugin directory `DIR/missing`: no such directory
    ");
}

#[test]
fn all_broken_plugins_of_a_request_are_reported_at_once() {
    let (_dir, dir) = directory();
    plugin(&dir, "good", &["good"]);
    fixtures::library(&dir.join("libother.so"), "int answer(void) { return 42; }");
    fs::write(dir.join("libtext.so"), "text").expect("the directory is ours");
    let request = Request {
        drop_in: vec![dir.clone()],
        ..Request::default()
    };
    insta::assert_snapshot!(refused(&request, &dir), @r#"
    libother.so is a shared library but not an asynccall plugin: symbol `asynccall_plugin` not found
      hint: does the crate call plugin_api::export_plugin! and have crate-type = ["cdylib"]? in C, ASYNCCALL_PLUGIN of `asynccall_plugin.h` writes it
    libtext.so is not a shared library: it does not begin with the ELF magic
      hint: a plugin is the `lib<name>.so` that cargo builds of a crate with crate-type = ["cdylib"]
    "#);
}

#[test]
fn a_directory_that_many_plugins_share_is_blamed_once() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, dir) = directory();
    let shared = dir.join("shared");
    fs::create_dir(&shared).expect("the directory is ours");
    plugin(&shared, "a", &["a"]);
    plugin(&shared, "b", &["b"]);
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let mut request = Request {
        drop_in: vec![shared],
        ..Request::default()
    };
    let errors = stage_all(&request).expect_err("everybody can write there");
    assert_eq!(errors.errors().len(), 1, "{errors}");
    request.policy.allow_unsafe = true;
    let catalog = stage_all(&request).expect("the risk is accepted");
    assert_eq!((catalog.plugins.len(), catalog.warnings.len()), (2, 1));
}

#[test]
fn a_file_that_is_asked_for_in_several_ways_is_staged_once() {
    let (_dir, dir) = directory();
    let path = plugin(&dir, "mailer", &["mailer"]);
    let link = dir.join("mailer-current");
    std::os::unix::fs::symlink(&path, &link).expect("the directory is ours");
    let request = Request {
        drop_in: vec![dir.clone()],
        ..paths(&[&path, &link, &dir.join("./libmailer.so")])
    };
    let catalog = stage_all(&request).expect("it is one plugin");
    assert_eq!(catalog.references().len(), 1);
    assert_eq!(catalog.handlers.names().collect::<Vec<_>>(), ["mailer"]);
}

#[test]
fn a_handler_in_two_plugins_is_an_error_that_names_both_files() {
    let (_dir, dir) = directory();
    let first = plugin(&dir, "mailer", &["mailer", "sms"]);
    let second = plugin(&dir, "texts", &["sms"]);
    insta::assert_snapshot!(refused(&paths(&[&first, &second]), &dir), @r"
    handler `sms` is in two plugins: `DIR/libmailer.so` and `DIR/libtexts.so`
      hint: load only one of the two
    ");
}

#[test]
fn two_plugins_with_one_handler_are_a_wrong_configuration_unless_a_file_is_unusable() {
    let (_dir, dir) = directory();
    let first = plugin(&dir, "mailer", &["mailer", "sms"]);
    let second = plugin(&dir, "texts", &["sms"]);
    let missing = dir.join("libgone.so");
    for (request, exit) in [
        (paths(&[&first, &second]), Exit::Config),
        (paths(&[&first, &second, &missing]), Exit::NoInput),
    ] {
        assert_eq!(stage_all(&request).expect_err("it is refused").exit(), exit);
    }
}

#[test]
fn a_pool_without_a_handler_gets_the_only_one_and_a_wrong_name_is_told_what_there_is() {
    let (_dir, dir) = directory();
    let one = plugin(&dir, "echo", &["echo"]);
    let two = plugin(&dir, "mailer", &["mailer", "sms"]);
    let catalog = stage_all(&paths(&[&one])).expect("it is a plugin");
    assert_eq!(catalog.handlers.choose(None).ok(), Some("echo"));
    let single = catalog
        .handlers
        .choose(Some("sms"))
        .expect_err("it is not loaded");

    let catalog = stage_all(&paths(&[&one, &two])).expect("their handlers differ");
    assert_eq!(catalog.handlers.choose(Some("sms")).ok(), Some("sms"));
    let provider = catalog.handlers.plugin("sms").map(|info| info.path.clone());
    assert_eq!(provider, Some(two));
    let texts = [
        single.full(),
        catalog
            .handlers
            .choose(Some("mialer"))
            .expect_err("a slip")
            .full(),
        catalog
            .handlers
            .choose(Some("model"))
            .expect_err("it is not loaded")
            .full(),
        catalog.handlers.choose(None).expect_err("there are three").full(),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r"
    no plugin has a handler `sms`; there is `echo`
    no plugin has a handler `mialer`; there are `echo`, `mailer`, `sms`
      hint: did you mean `mailer`?
    no plugin has a handler `model`; there are `echo`, `mailer`, `sms`
    no handler is chosen; there are `echo`, `mailer`, `sms`
      hint: choose one with `--handler NAME`, or with `handler` in the file's `[[pool]]`
    ");
}

#[test]
fn a_worker_creates_a_handler_of_the_plugin_that_has_it_and_no_other() {
    let (_dir, dir) = directory();
    let files = [plugin(&dir, "one", &["other"]), plugin(&dir, "two", &["stub"])];
    let catalog = stage_all(&paths(&[&files[0], &files[1]])).expect("their handlers differ");
    let infos = catalog.references().into_iter().map(|reference| reference.info);
    let registry = Registry {
        libraries: infos.map(Library::in_process).collect(),
        handlers: catalog.handlers,
    };
    let handler = registry
        .create("stub", &serde_json::json!({}))
        .expect("a plugin has it");
    assert_eq!(handler.plugin().path, files[1]);
    let error = registry
        .create("sub", &serde_json::json!({}))
        .expect_err("none has it");
    insta::assert_snapshot!(error.full(), @r"
    no plugin has a handler `sub`; there are `other`, `stub`
      hint: did you mean `stub`?
    ");
    assert_eq!(registry.plugins().count(), 2);
}
