//! `plugin lock`, and a daemon that loads only what the lock file has.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use crate::support::{
    Beanstalkd, Daemon, Ended, Host, own_name, plugin,
    plugins::{library, other_echo},
};

/// What the daemons of these tests are told, beside their plugin.
const CONFIG: &str = "[plugins]\nload = [\"./libecho.so\"]\nrequire_sha256 = true\n";

/// A host with a copy of `echo` of its own, which it loads only as it is in its lock file.
#[track_caller]
fn requiring(host: Host) -> Host {
    host.directory().copy(&plugin("echo"));
    host.tube("t").config(CONFIG)
}

/// Agrees to the plugins as they are.
#[track_caller]
fn lock(host: &Host) -> String {
    let config = host.path("host.toml");
    let config = config.to_str().expect("a path");
    without_hashes(host.run_bare(&["plugin", "lock", "-c", config]))
}

/// What the search path holds.
#[track_caller]
fn list(host: &Host) -> String {
    let config = host.path("host.toml");
    let words = ["plugin", "list", "-c", config.to_str().expect("a path")];
    host.run_bare(&words).succeeded()
}

/// Puts the other build in the place of `echo`.
fn install_other(host: &Host) {
    let new = host
        .directory()
        .write("new", fs::read(other_echo()).expect("the other build"));
    fs::rename(new, host.path(&library("echo"))).expect("the file is put in place");
}

/// What a run told, each hash under a name of its own, in the order in which they come.
fn without_hashes(ended: Ended) -> String {
    let mut text = ended.to_string().replace(&format!("`{}`", own_name()), "`OWNER`");
    let is_hash = |word: &&str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    for name in ["HASH1", "HASH2"] {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let Some(hash) = words.clone().find(is_hash).map(str::to_owned) else {
            break;
        };
        text = text.replace(&hash, name);
    }
    text
}

#[track_caller]
fn wait_for_other_build(daemon: &Daemon, queue: &Beanstalkd, generation: u64) {
    daemon.wait_for_status("the other build serves", |status| {
        status["generation"] == generation
    });
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    daemon.wait_for_line(&[&format!("job={job}"), "tag=other"]);
}

#[test]
fn only_what_was_locked_starts() {
    let host = requiring(Host::unconnected());
    insta::assert_snapshot!(without_hashes(host.run(&["check"])), @"
    exit 66
    error: cannot read lock file `DIR/plugins.lock`: no such file
      hint: `asynccall-host plugin lock` writes it, for the plugins as they are
    ");
    let listed = list(&host);
    let refused = " no      yes   DIR/libecho.so\n  refusing plugin libecho.so: lock file `DIR/plugins.lock` cannot be used\n";
    assert!(listed.contains(refused), "{listed}");
    insta::assert_snapshot!(lock(&host), @"
    exit 0
    new libecho.so: zoo-echo 0.1.0, sha256 HASH1
    wrote `DIR/plugins.lock`, plugins: 1
    ");
    let checked = host.run(&["check"]).succeeded();
    assert!(checked.ends_with("ok\n"), "{checked}");

    install_other(&host);
    insta::assert_snapshot!(without_hashes(host.run(&["run"])), @"
    exit 66
    error: refusing plugin libecho.so: `DIR/libecho.so` has sha256 HASH1, lock file `DIR/plugins.lock` wants HASH2
      hint: if `DIR/libecho.so` is what it should be, agree to it with `asynccall-host plugin lock`
    ");
    let listed = list(&host);
    assert!(
        listed.contains(" no      yes   DIR/libecho.so\n  refusing plugin libecho.so: "),
        "{listed}"
    );

    let told = lock(&host);
    insta::assert_snapshot!(told, @"
    exit 0
    new libecho.so: zoo-echo 0.1.0, sha256 HASH1
    gone libecho.so: zoo-echo 0.1.0, sha256 HASH2
    wrote `DIR/plugins.lock`, plugins: 1
    ");
    host.run(&["check"]).succeeded();
    host.directory().copy(&plugin("loud"));
    let beside = host.flag("--plugin-dir=.");
    let root = beside.directory().root().to_owned();
    insta::assert_snapshot!(without_hashes(beside.working_directory(root).run(&["check"])), @"
    exit 66
    error: refusing plugin libloud.so: `DIR/libloud.so` (sha256 HASH1) is not in lock file `DIR/plugins.lock`
      hint: if `DIR/libloud.so` is what it should be, agree to it with `asynccall-host plugin lock`
    ");
}

#[test]
fn a_reload_and_a_restart_load_only_what_was_locked() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = requiring(Host::new(&queue));
    lock(&host);
    let daemon = host.start();
    install_other(daemon.host());
    for command in [["reload", "--wait"].as_slice(), &["restart"]] {
        let refused = daemon.run(command);
        assert_eq!(refused.code, Some(66), "{refused}");
        assert!(
            refused.err.contains("has sha256 ") && refused.err.contains("plugins.lock` wants "),
            "{refused}"
        );
    }
    assert_eq!(daemon.status()["generation"], 1);
    lock(daemon.host());
    daemon.run(&["reload", "--wait"]).succeeded();
    wait_for_other_build(&daemon, &queue, 2);
}

#[test]
fn a_daemon_that_watches_loads_a_plugin_as_soon_as_it_is_locked() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = requiring(Host::new(&queue)).flag("--watch");
    lock(&host);
    let daemon = host.start();
    daemon.wait_for_line(&["the plugins are as they were"]);
    install_other(daemon.host());
    daemon.wait_for_line(&["the plugins have changed, but cannot be loaded", "has sha256 "]);
    assert_eq!(daemon.status()["generation"], 1);
    lock(daemon.host());
    wait_for_other_build(&daemon, &queue, 2);
}

#[test]
fn a_lock_that_others_could_have_changed_refuses_everything() {
    let host = requiring(Host::unconnected());
    lock(&host);
    let open = Permissions::from_mode(0o666);
    fs::set_permissions(host.path("plugins.lock"), open).expect("it is ours");
    insta::assert_snapshot!(without_hashes(host.run(&["check"])), @"
    exit 66
    error: refusing lock file plugins.lock: `DIR/plugins.lock` (mode 0666, owner `OWNER`) can be written by everybody
      hint: run `chmod o-w DIR/plugins.lock`, or accept the risk with `--allow-unsafe-plugins`
    ");
    let allowed = host.run(&["check", "--allow-unsafe-plugins"]).succeeded();
    assert!(
        allowed.starts_with("warning: believing UNSAFE lock file plugins.lock"),
        "{allowed}"
    );
}

#[test]
fn what_others_could_have_changed_is_not_agreed_to() {
    let host = requiring(Host::unconnected());
    let open = Permissions::from_mode(0o666);
    fs::set_permissions(host.path(&library("echo")), open).expect("it is ours");
    insta::assert_snapshot!(lock(&host), @"
    exit 66
    error: refusing plugin libecho.so: `DIR/libecho.so` (mode 0666, owner `OWNER`) can be written by everybody
      hint: run `chmod o-w DIR/libecho.so`, or accept the risk with `--allow-unsafe-plugins`
    ");
    assert!(!host.path("plugins.lock").exists());
}

#[test]
fn a_lock_file_needs_a_place() {
    let host = Host::unconnected().plugin("echo");
    insta::assert_snapshot!(host.run(&["check", "--require-sha256"]), @"
    exit 64
    error: `--require-sha256`: found nothing, wanted a lock file, as there is no configuration file that it could lie beside; hint: `--plugins-lock FILE`
    ");
    let echo = plugin("echo");
    let echo = echo.to_str().expect("a path");
    insta::assert_snapshot!(host.run_bare(&["plugin", "lock", "--plugin", echo]), @"
    exit 64
    error: found no place for the lock file, wanted `--plugins-lock FILE`, or a configuration file beside which it lies
    ");
    let lock = host.path("my.lock");
    let lock = lock.to_str().expect("a path");
    host.run_bare(&["plugin", "lock", "--plugin", echo, "--plugins-lock", lock])
        .succeeded();
    host.run(&["check", "--require-sha256", "--plugins-lock", lock])
        .succeeded();
}

#[test]
fn a_file_that_is_no_lock_is_not_overwritten() {
    let host = requiring(Host::unconnected());
    let file = host.path("plugins.lock");
    for text in ["[plugins]\nload = []\n", "no TOML"] {
        fs::write(&file, text).expect("the directory is ours");
        let refused = lock(&host);
        assert!(
            refused.starts_with("exit 66\nerror: cannot use lock file `DIR/plugins.lock`: "),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
    }
    fs::remove_file(&file).expect("it is ours");
    lock(&host);
    let whole = fs::read_to_string(&file).expect("it is written");
    // What somebody broke by hand is a lock still, and nobody's notes.
    fs::write(&file, whole.replace("sha256 = ", "sha = ")).expect("it is ours");
    assert!(lock(&host).starts_with("exit 0\n"));
    assert_eq!(fs::read_to_string(&file).expect("it is there"), whole);
}
