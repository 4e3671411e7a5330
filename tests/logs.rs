//! Log lines are an interface: their two forms, where they go, and what never gets into them.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Beanstalkd, Host, eventually, processes};

#[test]
fn json_lines_carry_the_same_facts_as_text_lines() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue)
        .plugin("echo")
        .tube("t")
        .flag("--log-format=json")
        .start();
    let job = queue.put("t", r#"{"fail": "quote \" and\tmore"}"#);
    let line = daemon.wait_for_line(&["\"settled\":"]);
    let event: Value = serde_json::from_str(&line).expect("one JSON object on one line");
    for (key, value) in [
        ("level", json!("warn")),
        ("worker", json!(0)),
        ("gen", json!(1)),
        ("job", json!(job)),
        ("tube", json!("t")),
        ("handler", json!("echo")),
        ("outcome", json!("failed")),
        ("settled", json!("release")),
        ("error", json!("quote \" and\tmore")),
    ] {
        assert_eq!(event[key], value, "{key} in {line}");
    }
    for line in daemon.log().lines() {
        serde_json::from_str::<Value>(line).expect("every line is JSON");
    }
}

#[test]
fn what_a_job_says_cannot_forge_a_line() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").start();
    let forged = "x\n2026-01-01T00:00:00.000+00:00 ERROR forged=1\r\u{1b}[31mred\u{7f} settled=delete";
    let job = queue.put("t", json!({"fail": forged}).to_string());
    let line = daemon.wait_for_settled(job);
    assert!(
        line.contains("settled=release") && line.contains(r"\u{1b}[31mred"),
        "{line}"
    );
    let log = daemon.log();
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01")), "{log}");
    assert!(
        log.chars().all(|c| c == '\n' || !c.is_control()),
        "control characters are escaped"
    );
}

#[test]
fn a_log_file_is_opened_anew_after_a_rotation() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t").workers(2);
    let (_, daemon) = host.start_in_background();
    let rotated = daemon.host().path("log.1");
    fs::rename(daemon.host().log_file(), &rotated).expect("it is rotated");
    // Nothing tells the daemon: it looks by itself.
    eventually("lines reach the new file", || {
        queue.put("t", "1");
        (!daemon.lines_with(&["outcome=done"]).is_empty()).then_some(())
    });
    assert!(
        fs::read_to_string(&rotated)
            .expect("the old file")
            .contains("master started")
    );

    fs::rename(daemon.host().log_file(), daemon.host().path("log.2")).expect("it is rotated");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_line(&["gen=2", "serving"]);
}

#[test]
fn nothing_but_what_a_command_prints_goes_to_standard_output() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("loud").tube("t");
    let out = host.path("out");
    let mut command = host.command(&["run"]);
    command.stdout(fs::File::create(&out).expect("a file"));
    let mut daemon = host.spawn_as(command);
    daemon.wait_until_serving();
    let job = queue.put("t", r#"{"out": "printed"}"#);
    queue.wait_until_gone(job);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(fs::read_to_string(out).expect("the file"), "");
}

#[test]
fn what_a_plugin_prints_is_logged_line_by_line() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("loud").tube("t").start();
    queue.put("t", r#"{"out": "one\ntwo", "err": "three \u001b[31m\n"}"#);
    for text in ["output=one", "output=two", r#"output="three \u{1b}[31m""#] {
        let line = daemon.wait_for_line(&[text]);
        assert!(line.contains(" INFO worker=0 gen=1 pid="), "{line}");
    }
}

#[test]
fn an_aborts_last_words_are_logged_before_its_end() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("loud").tube("t").start();
    let job = queue.put("t", r#"{"err": "no line feed at the end", "abort": true}"#);
    daemon.wait_for_total("crashed", 1);
    queue.delete(job);
    let log = daemon.log();
    let position = |text: &str| log.find(text).unwrap_or_else(|| panic!("no `{text}` in:\n{log}"));
    assert!(position("output=\"no line feed at the end\"") < position("ended=SIGABRT"));
}

#[test]
fn a_flood_of_output_is_logged_whole_and_its_file_stays_small() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("loud").tube("t").start();
    let chunk = format!("{}\n", "x".repeat(999)).repeat(30);
    let jobs = queue.put_all("t", (0..100).map(|_| json!({"out": chunk}).to_string()));
    let end = queue.put("t", r#"{"out": "the end"}"#);
    jobs.into_iter().for_each(|job| queue.wait_until_gone(job));
    queue.wait_until_gone(end);
    daemon.wait_for_line(&["output=\"the end\""]);
    let state = daemon.host().path("host.pid.state");
    let sizes = fs::read_dir(state).expect("the state directory");
    let sizes: u64 = sizes
        .map(|entry| {
            entry
                .and_then(|entry| entry.metadata())
                .map_or(0, |data| data.len())
        })
        .sum();
    assert!(sizes < 3_000_000, "3 MB were printed, and {sizes} bytes are kept");
}

#[test]
fn a_job_that_is_done_is_silent_at_the_default_level() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = Host::new(&queue).plugin("echo").tube("t").log_level("").start();
    let done = queue.put("t", "1");
    let failed = queue.put("t", r#"{"fail": true}"#);
    daemon.wait_for_settled(failed);
    queue.wait_until_gone(done);
    assert_eq!(daemon.lines_with(&[&format!("job={done}")]), [""; 0]);
}

#[test]
fn a_secret_of_a_handlers_configuration_is_nowhere_to_be_seen() {
    const SECRET: &str = "correct-horse-battery";
    const VARIABLE: &str = "swordfish-and-more";
    let Some(queue) = Beanstalkd::start() else { return };
    let config = format!(
        "[handler.mailer]\nfrom = \"a@example.org\"\n[handler.mailer.smtp]\nhost = \"127.0.0.1\"\nport = 1\n\
         tls = \"none\"\nuser = \"shop\"\npassword = \"{SECRET}\"\n"
    );
    let host = Host::new(&queue)
        .plugin("mailer")
        .tube("t")
        .log_level("trace")
        .config(&config);
    // Somebody's secret under a name of ours: workers and the log have no use for it.
    let daemon = host.variable("ASYNCCALL_TOKEN", VARIABLE).start();
    let job = queue.put("t", r#"{"to": "b@example.org", "text": "hello"}"#);
    daemon.wait_for_settled(job);
    let directory = daemon.host().directory();
    directory.write("host.toml", format!("{config}nonsense = 1\n"));
    let refused = daemon.run(&["reload", "--wait"]);
    assert_ne!(refused.code, Some(0));
    let mut seen = daemon.log() + &refused.to_string() + &daemon.status().to_string();
    seen += &daemon.run(&["status"]).to_string();
    let read = |pid: u32, file: &str| {
        let content = fs::read(format!("/proc/{pid}/{file}")).expect("the process exists");
        String::from_utf8_lossy(&content).into_owned()
    };
    for worker in daemon.workers() {
        seen += &(read(worker, "cmdline") + &read(worker, "environ"));
    }
    // What the master was started with is its own; root and its user alone can read it.
    seen += &read(daemon.pid(), "cmdline");
    assert!(!seen.contains(VARIABLE), "{seen}");
    seen += &read(daemon.pid(), "environ");
    assert!(!seen.contains(SECRET), "{seen}");
    assert!(daemon.workers().into_iter().all(processes::lives));
}
