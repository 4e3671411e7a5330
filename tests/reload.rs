//! A reload: new code and settings take over while jobs flow, or nothing changes at all.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    process::Stdio,
    sync::mpsc,
    thread,
};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{
    Beanstalkd, Daemon, Host,
    daemon::workers,
    eventually, plugin,
    plugins::{library, other_echo},
};

/// A daemon with a copy of `echo` of its own, named in its file.
#[track_caller]
fn with_own_echo(queue: &Beanstalkd) -> Host {
    let host = Host::new(queue).tube("t").workers(2);
    let own = host.directory().copy(&plugin("echo"));
    let config = format!("[plugins]\nload = [\"{}\"]\n", own.display());
    host.config(&config)
}

/// Puts a file in the place of `echo`, as `install` and `mv` do it.
#[track_caller]
fn install(daemon: &Daemon, content: &[u8]) {
    let new = daemon.host().directory().write("new", content);
    fs::rename(new, daemon.host().path(&library("echo"))).expect("the file is put in place");
}

#[test]
fn none_of_ten_thousand_jobs_is_lost_in_a_reload_to_a_changed_plugin() {
    const JOBS: usize = 10_000;
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).log_level("info,echo=debug").start();
    thread::scope(|scope| {
        let (reloaded, go_on) = mpsc::channel();
        let queue = &queue;
        scope.spawn(move || {
            queue.put_all("t", (0..JOBS - 1000).map(|number| number.to_string()));
            // Whatever happens, some jobs come when the new plugin has taken over.
            let _ = go_on.recv();
            queue.put_all("t", (0..1000).map(|number| number.to_string()));
        });
        daemon.wait_for_total("done", 500);
        install(&daemon, &fs::read(other_echo()).expect("the other build"));
        let told = daemon.run(&["reload", "--wait"]).succeeded();
        assert_eq!(told, "generation 2 is ready\n");
        reloaded.send(()).expect("the producer waits");
    });
    daemon.wait_for_total("done", JOBS as u64);

    let totals = daemon.status()["totals"].clone();
    assert_eq!(
        totals,
        json!({"done": JOBS, "released": 0, "buried": 0, "failed": 0, "crashed": 0})
    );
    assert_eq!(queue.stat("cmd-delete"), JOBS as u64);
    assert_eq!(queue.tube_stat("t", "current-jobs-ready"), 0);
    let mut executions = BTreeMap::new();
    let mut by_tag = [0, 0];
    for line in daemon.lines_with(&[" handler=echo ", "tag="]) {
        let job = line.split(" job=").nth(1).and_then(|rest| rest.split(' ').next());
        *executions.entry(job.expect("a job").to_owned()).or_insert(0) += 1;
        let is_other = line.contains(" tag=other ");
        assert_eq!(
            is_other,
            line.contains(" gen=2 "),
            "a generation runs one build: {line}"
        );
        by_tag[usize::from(is_other)] += 1;
    }
    assert_eq!(executions.len(), JOBS);
    assert!(executions.values().all(|count| *count == 1), "each job ran once");
    assert!(
        by_tag[0] >= 500 && by_tag[1] >= 1000,
        "both builds ran: {by_tag:?}"
    );
}

/// Reloads to something that does not work; answers with what the command said.
#[track_caller]
pub(crate) fn refused(daemon: &Daemon, queue: &Beanstalkd) -> String {
    let before = daemon.status();
    let said = daemon.run(&["reload", "--wait"]);
    assert_ne!(said.code, Some(0), "{said}");
    let after = daemon.status();
    for key in ["generation", "plugins", "pid"] {
        assert_eq!(before[key], after[key]);
    }
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    said.to_string()
}

#[test]
fn a_reload_keeps_the_old_generation_when_the_new_plugin_is_broken() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).start();
    let pids = daemon.workers();
    let whole = fs::read(plugin("echo")).expect("the plugin");
    install(&daemon, b"this is no library");
    insta::assert_snapshot!(refused(&daemon, &queue), @r#"
    exit 66
    error: libecho.so is not a shared library: it does not begin with the ELF magic
      hint: a plugin is the `lib<name>.so` that cargo builds of a crate with crate-type = ["cdylib"]
    "#);
    install(&daemon, &whole[..whole.len() / 2]);
    let said = refused(&daemon, &queue);
    assert!(said.contains("error: libecho.so is truncated: it has "), "{said}");
    fs::remove_file(daemon.host().path(&library("echo"))).expect("the file is removed");
    insta::assert_snapshot!(refused(&daemon, &queue), @r"
    exit 66
    error: cannot open plugin `DIR/libecho.so`: no such file
      hint: cargo leaves a plugin in `target/release/`, as `lib<name>.so`
    ");
    assert_eq!(daemon.workers(), pids, "nobody was replaced");
    install(&daemon, &whole);
    daemon.run(&["reload", "--wait"]).succeeded();
}

#[test]
fn a_reload_keeps_the_old_generation_when_the_configuration_is_wrong() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).start();
    let directory = daemon.host().directory();
    let config = daemon.read("host.toml");
    directory.write("host.toml", format!("{config}[queue]\nprot = 1\n"));
    insta::assert_snapshot!(refused(&daemon, &queue), @r"
    exit 78
    error: DIR/host.toml:4: `queue.prot`: unknown key; hint: did you mean `port`?
    ");
    directory.write("host.toml", format!("{config}[handler.echo]\ntga = \"x\"\n"));
    insta::assert_snapshot!(refused(&daemon, &queue), @r"
    exit 1
    error: cannot configure handler `echo`: unknown field `tga`, expected one of `tag`, `self_check`, `tick_every_ms`, `tick`, `tick_well_without`, `goodbye`, `goodbye_hangs`
    ");
    directory.write("host.toml", format!("{config}[[pool]]\nhandler = \"ecko\"\n"));
    insta::assert_snapshot!(refused(&daemon, &queue), @r"
    exit 78
    error: pool `default`: no plugin has a handler `ecko`; there is `echo`
      hint: did you mean `echo`?
    ");
    directory.write("host.toml", config);
    daemon.run(&["reload", "--wait"]).succeeded();
}

#[test]
fn a_reload_keeps_the_old_generation_when_the_new_handler_cannot_be_made() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).start();
    let stillborn = daemon.host().directory().copy(&plugin("stillborn"));
    let refused_as = |how: &str| {
        let config = format!(
            "[plugins]\nload = [\"{}\"]\n[handler.stillborn]\nhow = \"{how}\"\n",
            stillborn.display()
        );
        daemon.host().directory().write("host.toml", config);
        refused(&daemon, &queue)
    };
    insta::assert_snapshot!(refused_as("refuse"), @r"
    exit 1
    error: cannot create handler `stillborn`: there is no database
    ");
    insta::assert_snapshot!(refused_as("panic"), @r"
    exit 1
    error: handler `stillborn` of libstillborn.so panicked when it was created: panicked at plugins/zoo/stillborn/src/lib.rs:40: the constructor gave up
    ");
    insta::assert_snapshot!(refused_as("abort"), @r"
    exit 1
    error: the worker ended before it was ready: SIGABRT
      its last line: last words before the abort
    ");
    insta::assert_snapshot!(refused_as("exit"), @r"
    exit 1
    error: the worker ended before it was ready: exit code 0
    ");
    insta::assert_snapshot!(refused_as("dance"), @r"
    exit 1
    error: cannot configure handler `stillborn`: unknown variant `dance`, expected one of `refuse`, `panic`, `abort`, `exit`, `hang` (at `how`)
    ");
}

#[test]
fn overwriting_or_truncating_the_library_in_place_harms_nobody() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).start();
    let path = daemon.host().path(&library("echo"));
    let other = fs::read(other_echo()).expect("the other build");
    let running = queue.put("t", r#"{"sleep_ms": 1000}"#);
    daemon.wait_until_running(running);

    // The same inode, as `cp` over it does.
    fs::write(&path, &other).expect("it is overwritten");
    // Fewer than open the pool's breaker.
    let jobs = queue.put_all(
        "t",
        (0..40).map(|number| json!({"panic": number.to_string()}).to_string()),
    );
    daemon.wait_for_total("released", jobs.len() as u64);
    File::create(&path).expect("it is truncated");
    let jobs = queue.put_all(
        "t",
        (0..200).map(|number| json!({"bury": number.to_string()}).to_string()),
    );
    daemon.wait_for_total("buried", jobs.len() as u64);

    queue.wait_until_gone(running);
    assert_eq!(daemon.total("crashed"), 0);
    assert_eq!(
        daemon.lines_with(&["starting"]).len(),
        2,
        "no worker was replaced"
    );
}

#[test]
fn a_worker_is_reborn_from_its_own_generation_whatever_lies_at_the_path() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).start();
    install(&daemon, b"this is no library");
    let job = queue.put("t", r#"{"abort": true}"#);
    daemon.wait_for_total("crashed", 1);
    queue.delete(job);
    let next = queue.put("t", "1");
    queue.wait_until_gone(next);
    assert_eq!(daemon.status()["generation"], 1);
}

#[test]
fn hup_and_usr1_reload() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).start();
    for (signal, generation) in [(Signal::SIGHUP, 2), (Signal::SIGUSR1, 3)] {
        daemon.signal(signal);
        daemon.wait_for_status("the next generation serves", |status| {
            status["generation"] == generation
        });
        daemon.wait_for_status("all workers are of it", |status| {
            workers(status).count() == 2 && workers(status).all(|worker| worker["generation"] == generation)
        });
    }
}

#[test]
fn a_signal_to_reload_something_broken_is_logged_and_changes_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).start();
    install(&daemon, b"this is no library");
    daemon.signal(Signal::SIGHUP);
    let line = daemon.wait_for_line(&[" ERROR ", "reload refused"]);
    assert!(line.contains("libecho.so"), "{line}");
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn a_reload_reads_settings_and_handler_configuration_anew() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = with_own_echo(&queue);
    let file = host.directory().write("echo.json", r#"{"tag": "first"}"#);
    let daemon = host
        .flag(format!("--handler-config=echo={}", file.display()))
        .start();
    let first = queue.put("t", "1");
    daemon.wait_for_line(&[&format!("job={first}"), "tag=first"]);

    daemon
        .host()
        .directory()
        .write("echo.json", r#"{"tag": "second"}"#);
    daemon.run(&["reload", "--wait"]).succeeded();

    let second = queue.put("t", "1");
    daemon.wait_for_line(&[&format!("job={second}"), "tag=second"]);
}

#[test]
fn a_reload_changes_the_pools() {
    let Some(queue) = Beanstalkd::start() else { return };
    let pool = |name: &str, tube: &str, workers: u32| {
        format!("[[pool]]\nname = \"{name}\"\ntubes = [\"{tube}\"]\nworker_num = {workers}\n")
    };
    let host = Host::new(&queue).plugin("echo");
    let daemon = host.config(&(pool("a", "t", 2) + &pool("b", "u", 1))).start();
    daemon
        .host()
        .directory()
        .write("host.toml", pool("a", "v", 1) + &pool("c", "w", 2));
    daemon.run(&["reload", "--wait"]).succeeded();
    let jobs = ["v", "w"].map(|tube| queue.put(tube, "1"));
    jobs.into_iter().for_each(|job| queue.wait_until_gone(job));
    let status = daemon.wait_for_status("the old workers are gone", |status| workers(status).count() == 3);
    let names: Vec<_> = status["pools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|pool| &pool["name"])
        .collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn a_reload_of_what_has_not_changed_replaces_the_workers() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).start();
    let before = daemon.status();
    assert_eq!(
        daemon.run(&["reload", "--wait"]).succeeded(),
        "generation 2 is ready\n"
    );
    let after = daemon.wait_for_status("the old workers are gone", |status| workers(status).count() == 2);
    assert_eq!(before["plugins"], after["plugins"]);
    let mut pids: Vec<_> = workers(&before)
        .chain(workers(&after))
        .map(|worker| &worker["pid"])
        .collect();
    pids.sort_by_key(|pid| pid.as_u64());
    pids.dedup();
    assert_eq!(pids.len(), 4);
    assert_eq!(daemon.run(&["reload"]).succeeded(), "generation 3 is loading\n");
}

#[test]
fn a_reload_waits_for_the_new_workers_and_not_for_the_jobs_of_the_old_ones() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = with_own_echo(&queue).start();
    let job = queue.put("t", r#"{"sleep_ms": 4000}"#);
    daemon.wait_until_running(job);

    daemon.run(&["reload", "--wait"]).succeeded();

    let status = daemon.status();
    let old = workers(&status)
        .find(|worker| worker["generation"] == 1)
        .expect("it is at work");
    assert_eq!(
        (&old["state"], &old["slots"][0]["job"]),
        (&json!("quiet"), &json!(job))
    );
    queue.wait_until_gone(job);
    eventually("the old worker leaves", || {
        let status = daemon.status();
        workers(&status)
            .all(|worker| worker["generation"] == 2)
            .then_some(())
    });
    assert_eq!(daemon.total("done"), 1);
    assert_eq!(daemon.total("crashed"), 0);
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn reloads_at_the_same_time_all_get_their_answer() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = with_own_echo(&queue).start();
    let reload = || {
        let mut command = daemon.command(&["reload", "--wait"]);
        command.stdout(Stdio::piped()).spawn().expect("it starts")
    };
    let reloads: Vec<_> = (0..4).map(|_| reload()).collect();
    for reload in reloads {
        let output = reload.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}");
        assert!(
            told.starts_with("generation ") && told.ends_with(" is ready\n"),
            "{told}"
        );
    }
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn a_handler_that_hangs_while_it_is_made_does_not_keep_the_daemon_from_stopping() {
    let Some(queue) = Beanstalkd::start() else { return };
    let mut daemon = with_own_echo(&queue).start();
    let config = format!(
        "[plugins]\nload = [\"{}\"]\n[handler.stillborn]\nhow = \"hang\"\n",
        plugin("stillborn").display()
    );
    daemon.host().directory().write("host.toml", config);
    daemon.run(&["reload"]).succeeded();
    daemon.wait_for_line(&["gen=2", "starting"]);
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
    assert_eq!(daemon.stop(), Some(0));
}
