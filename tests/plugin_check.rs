//! `plugin check`: every step that a plugin has to pass, and what a plugin does to the process that tries it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use serde_json::{Value, json};

use crate::support::{Ended, Host, plugin, plugins::library};

/// Runs it on a built plugin, whose configuration lies in a file.
#[track_caller]
fn check(name: &str, config: &Value, more: &[&str]) -> Ended {
    check_with(Host::unconnected(), name, config, more)
}

#[track_caller]
fn check_with(host: Host, name: &str, config: &Value, more: &[&str]) -> Ended {
    let file = plugin(name);
    let config = host.directory().write("handler.json", config.to_string());
    let config = format!("--handler-config={name}={}", config.display());
    let mut words = vec!["plugin", "check", file.to_str().expect("a path"), &config];
    words.extend(more);
    host.run_bare(&words)
}

/// The steps that failed in a run that ended with this code.
#[track_caller]
fn failed(ended: &Ended, code: i32) -> String {
    assert_eq!(ended.code, Some(code), "{ended}");
    assert!(
        ended.err.contains("error: ") && ended.err.contains(" does not pass, failed steps: "),
        "{ended}"
    );
    let steps = ended
        .out
        .lines()
        .skip_while(|line| !line.starts_with("ok ") && !line.starts_with("FAILED"));
    let told: Vec<&str> = steps.filter(|line| !line.starts_with(['o', '-'])).collect();
    told.join("\n")
}

/// The whole report, but for what every build and toolchain changes.
fn report(ended: &Ended) -> String {
    let text = ended.to_string();
    let lines = text.lines().map(|line| match line {
        line if line.starts_with("sha256 ") => "sha256 HASH".to_owned(),
        line => match (line.find(" (abi "), line.find(") ")) {
            (Some(begin), Some(end)) => format!("{} (ABI, TOOLCHAIN{}", &line[..begin], &line[end..]),
            _ => line.to_owned(),
        },
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plugin_that_comes_up_passes_every_step() {
    let ended = check("pair", &json!({}), &[]);
    insta::assert_snapshot!(report(&ended), @"
    exit 0
    plugin zoo-pair 0.1.0 (ABI, TOOLCHAIN) PLUGINS/libpair.so
    sha256 HASH
    handler left: Answers in place
    handler right: Answers from a task
    ok      permissions
    ok      manifest
    -       lock file: not required
    ok      load
    -       left: configuration: no schema to check it against
    ok      left: create
    ok      left: self-check
    ok      left: exit
    -       right: configuration: no schema to check it against
    ok      right: create
    ok      right: self-check
    ok      right: exit
    ");
    let ended = check("pair", &json!({}), &["--handler", "right"]);
    assert!(
        ended.out.contains("right: create") && !ended.out.contains("left: create"),
        "{ended}"
    );
    insta::assert_snapshot!(check("pair", &json!({}), &["--handler", "rihgt"]), @"
    exit 78
    error: no plugin has a handler `rihgt`; there are `left`, `right`
      hint: did you mean `right`?
    ");
}

#[test]
fn a_plugin_that_ends_or_keeps_its_process_is_told_by_what_it_was_at() {
    let mined = Host::unconnected().variable("LANDMINE", "1");
    let mut told = vec![failed(&check_with(mined, "landmine", &json!({}), &[]), 13)];
    for at in ["new", "self_check", "drop"] {
        told.push(failed(&check("landmine", &json!({"at": at}), &[]), 13));
    }
    for how in ["abort", "exit"] {
        told.push(failed(&check("stillborn", &json!({"how": how}), &[]), 13));
    }
    let hangs = check("stillborn", &json!({"how": "hang"}), &["--start-timeout=1"]);
    told.push(failed(&hangs, 13));
    let hangs = check("echo", &json!({"self_check": "hang"}), &["--start-timeout=1"]);
    told.push(failed(&hangs, 13));
    insta::assert_snapshot!(told.join("\n"), @"
    FAILED  load
              the plugin ended its process with SIGSEGV while it was loaded
    FAILED  landmine: create
              handler `landmine` ended its process with SIGSEGV when it was created
    FAILED  landmine: self-check
              handler `landmine` ended its process with SIGSEGV in its self-check
    FAILED  landmine: exit
              the plugin ended its process with SIGSEGV after everything was done
    FAILED  stillborn: create
              handler `stillborn` ended its process with SIGABRT when it was created
    FAILED  stillborn: create
              handler `stillborn` ended its process with exit code 0 when it was created
    FAILED  stillborn: create
              handler `stillborn` gave no answer within 1s when it was created
                hint: `--start-timeout` gives it more time
    FAILED  echo: self-check
              handler `echo` gave no answer within 1s in its self-check
                hint: `--start-timeout` gives it more time
    ");
}

#[test]
fn a_handler_that_refuses_says_why_and_its_configuration_has_a_code_of_its_own() {
    let told = [
        failed(&check("stillborn", &json!({}), &[]), 78),
        failed(&check("stillborn", &json!({"how": "refuse"}), &[]), 1),
        failed(&check("echo", &json!({"self_check": "fail"}), &[]), 1),
    ];
    insta::assert_snapshot!(told.join("\n"), @"
    FAILED  stillborn: create
              cannot configure handler `stillborn`: missing field `how`
    FAILED  stillborn: create
              cannot create handler `stillborn`: there is no database
    FAILED  echo: self-check
              handler `echo` failed its self-check: there is nobody to answer to
    ");
    let panics = failed(&check("stillborn", &json!({"how": "panic"}), &[]), 1);
    assert!(
        panics.contains("panicked when it was created: ") && panics.contains("the constructor gave up"),
        "{panics}"
    );
}

#[test]
fn a_file_that_would_not_be_loaded_is_not_executed() {
    let host = Host::unconnected().variable("LANDMINE", "1");
    let file = host.directory().copy(&plugin("landmine"));
    let file = file.to_str().expect("a path");
    fs::set_permissions(file, Permissions::from_mode(0o646)).expect("it is ours");
    let unsafe_one = failed(&host.run_bare(&["plugin", "check", file]), 66);
    assert!(unsafe_one.starts_with("FAILED  permissions\n"), "{unsafe_one}");
    fs::set_permissions(file, Permissions::from_mode(0o644)).expect("it is ours");
    let lock = host.directory().write("plugins.lock", "version = 1\n");
    let lock = format!("--plugins-lock={}", lock.display());
    let unlocked = failed(
        &host.run_bare(&["plugin", "check", file, "--require-sha256", &lock]),
        66,
    );
    assert!(
        unlocked.starts_with("FAILED  lock file\n") && unlocked.contains("(sha256 "),
        "{unlocked}"
    );
    let text = host.directory().write("libtext.so", "just text");
    let text = host.run_bare(&["plugin", "check", text.to_str().expect("a path")]);
    insta::assert_snapshot!(text, @r#"
    exit 66
    FAILED  manifest
              libtext.so is not a shared library: it does not begin with the ELF magic
                hint: a plugin is the `lib<name>.so` that cargo builds of a crate with crate-type = ["cdylib"]
    error: `DIR/libtext.so` does not pass, failed steps: 1
    "#);
    insta::assert_snapshot!(host.run_bare(&["plugin", "check", "mailer"]), @"
    exit 66
    FAILED  file
              cannot find plugin `mailer`: there are no directories to search
                hint: give the path of the file, or add its directory to `[plugins] dirs`
    error: `mailer` does not pass, failed steps: 1
    ");
}

#[test]
fn a_name_is_looked_up_and_the_configuration_file_configures() {
    let host = Host::unconnected();
    host.directory().write("lib/none", "");
    fs::copy(plugin("stillborn"), host.path("lib").join(library("stillborn"))).expect("a copy");
    let config =
        "[plugins]\ndrop_in = [\"lib\"]\n[handler.stillborn]\nhow = \"panic\"\nwhen = \"/nowhere\"\n";
    let config = host.directory().write("host.toml", config);
    let config = config.to_str().expect("a path");
    let out = host
        .run_bare(&["plugin", "check", "stillborn", "-c", config])
        .succeeded();
    assert!(out.ends_with("ok      stillborn: exit\n"), "{out}");
}

#[test]
fn the_document_has_every_step() {
    let ended = check("stillborn", &json!({}), &["--json"]);
    assert_eq!(ended.code, Some(78), "{ended}");
    let document: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(document["passed"], false);
    assert_eq!(document["name"], "zoo-stillborn");
    let steps = document["steps"].as_array().expect("a list");
    let of = |key: &str| steps.iter().map(|step| step[key].clone()).collect::<Vec<_>>();
    assert_eq!(
        of("step"),
        [
            "permissions",
            "manifest",
            "lock file",
            "load",
            "configuration",
            "create"
        ]
    );
    assert_eq!(
        of("verdict"),
        ["ok", "ok", "not required", "ok", "no schema", "failed"]
    );
    assert_eq!(steps[5]["handler"], "stillborn");
    assert_eq!(document["path"], "PLUGINS/libstillborn.so");
}
