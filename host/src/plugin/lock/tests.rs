use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::plugin::fixtures;

fn info(path: &str, digit: char) -> PluginInfo {
    PluginInfo {
        path: path.into(),
        sha256: digit.to_string().repeat(64),
        manifest: serde_json::from_str(&fixtures::manifest(&["mailer"])).expect("a manifest"),
    }
}

fn directory() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let path = dir.path().canonicalize().expect("it exists");
    (dir, path)
}

/// The whole error text of a lock file with this content.
#[track_caller]
fn refused(text: &str) -> String {
    let error = Lock::parse("/etc/plugins.lock".into(), text).expect_err("something is wrong with it");
    PluginError::Lock { source: error }.full()
}

#[test]
fn a_lock_is_sorted_toml_that_reads_as_it_was_written() {
    let plugins = [
        info("/b/libmailer.so", 'b'),
        info("/a/libmailer.so", 'a'),
        info("/a/lib \"quoted\"\n.so", 'c'),
    ];
    let (_dir, dir) = directory();
    let lock = Lock::of(dir.join("plugins.lock"), &plugins);
    lock.write().expect("the directory is ours");
    let text = fs::read_to_string(dir.join("plugins.lock")).expect("it is written");
    insta::assert_snapshot!(text, @r#"
    # The plugins that may be loaded where `[plugins] require_sha256` is on, by file name and content hash.
    # Written by `asynccall-host plugin lock`.

    version = 1

    [[plugin]]
    file = """
    lib "quoted"
    .so"""
    name = "stub"
    version = "0.1.0"
    sha256 = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

    [[plugin]]
    file = "libmailer.so"
    name = "stub"
    version = "0.1.0"
    sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

    [[plugin]]
    file = "libmailer.so"
    name = "stub"
    version = "0.1.0"
    sha256 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
    "#);
    let (read, warnings) = Lock::read(&dir.join("plugins.lock"), Policy::default()).expect("it is ours");
    assert_eq!((read, warnings), (lock, Vec::new()));
}

#[test]
fn a_plugin_is_agreed_to_by_file_name_and_hash_wherever_it_lies() {
    let lock = Lock::of(
        "/etc/plugins.lock".into(),
        &[info("/a/libmailer.so", 'a'), info("/b/libmailer.so", 'b')],
    );
    for path in ["/a/libmailer.so", "/elsewhere/libmailer.so"] {
        for digit in ['a', 'b'] {
            lock.check(&info(path, digit)).expect("it was agreed to");
        }
    }
    let refused = |info| lock.check(&info).expect_err("nobody agreed to it").full();
    insta::assert_snapshot!(refused(info("/srv/it's/libmailer.so", 'c')), @r"
    refusing plugin libmailer.so: `/srv/it's/libmailer.so` has sha256 cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc, lock file `/etc/plugins.lock` wants aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa or bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
      hint: if `/srv/it's/libmailer.so` is what it should be, agree to it with `asynccall-host plugin lock`
    ");
    insta::assert_snapshot!(refused(info("/a/libother.so", 'a')), @"
    refusing plugin libother.so: `/a/libother.so` (sha256 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa) is not in lock file `/etc/plugins.lock`
      hint: if `/a/libother.so` is what it should be, agree to it with `asynccall-host plugin lock`
    ");
}

#[test]
fn what_is_no_lock_file_is_refused_with_what_was_wanted() {
    let entry = |hash: &str| {
        format!(
            "{HEADER}version = 1\n[[plugin]]\nfile = \"a\"\nname = \"a\"\nversion = \"1\"\nsha256 = \"{hash}\"\n"
        )
    };
    let own = |text: &str| format!("{HEADER}{text}");
    let texts = [
        refused(&own("version = 1\n[[plugin\n")),
        refused(&own("version = 2\n")),
        refused(&own("[[plugin]]\n")),
        refused(&own("version = 1\n[[plugin]]\nfile = \"a\"\n")),
        refused(&(entry(&"a".repeat(64)) + "sha1 = \"\"\n")),
        refused(&entry("aa")),
        refused(&entry(&"A".repeat(64))),
        refused("[plugins]\nload = []\n"),
        refused(""),
    ];
    insta::assert_snapshot!(texts.join("\n"), @"
    cannot use lock file `/etc/plugins.lock`: line 5: unclosed array table, expected `]]`
      hint: `asynccall-host plugin lock` writes it anew
    cannot use lock file `/etc/plugins.lock`: found `version = 2`, wanted 1
      hint: `asynccall-host plugin lock` writes it anew
    cannot use lock file `/etc/plugins.lock`: found no `version`, wanted 1
      hint: `asynccall-host plugin lock` writes it anew
    cannot use lock file `/etc/plugins.lock`: line 5: missing field `name`
      hint: `asynccall-host plugin lock` writes it anew
    cannot use lock file `/etc/plugins.lock`: line 10: unknown field `sha1`, expected one of `file`, `name`, `version`, `sha256`
      hint: `asynccall-host plugin lock` writes it anew
    cannot use lock file `/etc/plugins.lock`: `a` has sha256 `aa`, wanted 64 lower-case hexadecimal digits
      hint: `asynccall-host plugin lock` writes it anew
    cannot use lock file `/etc/plugins.lock`: `a` has sha256 `AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`, wanted 64 lower-case hexadecimal digits
      hint: `asynccall-host plugin lock` writes it anew
    cannot use lock file `/etc/plugins.lock`: found no `version`, wanted 1
      hint: `asynccall-host plugin lock` has not written it; name another file, or remove it if nobody needs it
    cannot use lock file `/etc/plugins.lock`: found no `version`, wanted 1
      hint: `asynccall-host plugin lock` writes it anew
    ");
}

#[test]
fn a_lock_that_others_could_have_changed_is_refused_or_warned_of() {
    let (_dir, dir) = directory();
    let path = dir.join("plugins.lock");
    Lock::of(path.clone(), &[])
        .write()
        .expect("the directory is ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    let owner = nix::unistd::User::from_uid(nix::unistd::geteuid());
    let owner = owner
        .expect("a user database")
        .expect("this user has a name")
        .name;
    let tidy = |text: String| {
        text.replace(&dir.display().to_string(), "DIR")
            .replace(&format!("`{owner}`"), "`OWNER`")
    };
    let errors = Lock::read(&path, Policy::default()).expect_err("everybody can write to it");
    insta::assert_snapshot!(tidy(errors.to_string()), @"
    refusing lock file plugins.lock: `DIR/plugins.lock` (mode 0666, owner `OWNER`) can be written by everybody
      hint: run `chmod o-w DIR/plugins.lock`, or accept the risk with `--allow-unsafe-plugins`
    ");
    let lenient = Policy {
        allow_unsafe: true,
        root_alone: false,
    };
    let (_, warnings) = Lock::read(&path, lenient).expect("it is allowed");
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(tidy(warnings.join("\n")), @"believing UNSAFE lock file plugins.lock, as `--allow-unsafe-plugins` says: `DIR/plugins.lock` (mode 0666, owner `OWNER`) can be written by everybody; mend it with `chmod o-w DIR/plugins.lock`");
}

#[test]
fn a_lock_that_is_not_there_or_no_file_is_told_as_such() {
    let (_dir, dir) = directory();
    fs::create_dir(dir.join("dir")).expect("the directory is ours");
    fs::write(dir.join("binary"), b"\xff").expect("the directory is ours");
    let texts = ["none", "dir", "binary"].map(|name| {
        let errors = Lock::read(&dir.join(name), Policy::default()).expect_err("it is no lock");
        errors.to_string().replace(&dir.display().to_string(), "DIR")
    });
    insta::assert_snapshot!(texts.join("\n"), @"
    cannot read lock file `DIR/none`: no such file
      hint: `asynccall-host plugin lock` writes it, for the plugins as they are
    cannot read lock file `DIR/dir`: it is a directory, not a regular file
    cannot read lock file `DIR/binary`: stream did not contain valid UTF-8
    ");
}

#[test]
fn writing_replaces_the_file_that_a_link_leads_to_and_leaves_nothing_beside_it() {
    let (_dir, dir) = directory();
    let (target, link) = (dir.join("real.lock"), dir.join("plugins.lock"));
    fs::write(&target, "old").expect("the directory is ours");
    symlink("real.lock", &link).expect("the directory is ours");
    Lock::of(link.clone(), &[info("/a/liba.so", 'a')])
        .write()
        .expect("the directory is ours");
    assert!(link.is_symlink());
    assert!(
        fs::read_to_string(&target)
            .expect("it is there")
            .contains("liba.so")
    );
    assert_eq!(fs::read_dir(&dir).expect("it is ours").count(), 2);
    let error = Lock::of(dir.join("none/plugins.lock"), &[])
        .write()
        .expect_err("there is no directory");
    let text = PluginError::Lock { source: error }.full();
    assert_eq!(
        text.replace(&dir.display().to_string(), "DIR"),
        "cannot write lock file `DIR/none/plugins.lock`: no such file"
    );
}
