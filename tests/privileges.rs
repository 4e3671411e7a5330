//! Whom a daemon becomes that root starts, and what it can still do then.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use nix::unistd::{User, geteuid};
use serde_json::json;

use crate::{
    isolation::{ALL_CLOSED, allowed, denied, isolates},
    support::{
        Beanstalkd, Daemon, Ended, Host, eventually, installed::copy_program, plugin, plugins::daemon_binary,
        skip,
    },
};

/// A user that every system has and that owns nothing of these tests.
const NAME: &str = "nobody";
/// A user and group that no system has.
const STRANGER: u32 = 3_000_001;

/// The user and its group; `None`, said aloud, where these tests cannot become it.
#[track_caller]
fn user() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        skip("only root becomes another user");
        return None;
    }
    let user = User::from_name(NAME).expect("users can be looked up");
    let user = user.expect("every system has it");
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// A daemon that becomes the user, with everything in a directory that the user can enter.
#[track_caller]
fn host(queue: &Beanstalkd) -> Host {
    with_plugin(Host::new(queue), "echo")
}

fn with_plugin(host: Host, name: &str) -> Host {
    set_mode(host.directory().root(), 0o755);
    let binary = host.path("asynccall-host");
    copy_program(daemon_binary(), &binary);
    let library = host.directory().copy(&plugin(name));
    host.binary(binary)
        .load(library)
        .tube("t")
        .flag(format!("--user={NAME}"))
}

/// A directory of that owner in the host's own.
fn directory_of(host: &Host, name: &str, owner: u32, mode: u32) -> std::path::PathBuf {
    let path = host.path(name);
    fs::create_dir(&path).expect("a new directory");
    chown(&path, Some(owner), None).expect("root may do it");
    set_mode(&path, mode);
    path
}

/// A field of proc_pid_status(5), as words.
#[track_caller]
fn ids(pid: u32, field: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process exists");
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let words = value.expect("the kernel tells it").split_whitespace();
    words.map(str::to_owned).collect()
}

/// Runs a command as another user.
#[track_caller]
fn run_as(daemon: &Daemon, uid: u32, gid: u32, words: &[&str]) -> Ended {
    let mut command: Command = daemon.command(words);
    command.uid(uid).gid(gid);
    daemon.host().run_command(command)
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::metadata(path).expect("it exists");
    (found.uid(), found.mode() & 0o7777)
}

#[test]
fn the_master_becomes_the_user_for_good_and_its_files_stay_usable() {
    let (Some((uid, gid)), Some(queue)) = (user(), Beanstalkd::start()) else {
        return;
    };
    let host = host(&queue);
    let logs = directory_of(&host, "logs", uid, 0o755);
    let log = logs.join("host.log");
    // Nobody but root makes and removes files beside the pid file.
    let mut daemon = host.flag(format!("--log-path={}", log.display())).start();
    let check_ids = |daemon: &Daemon| {
        for pid in daemon.workers().into_iter().chain([daemon.pid()]) {
            assert_eq!(ids(pid, "Uid"), vec![uid.to_string(); 4]);
            assert_eq!(ids(pid, "Gid"), vec![gid.to_string(); 4]);
            assert_eq!(ids(pid, "Groups"), [gid.to_string()]);
            assert_eq!(ids(pid, "CapEff"), ["0000000000000000"]);
        }
        eventually("the title is shown", || {
            let line = fs::read(format!("/proc/{}/cmdline", daemon.pid())).ok()?;
            line.starts_with(b"asynccall-host: master host.pid gen ")
                .then_some(())
        });
    };
    check_ids(&daemon);
    let pid_file = daemon.host().held().to_owned();
    let state = daemon.host().path("host.pid.state");
    assert_eq!(owner(&pid_file), (0, 0o640));
    assert_eq!(fs::metadata(&pid_file).expect("it exists").gid(), gid);
    assert_eq!(owner(&state), (uid, 0o700));
    assert_eq!(owner(&daemon.host().path("host.pid.sock")), (uid, 0o600));
    assert_eq!(owner(&log), (uid, 0o600));

    // As root, and as the user; nobody else.
    daemon.run(&["reload", "--wait"]).succeeded();
    run_as(&daemon, uid, gid, &["status"]).succeeded();
    insta::assert_snapshot!(run_as(&daemon, STRANGER, STRANGER, &["stop"]).failed(77), @"
    error: cannot open pid file `DIR/host.pid`: permission denied
      hint: ask as the user that the daemon runs as, or as root
    ");
    run_as(&daemon, uid, gid, &["restart"]).succeeded();
    check_ids(&daemon);

    fs::rename(&log, logs.join("host.log.1")).expect("it is rotated");
    eventually("the log is opened anew", || {
        let job = queue.put("t", "1");
        queue.wait_until_gone(job);
        log.exists().then_some(())
    });
    assert_eq!(owner(&log), (uid, 0o600));
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(
        fs::read_to_string(&pid_file).expect("the user cannot remove it"),
        "",
        "but it names nobody any more"
    );
    let again = daemon.host().run(&["check"]);
    assert_eq!(again.code, Some(0), "{again}");
}

#[test]
fn a_second_start_takes_over_what_the_first_one_left() {
    let (Some((uid, _)), Some(queue)) = (user(), Beanstalkd::start()) else {
        return;
    };
    let first = host(&queue);
    // As `/tmp`: everybody makes files, and removes their own.
    let place = directory_of(&first, "tmp", 0, 0o1777).join("host.pid");
    let mut daemon = first.pid_file(&place).start();
    assert_eq!(daemon.stop(), Some(0));
    assert!(place.exists(), "it is root's");
    let (ended, daemon) = {
        let second = host(&queue).pid_file(&place);
        second.start_in_background()
    };
    assert_eq!(ended.code, Some(0), "{ended}");
    assert_eq!(ids(daemon.pid(), "Uid"), vec![uid.to_string(); 4]);
    daemon.run(&["stop"]).succeeded();
}

#[test]
fn in_a_directory_of_the_users_own_nothing_is_left() {
    let (Some((uid, gid)), Some(queue)) = (user(), Beanstalkd::start()) else {
        return;
    };
    let host = host(&queue).flag(format!("--group={gid}"));
    let place = directory_of(&host, "run", uid, 0o755).join("host.pid");
    let mut daemon = host.pid_file(&place).start();
    daemon.run(&["restart"]).succeeded();
    assert_eq!(daemon.stop(), Some(0));
    assert!(!place.exists());
    assert!(!place.with_extension("pid.sock").exists());
}

#[test]
fn root_does_not_follow_what_the_user_has_put_in_the_way() {
    let (Some((uid, gid)), Some(queue)) = (user(), Beanstalkd::start()) else {
        return;
    };
    let host = host(&queue);
    let precious = host.directory().write("precious", "precious");
    let secret = directory_of(&host, "secret", 0, 0o700);
    let own = directory_of(&host, "run", uid, 0o755);
    let log = own.join("host.log");
    let host = host
        .pid_file(own.join("host.pid"))
        .flag(format!("--log-path={}", log.display()));
    let said = |name: &str, target: &Path| {
        let link = own.join(name);
        std::os::unix::fs::symlink(target, &link).expect("a link");
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &link,
            Some(uid.into()),
            Some(gid.into()),
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .expect("root may do it");
        let ended = host.run(&["run"]);
        fs::remove_file(&link).expect("it is there");
        assert_eq!(fs::read_to_string(&precious).expect("it exists"), "precious");
        assert_eq!(owner(&precious).0, 0);
        assert_eq!(owner(&secret).0, 0);
        ended.to_string().replace(&format!("uid {uid} "), "uid N ")
    };
    insta::assert_snapshot!(said("host.pid", &precious), @"
    exit 73
    error: cannot open pid file `DIR/run/host.pid`: Too many levels of symbolic links (os error 40)
    ");
    insta::assert_snapshot!(said("host.pid.state", &secret), @"
    exit 77
    error: directory `DIR/run/host.pid.state` must be a directory of uid N with mode 0700, found a symbolic link of uid N with mode 0777
      hint: remove it, or name a file of your own with --pid-file
    ");
    insta::assert_snapshot!(said("host.log", &precious), @"
    exit 73
    error: cannot open log file `DIR/run/host.log` as user `nobody`: Permission denied (os error 13)
    ");
}

#[test]
fn only_root_becomes_somebody_else_and_only_somebody_who_exists() {
    let Some((uid, gid)) = user() else { return };
    let host = with_plugin(Host::unconnected(), "echo");
    let mut command = host.command(&["run"]);
    command.uid(STRANGER).gid(STRANGER);
    let said = host.run_command(command).to_string();
    let said = said.replace(&format!("(uid {uid}, gid {gid})"), "(uid N, gid N)");
    insta::assert_snapshot!(said, @"
    exit 77
    error: cannot become user `nobody` (uid N, gid N): uid 3000001 and gid 3000001 started the daemon, and only root becomes somebody else
      hint: start it as root, or as that user
    ");
    let host = Host::unconnected().plugin("echo").flag("--user=no-such-user");
    for command in ["check", "run"] {
        insta::allow_duplicates! { insta::assert_snapshot!(host.run(&[command]), @"
        exit 78
        error: `daemon.user`: there is no user `no-such-user` on this system
        ") }
    }
    assert!(!host.held().exists());
}

#[test]
fn plugins_of_the_user_are_refused_unless_that_is_allowed() {
    let (Some((uid, _)), Some(queue)) = (user(), Beanstalkd::start()) else {
        return;
    };
    let host = host(&queue);
    chown(host.path("libecho.so"), Some(uid), None).expect("root may do it");
    for command in ["check", "run"] {
        insta::allow_duplicates! { insta::assert_snapshot!(host.run(&[command]).failed(66), @"
        error: refusing plugin libecho.so: `DIR/libecho.so` (mode 0755, owner `nobody`) does not belong to root
          hint: run `chown root DIR/libecho.so`, or accept the risk with `--allow-unsafe-plugins`
        ") }
    }
    assert_eq!(
        fs::read_to_string(host.held()).expect("root's"),
        "",
        "nobody has it"
    );
    let daemon = host.flag("--allow-unsafe-plugins").start();
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    drop(daemon);
}

#[test]
fn settings_that_the_user_cannot_read_are_noticed_at_the_start_and_not_at_the_first_reload() {
    let Some(_) = user() else { return };
    let host = with_plugin(Host::unconnected(), "echo").config("[handler.echo]\ntag = \"secret\"\n");
    set_mode(&host.path("host.toml"), 0o600);
    insta::assert_snapshot!(host.run(&["run"]), @"
    exit 66
    error: `--config`: cannot be read: `DIR/host.toml`: Permission denied (os error 13)
    ");
}

#[test]
fn who_is_no_root_isolates_its_workers_as_well() {
    if user().is_none() || !isolates() {
        return;
    }
    let Some(queue) = Beanstalkd::start() else { return };
    let host = with_plugin(Host::new(&queue), "prowler");
    let config = format!("[[pool]]\n[pool.isolation]\n{ALL_CLOSED}\n");
    let daemon = host.config(&config).start();
    denied(&queue, &daemon, json!({"read": "/etc/passwd"}));
    allowed(&queue, &daemon, json!({"read": "/dev/null"}));
}
