//! The handler `exec`: classes of the PHP library from a PHP producer to their settlement, and child processes that
//! never outlive their worker.

use std::{fs, path::Path};

use asynccall_client::protocol::JobState;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Beanstalkd, Host, author::repository, eventually, have, php, processes};

/// A host whose handler runs `Core\Mailler` in PHP; `None`, said aloud, where something is missing.
#[track_caller]
fn php_host(queue: &Beanstalkd, more: &str) -> Option<Host> {
    if !php::installed() {
        return None;
    }
    let host = Host::new(queue).plugin("exec").tube("t");
    let worker = host
        .directory()
        .copy(&repository().join("examples/php/worker.php"));
    let classes = repository().join("plugins/exec/src/tests/commands.php");
    let config = format!(
        "[handler.exec]\ncommand = [\"php\", \"-n\", \"-d\", \"memory_limit=64M\", {worker:?}]\nmode = \"persistent\"\n\
         class = '\\Core\\Mailler'\noptions = {{ include = {classes:?} }}\n{more}\n"
    );
    Some(host.config(&config))
}

/// A host whose handler runs a shell script once per job.
fn shell_host(queue: &Beanstalkd, script: &str, more: &str) -> Host {
    let host = Host::new(queue).plugin("exec").tube("t");
    let script = host.directory().write("job.sh", script);
    let config = format!("[handler.exec]\ncommand = [\"sh\", {script:?}]\nmode = \"oneshot\"\n{more}\n");
    host.config(&config)
}

/// The pids of all processes whose command line names something in this host's directory, its own apart.
fn children(directory: &Path) -> Vec<u32> {
    let scripts = ["worker.php", "job.sh"].map(|name| directory.join(name).display().to_string());
    let processes = fs::read_dir("/proc").expect("a Linux system");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut arguments = arguments.split(|byte| *byte == 0);
            arguments.any(|argument| scripts.iter().any(|script| script.as_bytes() == argument))
        })
        .filter(|pid| processes::lives(*pid))
        .collect()
}

#[track_caller]
fn wait_until_childless(directory: &Path) {
    eventually("no child is left", || {
        children(directory).is_empty().then_some(())
    });
}

/// Puts a job as the PHP library does: `wish` is what the command finds in `methodParams`.
#[track_caller]
fn put(queue: &Beanstalkd, wish: &Value, more: Value) -> u64 {
    let mut call = json!({"methodParams": wish});
    call.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    php::put(queue, "t", &json!({ "call": call }))
}

#[test]
fn every_status_of_a_php_command_settles_the_job_of_a_php_producer() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "") else { return };
    let daemon = host.start();
    let interval = json!({"retryIntervalTime": 55});
    let table = [
        (json!({"returns": true}), json!({}), "outcome=done settled=delete"),
        (
            json!({"status": "DELETE", "returns": false}),
            json!({}),
            "outcome=done settled=delete",
        ),
        (json!({"status": "BURY"}), json!({}), "outcome=bury settled=bury"),
        (
            json!({"status": "RELEASE", "interval": 70}),
            json!({}),
            "outcome=retry settled=release delay=70s",
        ),
        // The command says nothing, so the message decides.
        (
            json!({"returns": false}),
            json!({}),
            "outcome=failed settled=bury",
        ),
        (
            json!({"returns": false}),
            json!({"retryIntervalTime": 55, "retryStopAt": "2099-01-01 00:00:00"}),
            "outcome=failed settled=release delay=55s",
        ),
        (
            json!({"returns": false}),
            interval,
            "outcome=failed settled=delete ",
        ),
        (
            json!({"do": "exception"}),
            json!({"errorRetry": true}),
            "outcome=exception settled=release delay=10s",
        ),
        (
            json!({"do": "exception"}),
            json!({}),
            "outcome=exception settled=bury",
        ),
        (
            json!({"do": "error"}),
            json!({"errorRetry": true}),
            "outcome=exception settled=release delay=10s",
        ),
        (
            json!({"do": "exit"}),
            json!({"errorRetry": true}),
            "outcome=exception settled=release delay=10s",
        ),
        (
            json!({"do": "memory"}),
            json!({}),
            "outcome=exception settled=bury",
        ),
        (json!({"do": "kill"}), json!({}), "outcome=exception settled=bury"),
    ];
    for (mut wish, more, settled) in table {
        wish["error"] = json!("no");
        let job = put(&queue, &wish, more.clone());
        let line = daemon.wait_for_settled(job);
        assert!(line.contains(settled), "{wish} {more} led to: {line}");
        match settled {
            deleted if deleted.contains("delete") => queue.wait_until_gone(job),
            buried if buried.contains("bury") => drop(queue.wait_for(job, JobState::Buried)),
            _ => drop(queue.wait_for(job, JobState::Delayed)),
        }
    }
    let once = put(&queue, &json!({"do": "exception"}), json!({"noRetry": true}));
    let line = daemon.wait_for_settled(once);
    assert!(line.contains("settled=deleted_before_running"), "{line}");
    assert_eq!(
        daemon.lines_with(&["starting"]).len(),
        1,
        "the worker has lived through all of it"
    );
}

#[test]
fn what_a_php_command_prints_is_logged_with_its_job() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "") else { return };
    let daemon = host.start();
    let job = put(&queue, &json!({"do": "print"}), json!({}));
    daemon.wait_for_line(&[&format!("job={job}"), "printed"]);
}

#[test]
fn a_php_command_that_hangs_is_ended_by_the_handlers_time_out() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "timeout = 1") else {
        return;
    };
    let daemon = host.start();
    let job = put(&queue, &json!({"do": "hang"}), json!({"errorRetry": true}));
    let line = daemon.wait_for_settled(job);
    assert!(
        line.contains("outcome=exception settled=release delay=10s"),
        "{line}"
    );
    assert!(line.contains("ran longer than `timeout`"), "{line}");
    let next = put(&queue, &json!({}), json!({}));
    queue.wait_until_gone(next);
    assert_eq!(daemon.lines_with(&["starting"]).len(), 1, "the worker goes on");
}

#[test]
fn a_php_command_that_hangs_is_ended_by_the_hosts_max_runtime() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "") else { return };
    let daemon = host.flag("--max-runtime=1").flag("--cancel-grace=60").start();
    let job = put(&queue, &json!({"do": "hang"}), json!({"errorRetry": true}));
    let line = daemon.wait_for_settled(job);
    assert!(
        line.contains("outcome=exception settled=release delay=10s"),
        "{line}"
    );
    assert!(line.contains("the host wants the job given up"), "{line}");
}

#[test]
fn a_stop_lets_a_running_php_command_end_and_leaves_no_child() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "") else { return };
    let mut daemon = host.workers(2).start();
    let job = put(&queue, &json!({"do": "sleep"}), json!({}));
    daemon.wait_until_running(job);
    assert_eq!(daemon.stop(), Some(0));
    assert!(queue.job(job).is_none(), "it was done before the daemon left");
    assert_eq!(children(daemon.host().directory().root()), [0; 0]);
}

#[test]
fn a_stop_gives_back_a_job_that_does_not_end_and_ends_its_child() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "") else { return };
    let mut daemon = host.flag("--grace=1").start();
    let job = put(&queue, &json!({"do": "hang"}), json!({}));
    daemon.wait_until_running(job);
    daemon.stop();
    assert_eq!(queue.wait_for(job, JobState::Ready).releases, 1);
    wait_until_childless(daemon.host().directory().root());
}

#[test]
fn a_killed_worker_leaves_no_child() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "") else { return };
    let daemon = host.flag("--slots=2").start();
    let root = daemon.host().directory().root();
    let job = put(&queue, &json!({"do": "hang"}), json!({}));
    daemon.wait_until_running(job);
    let before = children(root);
    assert!(!before.is_empty());
    processes::signal(daemon.workers()[0], Signal::SIGKILL);
    before.into_iter().for_each(processes::wait_until_gone);
}

#[test]
fn a_killed_worker_leaves_no_command_that_runs_once() {
    let Some(queue) = Beanstalkd::start() else { return };
    let script = "trap '' TERM HUP\nwhile :; do sleep 0.1; done\n";
    let daemon = shell_host(&queue, script, "").start();
    let root = daemon.host().directory().root();
    let job = queue.put("t", "1");
    daemon.wait_until_running(job);
    let before = eventually("the command runs", || {
        Some(children(root)).filter(|children| !children.is_empty())
    });
    processes::signal(daemon.workers()[0], Signal::SIGKILL);
    before.into_iter().for_each(processes::wait_until_gone);
}

#[test]
fn a_killed_master_leaves_no_child() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "") else { return };
    let mut daemon = host.workers(2).start();
    assert!(!children(daemon.host().directory().root()).is_empty());
    daemon.signal(Signal::SIGKILL);
    daemon.wait_for_end();
    wait_until_childless(daemon.host().directory().root());
}

#[test]
fn a_worker_past_memory_hard_leaves_no_child() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "") else { return };
    let mut daemon = host.flag("--memory-hard=1").spawn();
    for _ in 0..2 {
        daemon.wait_for_line(&["memory_hard", "leaving at once"]);
    }
    daemon.stop();
    wait_until_childless(daemon.host().directory().root());
}

#[test]
fn a_reload_to_a_class_that_cannot_be_run_changes_nothing() {
    let Some(queue) = Beanstalkd::start() else { return };
    let Some(host) = php_host(&queue, "") else { return };
    let daemon = host.start();
    let file = daemon.host().path("host.toml");
    let config = fs::read_to_string(&file).expect("the configuration");
    fs::write(&file, config.replace("Core\\Mailler", "Core\\Mailer")).expect("it is written");
    let told = daemon.run(&["reload", "--wait"]).failed(1);
    assert!(told.contains("there is no class `Core\\Mailer`"), "{told}");
    let job = put(&queue, &json!({}), json!({}));
    queue.wait_until_gone(job);
}

#[test]
fn the_exit_code_of_a_command_settles_its_job() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = shell_host(&queue, "read code\necho \"as told\" >&2\nexit $code\n", "").start();
    for (code, settled) in [
        ("0", "outcome=done settled=delete"),
        ("65", "outcome=bury settled=bury"),
        ("75", "outcome=retry settled=release delay=60s"),
        ("1", "outcome=failed settled=release delay="),
    ] {
        let job = queue.put("t", format!("{code}\n"));
        let line = daemon.wait_for_settled(job);
        assert!(line.contains(settled), "{line}");
        daemon.wait_for_line(&[&format!("job={job}"), "as told"]);
    }
}

#[test]
fn the_python_example_serves_jobs() {
    let Some(queue) = Beanstalkd::start() else { return };
    if !have("python3", &["--version"], "Debian: apt-get install python3") {
        return;
    }
    let worker = repository().join("examples/python/worker.py");
    let config = format!("[handler.exec]\ncommand = [\"python3\", {worker:?}]\nmode = \"persistent\"\n");
    let daemon = Host::new(&queue).plugin("exec").tube("t").config(&config).start();
    for (payload, settled) in [
        (json!({"to": "ann"}), "outcome=done settled=delete"),
        (
            json!({"to": "ann", "busy": true}),
            "outcome=retry settled=release delay=30s",
        ),
        (json!({"two": "ann"}), "outcome=bury settled=bury"),
    ] {
        let job = queue.put("t", payload.to_string());
        let line = daemon.wait_for_settled(job);
        assert!(line.contains(settled), "{line}");
    }
    daemon.wait_for_line(&["a mail to ann, attempt 1"]);
}
