//! The third-party plugin, built as its README says, in the daemon.

use std::{
    fs::{self, File},
    process::Command,
};

use serde_json::json;

use crate::stage::{Beanstalkd, Running, built, daemon, eventually, example, run};

#[test]
fn the_example_handler_runs_in_the_daemon() {
    let Some(mut beanstalkd) = Beanstalkd::start(&[]) else {
        return;
    };
    let manifest = example("handler/Cargo.toml");
    let manifest = manifest.to_str().expect("a path in UTF-8");
    // Of its own: the crate is no member, and its settings are not the workspace's.
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/handler");
    let arguments = ["--locked", "--manifest-path", manifest, "--target-dir", target];
    let plugin = built(&arguments, "notes");

    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str| directory.path().join(name);
    let (notes, config, pid_file) = (file("notes.txt"), file("notes.json"), file("daemon.pid"));
    fs::write(&config, json!({"file": notes}).to_string()).expect("a writable directory");
    // Outside the directory: a failing test leaves it.
    let log = concat!(env!("CARGO_TARGET_TMPDIR"), "/handler.log");
    let mut host = Running::start(
        Command::new(daemon())
            .arg("--plugin")
            .arg(&plugin)
            .arg("--handler-config")
            .arg(format!("notes={}", config.display()))
            .args(["--tube", "notes", "--port", beanstalkd.port(), "--pid-file"])
            .arg(&pid_file)
            .stderr(File::create(log).expect("cargo's directory is writable")),
    );
    let tube = "notes".parse().expect("a tube name");
    beanstalkd.queue.use_tube(&tube).expect("the tube is used");
    let body = br#"{"to": "ann@example.org", "text": "This is a note."}"#;
    beanstalkd.queue.put(1024, 0, 60, body).expect("the job is put");
    let text = eventually(&format!("the note is written, see {log}"), || {
        assert_eq!(host.0.try_wait().expect("it is our child"), None);
        fs::read_to_string(&notes)
            .ok()
            .filter(|text| text.ends_with('\n'))
    });
    assert_eq!(text, "This is a note.\n");

    let stopped = run(Command::new(daemon()).args(["stop", "--pid-file"]).arg(&pid_file));
    assert!(stopped.status.success());
    assert!(host.0.wait().expect("it is our child").success());
}
