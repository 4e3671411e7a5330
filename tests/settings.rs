//! Settings: where they come from, which one wins, and what is said about wrong ones.

use std::fs;

use crate::support::{Beanstalkd, Ended, Host};

/// `check` on a configuration that is right, without the line of the plugin.
#[track_caller]
fn pools(host: &Host) -> String {
    let text = host.run(&["check"]).succeeded();
    let lines = text.lines().filter(|line| !line.starts_with("plugin "));
    lines.collect::<Vec<_>>().join("\n")
}

/// `check` on a configuration that is wrong.
fn check(host: Host) -> Ended {
    host.run(&["check"])
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let host = || Host::unconnected().plugin("echo");
    let file = "[[pool]]\ntubes = [\"file\"]\nworker_num = 2\nslots = 3\n";
    insta::assert_snapshot!(pools(&host()), @r"
    pool default: tubes async_call_test, handler echo, workers 1, slots of each 1
    ok
    ");
    insta::assert_snapshot!(pools(&host().config(file)), @r"
    pool default: tubes file, handler echo, workers 2, slots of each 3
    ok
    ");
    let host = host()
        .config(file)
        .variable("ASYNCCALL_TUBE", "env,other")
        .variable("ASYNCCALL_WORKER_NUM", "4");
    insta::assert_snapshot!(pools(&host), @r"
    pool default: tubes env other, handler echo, workers 4, slots of each 3
    ok
    ");
    let host = host.tube("flag");
    insta::assert_snapshot!(pools(&host), @r"
    pool default: tubes flag, handler echo, workers 4, slots of each 3
    ok
    ");
}

#[test]
fn the_order_holds_for_a_running_daemon() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::unconnected()
        .plugin("echo")
        .config("workerNum = 1\nport = 1\ntube = [\"file\"]\n");
    let host = host
        .variable("ASYNCCALL_PORT", queue.port().to_string())
        .variable("ASYNCCALL_WORKER_NUM", "3");
    let daemon = host.workers(2).start();
    let job = queue.put("file", "1");
    queue.wait_until_gone(job);
    assert_eq!(daemon.workers().len(), 2);
}

#[test]
fn a_file_may_use_the_names_of_the_php_library() {
    let host = Host::unconnected();
    let log = host.path("php.log");
    let config = format!(
        "host = \"127.0.0.1\"\nport = 11300\ntube = \"mail\"\nworkerNum = 3\nreserveTimeout = 2\n\
         maxRequest = 1000\ncron = 200\ndaemonize = false\npidFile = \"{}\"\nlogPath = \"{}\"\n",
        host.held().display(),
        log.display()
    );
    let host = host.plugin("echo").config(&config);
    insta::assert_snapshot!(pools(&host), @r"
    pool default: tubes mail, handler echo, workers 3, slots of each 1
    ok
    ");
}

#[test]
fn paths_in_a_file_start_at_its_directory() {
    let host = Host::unconnected().config("[plugins]\nload = [\"./sub/libecho.so\"]\n");
    let library = fs::read(crate::support::plugin("echo")).expect("the plugin");
    host.directory().write("sub/libecho.so", library);
    let text = host.working_directory("/").run(&["check"]).succeeded();
    assert!(text.contains(" DIR/sub/libecho.so: handlers echo\n"), "{text}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let config = "wokerNum = 2\n[queue]\nport = 70000\n[daemon]\ngrace = \"long\"\nlog_format = \"xml\"\n";
    let host = Host::unconnected().plugin("echo").config(config);
    let host = host
        .variable("ASYNCCALL_SLOTS", "none")
        .flag("--reserve-timeout=-1");
    insta::assert_snapshot!(check(host), @r#"
    exit 78
    error: DIR/host.toml:1: `wokerNum`: unknown key; hint: did you mean `workerNum`?
    DIR/host.toml:3: `queue.port`: found `70000`, wanted an integer from 1 to 65535
    DIR/host.toml:5: `daemon.grace`: found `"long"`, wanted whole seconds from 0 to 86400
    DIR/host.toml:6: `daemon.log_format`: found `"xml"`, wanted `text` or `json` or `php`
    `ASYNCCALL_SLOTS`: found `"none"`, wanted an integer from 1 to 1024
    `--reserve-timeout`: found `-1`, wanted whole seconds, not negative
    "#);
}

#[test]
fn a_wrong_command_line_says_what_was_meant() {
    let host = Host::unconnected();
    insta::assert_snapshot!(host.run_bare(&["--wroker-num", "2"]), @r"
    exit 64
    error: unexpected argument '--wroker-num' found

      tip: a similar argument exists: '--worker-num'

    Usage: asynccall-host --worker-num <N>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(host.run_bare(&["halt"]), @r"
    exit 64
    error: unrecognized subcommand 'halt'

    Usage: asynccall-host [OPTIONS]
           asynccall-host <COMMAND>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(host.run_bare(&["--worker-num", "many", "--port", "0"]), @r#"
    exit 78
    error: `--port`: found `0`, wanted an integer from 1 to 65535
    `--worker-num`: found `"many"`, wanted an integer from 1 to 1024
    `plugins.load`: found nothing, wanted a plugin to load; hint: `--plugin PATH`, `--plugin-dir DIR` or `[plugins] load` in the file
    "#);
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let host = Host::unconnected().plugin("echo");
    insta::assert_snapshot!(check(host.flag("--config=/nowhere/host.toml")), @r"
    exit 66
    error: `--config`: cannot be read: `/nowhere/host.toml`: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(check(Host::unconnected().plugin("echo").config("tube = \"a\nb\"")), @r#"
    exit 78
    error: DIR/host.toml:1: invalid basic string, expected `"`
    DIR/host.toml:2: key with no value, expected `=`
    DIR/host.toml:2: invalid unquoted key, expected letters, numbers, `-`, `_`
    "#);
    let host = Host::unconnected()
        .plugin("echo")
        .flag("--handler-config=echo=/nowhere/echo.json");
    insta::assert_snapshot!(check(host), @r"
    exit 66
    error: `--handler-config`: cannot be read: `/nowhere/echo.json`: No such file or directory (os error 2)
    ");
}

#[test]
fn a_pools_flag_beside_several_pools_is_an_error() {
    let config = "[[pool]]\nname = \"a\"\n[[pool]]\nname = \"b\"\n";
    let host = Host::unconnected().plugin("echo").config(config).workers(2);
    insta::assert_snapshot!(check(host), @r"
    exit 64
    error: `--worker-num`: means the only pool, but DIR/host.toml:3 has a second one; hint: set it in the file, in its `[[pool]]`
    ");
}

#[test]
fn variables_that_kubernetes_injects_are_ignored_with_a_warning() {
    let host = Host::unconnected().plugin("echo");
    let host = host
        .variable("ASYNCCALL_PORT", "tcp://10.0.0.1:11300")
        .variable("ASYNCCALL_PORT_11300_TCP_ADDR", "10.0.0.1")
        .variable("ASYNCCALL_WORKERNUM", "2");
    insta::assert_snapshot!(pools(&host), @r"
    warning: `ASYNCCALL_PORT`: ignored: Kubernetes sets it for a service of this name; hint: `enableServiceLinks: false` in the pod keeps it away
    warning: `ASYNCCALL_PORT_11300_TCP_ADDR`: ignored: Kubernetes sets it for a service of this name
    warning: `ASYNCCALL_WORKERNUM`: ignored: no setting has this variable; hint: did you mean `ASYNCCALL_WORKER_NUM`?
    pool default: tubes async_call_test, handler echo, workers 1, slots of each 1
    ok
    ");
}

#[test]
fn check_opens_and_starts_nothing() {
    let host = Host::unconnected().plugin("echo").tube("t").flag("--port=1");
    let log = host.path("never.log");
    let host = host.flag(format!("--log-path={}", log.display()));
    host.run(&["check"]).succeeded();
    let left: Vec<_> = fs::read_dir(host.directory().root())
        .expect("a directory")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_log_file_that_cannot_be_opened_is_said_before_anything_starts() {
    let host = Host::unconnected()
        .plugin("echo")
        .flag("--log-path=/nowhere/host.log");
    insta::assert_snapshot!(host.run(&["run"]), @r"
    exit 73
    error: cannot open log file `/nowhere/host.log`: No such file or directory (os error 2)
    ");
    assert!(!host.held().exists(), "nothing is left behind");
}

#[test]
fn a_pid_file_that_cannot_be_made_is_named() {
    let host = Host::unconnected().plugin("echo").pid_file("/nowhere/host.pid");
    insta::assert_snapshot!(host.run(&["run"]), @r"
    exit 73
    error: cannot open pid file `/nowhere/host.pid`: No such file or directory (os error 2)
    ");
}
