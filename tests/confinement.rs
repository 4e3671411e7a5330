//! What workers may no longer do: gain privileges, and use more resources than their pool's limits.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{Beanstalkd, Host};

/// The value of a field of proc_pid_status(5).
#[track_caller]
fn status_of(pid: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process exists");
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.expect("the kernel tells it").trim().to_owned()
}

/// Soft and hard limit, as proc_pid_limits(5) shows them.
#[track_caller]
fn limits_of(pid: u32, name: &str) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("the process exists");
    let mut lines = limits.lines();
    let line = lines
        .find_map(|line| line.strip_prefix(name))
        .expect("the kernel tells it");
    let mut words = line.split_whitespace().map(str::to_owned);
    (
        words.next().expect("the soft limit"),
        words.next().expect("the hard limit"),
    )
}

fn set_gid_program(path: &Path) {
    fs::write(path, "#!/bin/sh\n").expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o2755)).expect("it is ours");
}

#[test]
fn workers_gain_no_privileges_unless_their_pool_says_so() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = "[[pool]]\nname = \"kept\"\ntubes = \"a\"\n\
                  [[pool]]\nname = \"free\"\ntubes = \"b\"\nno_new_privs = false\n";
    let daemon = Host::new(&queue).plugin("echo").config(config).start();
    let status = daemon.status();
    let pid = |pool: &str| {
        let mut pools = status["pools"].as_array().expect("pools").iter();
        let pool = pools.find(|found| found["name"] == pool).expect("the pool");
        pool["workers"][0]["pid"].as_u64().expect("a pid") as u32
    };
    assert_eq!(status_of(pid("kept"), "NoNewPrivs"), "1");
    // What the surroundings of the test forbid is forbidden anyway.
    let own = status_of(std::process::id(), "NoNewPrivs");
    assert_eq!(status_of(pid("free"), "NoNewPrivs"), own);
    assert_eq!(status_of(daemon.pid(), "NoNewPrivs"), own);
}

#[test]
fn a_set_id_program_in_a_handlers_configuration_is_refused_by_check_and_start() {
    let config = |program: &Path, pool: &str| {
        format!(
            "{pool}[handler.mailer]\nsendmail = {{ command = \"{}\" }}\n",
            program.display()
        )
    };
    let host = Host::unconnected().plugin("mailer");
    let program = host.path("sendmail");
    set_gid_program(&program);
    let host = host.config(&config(&program, ""));
    for command in ["check", "run"] {
        insta::allow_duplicates! { insta::assert_snapshot!(host.run(&[command]).failed(78), @"
        error: pool `default`: `handler.mailer.sendmail.command` is the set-id program `DIR/sendmail`, which `no_new_privs` keeps from getting its rights
          hint: set `no_new_privs = false` in this pool, or use a program that needs no rights of its own
        ") }
    }
    assert!(!host.held().exists());
    let host = host.config(&config(&program, "[[pool]]\nno_new_privs = false\n"));
    host.run(&["check"]).succeeded();
}

#[test]
fn a_set_id_program_that_only_the_mailer_knows_of_is_refused_by_the_mailer() {
    let host = Host::unconnected().plugin("mailer");
    let program = host.directory().write("sendmail", "#!/bin/sh\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    set_gid_program(&host.path("postdrop"));
    let config = format!("[handler.mailer.sendmail]\ncommand = \"{}\"\n", program.display());
    let ended = host.config(&config).run(&["run"]);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(
        ended.err.contains("needs the rights of the set-id program"),
        "{ended}"
    );
    assert!(ended.err.contains("postdrop"), "{ended}");
}

#[test]
fn workers_have_the_limits_of_their_pool_and_the_master_as_many_files_as_it_may() {
    let Some(queue) = Beanstalkd::start() else { return };
    let config = "[[pool]]\ntubes = \"t\"\n[pool.rlimits]\nnofile = 321\ncore = 0\nfsize = 64\n";
    let daemon = Host::new(&queue).plugin("echo").config(config).start();
    let worker = daemon.workers()[0];
    let pair = |text: &str| (text.to_owned(), text.to_owned());
    assert_eq!(limits_of(worker, "Max open files"), pair("321"));
    assert_eq!(limits_of(worker, "Max core file size"), pair("0"));
    assert_eq!(limits_of(worker, "Max file size"), pair("67108864"));
    let (soft, hard) = limits_of(daemon.pid(), "Max open files");
    assert_eq!(soft, hard);
    assert_eq!(
        limits_of(worker, "Max processes"),
        limits_of(daemon.pid(), "Max processes")
    );
    let job = queue.put("t", "1");
    queue.wait_until_gone(job);
}

#[test]
fn a_limit_that_the_kernel_refuses_is_said_at_the_start() {
    // More than fs.nr_open, which is the most for root as well.
    let config = "[[pool]]\ntubes = \"t\"\n[pool.rlimits]\nnofile = 1073741824\n";
    let host = Host::unconnected().plugin("echo").config(config);
    let ended = host.run(&["run"]);
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(
        ended
            .err
            .contains("cannot set `rlimits.nofile` to 1073741824: EPERM"),
        "{ended}"
    );
}
