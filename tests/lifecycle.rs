//! Start and stop; the pid file and the control socket.

use std::{
    fs,
    io::{Read, Write},
    net::Shutdown,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixStream,
    },
    path::Path,
    thread,
};

use nix::fcntl::{Flock, FlockArg};

use crate::support::{Beanstalkd, Directory, Host, processes};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o7777
}

#[test]
fn two_daemons_with_two_pid_files_run_beside_each_other() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut first = Host::new(&queue).plugin("echo").tube("a").start();
    let second = Host::new(&queue).plugin("echo").tube("b").start();
    for tube in ["a", "b"] {
        let job = queue.put(tube, "1");
        queue.wait_until_gone(job);
    }
    first.run(&["stop"]).succeeded();
    assert_eq!(first.wait_for_end(), Some(0));
    let job = queue.put("b", "1");
    queue.wait_until_gone(job);
    assert_eq!(
        (second.total("done"), second.status()["pid"].as_u64()),
        (2, Some(second.pid().into()))
    );
}

#[test]
fn a_second_start_on_a_pid_file_says_who_holds_it() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    for command in ["run", "start"] {
        let log = daemon.host().log_file().display().to_string();
        let said = daemon.host().run(&[command, "--log-path", &log]).failed(75);
        let said = said.replace(&format!("pid {}", daemon.pid()), "pid PID");
        insta::allow_duplicates! { insta::assert_snapshot!(said, @r"
        error: pid file `DIR/host.pid` is held by the running daemon with pid PID
          hint: stop it first, or give this one another --pid-file
        ") }
    }
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn of_two_starts_at_the_same_moment_one_wins() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--daemonize");
    let daemon = host.in_background();
    let mut codes = thread::scope(|scope| {
        let rivals = [0, 1].map(|_| scope.spawn(|| daemon.host().run(&["run"]).code));
        rivals.map(|rival| rival.join().expect("it runs"))
    });
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(75)]);
    assert_eq!(daemon.status()["generation"], 1);
}

#[test]
fn start_returns_when_the_daemon_serves_and_prints_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").workers(2);
    let (ended, mut daemon) = host.start_in_background();
    assert_eq!(ended.to_string(), "exit 0\n");
    assert_eq!(daemon.status()["generation"], 1, "a generation serves by then");
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    assert_eq!(mode(daemon.host().held()), 0o600);
    let text = fs::read_to_string(daemon.host().held()).expect("the pid file");
    assert_eq!(
        text,
        daemon.pid().to_string(),
        "the pid and nothing else, as the PHP library has it"
    );
    let master = daemon.pid();
    daemon.run(&["stop"]).succeeded();
    daemon.wait_for_end();
    assert!(!processes::lives(master) && !daemon.host().held().exists());
}

#[test]
fn daemonize_is_another_word_for_start() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").flag("--daemonize");
    let (ended, daemon) = host.run_in_background(&[]);
    assert_eq!(ended.to_string(), "exit 0\n");
    assert_eq!(daemon.status()["generation"], 1);
}

#[test]
fn a_daemon_in_the_background_has_left_its_terminal_and_directory() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (_, daemon) = Host::new(&queue).plugin("echo").tube("t").start_in_background();
    let process = Path::new("/proc").join(daemon.pid().to_string());
    for stream in ["fd/0", "fd/1", "fd/2"] {
        let leads_to = fs::read_link(process.join(stream)).expect("it is open");
        assert_eq!(leads_to, Path::new("/dev/null"));
    }
    assert_eq!(
        fs::read_link(process.join("cwd")).expect("a directory"),
        Path::new("/")
    );
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing_behind() {
    let stillborn = |how: &str| {
        let config = format!("[handler.stillborn]\nhow = \"{how}\"\n");
        let host = Host::unconnected().plugin("stillborn").config(&config);
        let (ended, daemon) = host.start_in_background();
        assert!(!daemon.host().held().exists(), "the pid file is gone");
        let foreground = daemon.host().run(&["run"]);
        assert_eq!(foreground.code, ended.code);
        assert!(
            foreground.err.ends_with(&ended.err) || ended.err.contains("log"),
            "{foreground}"
        );
        ended.to_string()
    };
    insta::assert_snapshot!(stillborn("refuse"), @r"
    exit 1
    error: cannot create handler `stillborn`: there is no database
    ");
    insta::assert_snapshot!(stillborn("abort"), @r"
    exit 1
    error: the worker ended before it was ready: SIGABRT
      its last line: last words before the abort
    ");
    let host = Host::unconnected().load("/nowhere/libecho.so");
    let (ended, _) = host.start_in_background();
    insta::assert_snapshot!(ended, @r"
    exit 66
    error: cannot open plugin `/nowhere/libecho.so`: no such file
      hint: cargo leaves a plugin in `target/release/`, as `lib<name>.so`
    ");
}

#[test]
fn commands_to_a_daemon_that_does_not_run_say_so() {
    let host = Host::unconnected();
    let pid_file = host.held().display().to_string();
    for command in ["stop", "status", "restart", "reload"] {
        let said = host.run_bare(&[command, "--pid-file", &pid_file]);
        insta::allow_duplicates! { insta::assert_snapshot!(said, @r"
        exit 3
        error: no daemon runs with pid file `DIR/host.pid`: there is no such file
        ") }
    }
}

#[test]
fn a_pid_file_that_nobody_holds_is_neither_believed_nor_in_the_way() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t");
    // Our own pid: believing it would end this test.
    let stale = host.directory().write("host.pid", std::process::id().to_string());
    let said = host.run_bare(&["stop", "--pid-file", stale.to_str().expect("a path")]);
    insta::assert_snapshot!(said, @r"
    exit 3
    error: no daemon runs with pid file `DIR/host.pid`: it is not locked, so whoever wrote it is gone
    ");
    assert!(stale.exists());
    let daemon = host.start();
    assert_eq!(daemon.status()["generation"], 1);
}

#[test]
fn a_pid_file_of_another_user_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        return crate::support::skip("only root can give a file away");
    }
    let host = Host::unconnected();
    let file = host.directory().write("host.pid", std::process::id().to_string());
    chown(&file, Some(12345), None).expect("root may do it");
    let locked = fs::File::open(&file).expect("the file");
    let _lock = Flock::lock(locked, FlockArg::LockExclusive).expect("nobody else holds it");
    let said = host.run_bare(&["stop", "--pid-file", file.to_str().expect("a path")]);
    let started = host.plugin("echo").tube("t").run(&["run"]);
    assert_eq!(started.code, Some(77), "it is not taken either: {started}");
    insta::assert_snapshot!(said, @r"
    exit 77
    error: pid file `DIR/host.pid` belongs to uid 12345, wanted uid 0
    ");
}

#[test]
fn a_locked_pid_file_without_a_pid_signals_nobody() {
    let host = Host::unconnected();
    let file = host.directory().write("host.pid", "-1");
    let locked = fs::File::open(&file).expect("the file");
    let _lock = Flock::lock(locked, FlockArg::LockExclusive).expect("nobody else holds it");
    let said = host.run_bare(&["stop", "--pid-file", file.to_str().expect("a path")]);
    insta::assert_snapshot!(said, @r"
    exit 1
    error: pid file `DIR/host.pid` is locked, but holds `-1` instead of a pid
    ");
}

#[test]
fn the_default_pid_file_is_in_the_run_time_directory() {
    let Some(queue) = Beanstalkd::start() else { return };
    let runtime = Directory::new();
    let place = runtime.path("asynccall-host/default.pid");
    let host = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .pid_file_unnamed(&place);
    let host = host.variable("XDG_RUNTIME_DIR", runtime.root());
    let daemon = host.start();
    assert!(
        daemon
            .run(&["status"])
            .succeeded()
            .contains(&format!("pid {} ", daemon.pid()))
    );
    assert_eq!(
        fs::read_to_string(&place).expect("the pid file"),
        daemon.pid().to_string()
    );
    assert_eq!(mode(&place), 0o600);
    assert_eq!(mode(place.parent().expect("a directory")), 0o700);
    daemon.run(&["stop"]).succeeded();
}

#[test]
fn a_pid_file_may_lie_deeper_than_a_socket_address_is_long() {
    let Some(queue) = Beanstalkd::start() else { return };
    let deep = Directory::new();
    let pid_file = deep.write(format!("{0}/{0}/{0}/host.pid", "d".repeat(60)), "");
    assert!(pid_file.as_os_str().len() > 180);
    let host = Host::new(&queue).plugin("echo").tube("t").pid_file(&pid_file);
    let daemon = host.start();
    daemon.run(&["reload", "--wait"]).succeeded();
    let socket = pid_file.with_extension("pid.sock");
    assert_eq!(mode(&socket), 0o600);
    daemon.run(&["stop"]).succeeded();
    assert!(!socket.exists());
}

#[test]
fn the_version_and_the_help_go_to_standard_output() {
    let host = Host::unconnected();
    assert_eq!(
        host.run_bare(&["--version"]).succeeded(),
        format!("asynccall-host {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = host.run_bare(&["--help"]).succeeded();
    for word in [
        "start",
        "stop",
        "restart",
        "reload",
        "status",
        "check",
        "payload",
        "--worker-num",
    ] {
        assert!(help.contains(word), "{word} is missing in:\n{help}");
    }
}

#[test]
fn a_command_finds_the_daemon_by_the_configuration_file_that_names_its_pid_file() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t");
    let place = host.path("named.pid");
    let config = format!("[daemon]\npid_file = \"{}\"\n", place.display());
    let mut daemon = host.config(&config).pid_file_unnamed(&place).start();
    // Whatever else is wrong in the file does not keep anyone from stopping the daemon.
    daemon
        .host()
        .directory()
        .write("host.toml", config + "nonsense = 1\n");
    daemon.run(&["stop"]).succeeded();
    assert_eq!(daemon.wait_for_end(), Some(0));
}

#[test]
fn junk_on_the_control_socket_harms_nobody() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let socket = daemon.host().path("host.pid.sock");
    let connect = || UnixStream::connect(&socket).expect("it listens");
    let long = vec![b'x'; 100_000];
    for junk in [b"\xff\xfe\n".as_slice(), b"\n", b"{}\n", b"\"end\"\n", &long] {
        let mut stream = connect();
        // The daemon may hang up before it has read everything.
        let _ = stream.write_all(junk);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.contains("not a request"), "{answer}");
    }
    let silent: Vec<UnixStream> = (0..30).map(|_| connect()).collect();
    assert_eq!(
        daemon.status()["generation"],
        1,
        "clients that say nothing are in nobody's way"
    );
    drop(silent);
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}
