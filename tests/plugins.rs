//! Finding, refusing and loading plugins, and configuring their handlers. What is said of unusable ones is in
//! `error_catalogue`.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::support::{
    Beanstalkd, Host, plugin,
    plugins::{foreign_echo, library},
};

/// A daemon that loads `file`, copied into its own directory under that name, is refused.
#[track_caller]
fn refused(name: &str, content: &[u8]) -> String {
    let host = Host::unconnected();
    let file = host.directory().write(name, content);
    host.load(file).run(&["run"]).to_string()
}

#[test]
fn a_name_is_looked_up_in_the_search_path() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).tube("t");
    fs::create_dir(host.path("empty")).expect("a directory");
    fs::create_dir(host.path("full")).expect("a directory");
    fs::copy(plugin("echo"), host.path("full").join(library("echo"))).expect("a copy");
    let host = host.config("[plugins]\nload = [\"echo\"]\ndirs = [\"./empty\", \"./full\"]\n");
    let daemon = host.start();
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    drop(daemon);

    let host = Host::unconnected();
    host.directory().copy(&plugin("echo"));
    let host = host.config("[plugins]\nload = [\"ecko\"]\ndirs = [\".\", \"./none\"]\n");
    insta::assert_snapshot!(host.run(&["check"]), @r"
    exit 66
    error: cannot find plugin `ecko`: no `libecko.so` in `DIR`, `DIR/none`
      hint: did you mean `echo`?
    ");
}

#[test]
fn every_library_of_a_plugin_directory_is_loaded() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).tube("t");
    for name in ["echo", "loud"] {
        host.directory().copy(&plugin(name));
    }
    host.directory().write("README", "no library");
    let directory = host.directory().root().to_owned();
    let host = host.flag("--plugin-dir").flag(directory);
    insta::assert_snapshot!(host.run(&["check"]), @r"
    exit 78
    error: pool `default`: no handler is chosen; there are `echo`, `loud`
      hint: choose one with `--handler NAME`, or with `handler` in the file's `[[pool]]`
    ");
    let daemon = host.flag("--handler=loud").start();
    let status = daemon.status();
    assert_eq!(status["plugins"].as_array().map(Vec::len), Some(2));
    let job = queue.put("t", r#"{"out": "here"}"#);
    assert!(daemon.wait_for_settled(job).contains("handler=loud outcome=done"));
}

#[test]
fn what_is_no_file_or_an_empty_one_is_refused_with_a_hint() {
    insta::assert_snapshot!(refused("libempty.so", b""), @r#"
    exit 66
    error: libempty.so is empty
      hint: a plugin is the `lib<name>.so` that cargo builds of a crate with crate-type = ["cdylib"]
    "#);
    let host = Host::unconnected();
    fs::create_dir(host.path("libdir.so")).expect("a directory");
    let directory = host.path("libdir.so");
    insta::assert_snapshot!(host.load(directory).run(&["run"]), @r"
    exit 66
    error: cannot open plugin `DIR/libdir.so`: it is a directory, not a regular file
      hint: `--plugin-dir DIR/libdir.so` loads every library in it
    ");
    let host = Host::unconnected().load("./libehco.so");
    host.directory().copy(&plugin("echo"));
    let directory = host.directory().root().to_owned();
    insta::assert_snapshot!(host.working_directory(directory).run(&["run"]), @r"
    exit 66
    error: cannot open plugin `DIR/libehco.so`: no such file
      hint: did you mean `DIR/libecho.so`?
    ");
}

#[test]
fn a_daemon_without_a_plugin_says_how_to_name_one() {
    insta::assert_snapshot!(Host::unconnected().run(&["run"]), @r"
    exit 78
    error: `plugins.load`: found nothing, wanted a plugin to load; hint: `--plugin PATH`, `--plugin-dir DIR` or `[plugins] load` in the file
    ");
}

#[test]
fn an_operator_may_accept_a_plugin_that_others_may_change() {
    let host = Host::unconnected();
    let file = host.directory().copy(&plugin("echo"));
    fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("it is ours");
    let accepted = host.load(&file).flag("--allow-unsafe-plugins").run(&["check"]);
    let warned = accepted.succeeded();
    assert!(
        warned.contains("warning: ") && warned.ends_with("ok\n"),
        "{warned}"
    );
}

#[test]
fn a_handler_is_configured_by_the_file_or_by_a_json_file_which_wins() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = || {
        Host::new(&queue)
            .plugin("echo")
            .tube("t")
            .config("[handler.echo]\ntag = \"toml\"\n")
    };
    let daemon = host().start();
    let job = queue.put("t", "1");
    daemon.wait_for_line(&[&format!("job={job}"), "tag=toml"]);
    drop(daemon);
    let host = host();
    let file = host.directory().write("echo.json", r#"{"tag": "json"}"#);
    let daemon = host
        .flag(format!("--handler-config=echo={}", file.display()))
        .start();
    let job = queue.put("t", "1");
    daemon.wait_for_line(&[&format!("job={job}"), "tag=json"]);
}

#[test]
fn configuration_for_a_handler_that_is_not_loaded_is_remarked() {
    let host = Host::unconnected()
        .plugin("echo")
        .config("[handler.mialer]\nx = 1\n");
    let text = host.run(&["check"]).succeeded();
    let warning = "warning: there is configuration for handler `mialer`, but no loaded plugin has it\n";
    assert!(text.starts_with(warning), "{text}");
}

#[test]
fn a_plugin_of_another_toolchain_and_profile_runs() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(foreign) = foreign_echo() else { return };
    let daemon = Host::new(&queue).load(&foreign).tube("t").start();
    let done = queue.put("t", r#"{"from": "afar"}"#);
    assert!(
        daemon
            .wait_for_settled(done)
            .contains(r#"result="{\"from\":\"afar\"}""#)
    );
    let failed = queue.put("t", r#"{"panic": "far away"}"#);
    let line = daemon.wait_for_settled(failed);
    assert!(
        line.contains("outcome=exception") && line.contains("far away"),
        "{line}"
    );
    let buried = queue.put("t", r#"{"bury": "six feet"}"#);
    assert!(daemon.wait_for_settled(buried).contains(r#"error="six feet""#));
}

#[test]
fn workers_map_a_sealed_copy_and_the_master_no_plugin_at_all() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let maps = |pid: u32| fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("maps"));
    let worker = maps(daemon.workers()[0]).expect("it is ours");
    let mut libraries = worker
        .lines()
        .filter(|line| line.contains("libecho.so"))
        .peekable();
    assert!(libraries.peek().is_some(), "{worker}");
    assert!(
        libraries.all(|line| line.contains("/memfd:")),
        "the file itself is not mapped:\n{worker}"
    );
    let master = maps(daemon.pid()).expect("it is ours");
    assert!(
        !master.contains("echo"),
        "the master has loaded the plugin:\n{master}"
    );
}

#[test]
fn a_payload_does_not_choose_its_handler() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").plugin("loud").tube("t");
    let daemon = host.flag("--handler=echo").start();
    let job = queue.put(
        "t",
        r#"{"handler": "loud", "model": "loud", "method": "execute"}"#,
    );
    assert!(
        daemon
            .wait_for_settled(job)
            .contains(" handler=echo outcome=done ")
    );
}

#[test]
fn programs_that_a_handler_starts_inherit_its_standard_streams_alone() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("loud").tube("t").start();
    // What is open in the test's own surroundings is inherited from there.
    queue.put(
        "t",
        r#"{"run": "echo open: $(readlink /proc/self/fd/*); readlink /proc/self/fd/0"}"#,
    );
    let line = daemon.wait_for_line(&["output=\"open: "]);
    assert!(line.contains(".out"), "it writes where the worker writes: {line}");
    for own in ["memfd:", "socket:", "anon_inode:"] {
        assert!(!line.contains(own), "{line}");
    }
    daemon.wait_for_line(&["output=/dev/null"]);
}
