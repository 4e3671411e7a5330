//! The table of the server's options in the PHP library's manual, row by row: a file with the library's own names.
//!
//! The table of the client's parameters is in [`call`](super::call); both are rows of the migration guides.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use crate::support::{
    Beanstalkd, Daemon, Directory, Host, Proxy,
    daemon::workers,
    php,
    proxy::{Fate, Way},
    queue::php_tube,
};

/// A daemon whose file says `options` and where its queue server is.
fn host(queue: &Beanstalkd, options: &str) -> Host {
    let port = queue.port();
    let text = format!("host = \"127.0.0.1\"\nport = {port}\n{options}\n");
    Host::unconnected().plugin("echo").config(&text)
}

/// Has a job done that a PHP producer puts where it believes `tube` to be.
fn have_done(queue: &Beanstalkd, daemon: &Daemon, tube: &str) {
    let job = queue.put(&php_tube(tube), "a:1:{s:5:\"model\";s:4:\"Test\";}");
    queue.wait_until_gone(job);
    let line = daemon.wait_for_settled(job);
    assert!(line.contains("outcome=done settled=delete"), "{line}");
}

#[test]
fn the_option_host_is_the_queue_servers_name() {
    let Some(queue) = Beanstalkd::start() else { return };
    let text = format!("host = \"localhost\"\nport = {}\ntube = \"t\"\n", queue.port());
    let daemon = Host::unconnected().plugin("echo").config(&text).start();
    have_done(&queue, &daemon, "t");
}

#[test]
fn the_option_port_is_the_queue_servers_port_without_quotes() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, "tube = \"t\"").start();
    have_done(&queue, &daemon, "t");
    let quoted = Host::unconnected().plugin("echo").config("port = \"11300\"\n");
    let quoted = quoted.run(&["check"]);
    assert_eq!(quoted.code, Some(78), "{quoted}");
    assert!(quoted.err.contains("hint: write it without quotes"), "{quoted}");
}

#[test]
fn the_option_tube_is_one_name_or_a_list_of_them() {
    let Some(queue) = Beanstalkd::start() else { return };
    let one = host(&queue, "tube = \"one\"").start();
    have_done(&queue, &one, "one");
    let two = host(&queue, "tube = [\"two\", \"three\"]").start();
    have_done(&queue, &two, "two");
    have_done(&queue, &two, "three");
}

#[test]
fn the_option_worker_num_is_the_number_of_processes() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, "tube = \"t\"\nworkerNum = 3").start();
    let ready = |worker: &&serde_json::Value| worker["state"] == "ready";
    daemon.wait_for_status("three are ready", |status| {
        workers(status).filter(ready).count() == 3
    });
    assert_eq!(daemon.workers().len(), 3);
}

#[test]
fn the_option_reserve_timeout_is_sent_with_each_reserve() {
    let Some(queue) = Beanstalkd::start() else { return };
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = sent.clone();
    let proxy = Proxy::start(&queue, move |_| {
        let seen = seen.clone();
        Box::new(move |way, bytes| {
            if way == Way::ToServer {
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(bytes);
            }
            Fate::Pass
        })
    });
    let text = format!(
        "host = \"127.0.0.1\"\nport = {}\ntube = \"t\"\nreserveTimeout = 7\n",
        proxy.port()
    );
    let daemon = Host::unconnected().plugin("echo").config(&text).start();
    have_done(&queue, &daemon, "t");
    let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = String::from_utf8_lossy(&sent);
    assert!(sent.contains("reserve-with-timeout 7\r\n"), "{sent}");
}

#[test]
fn the_option_max_request_is_the_number_of_jobs_after_which_a_worker_is_replaced() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, "tube = \"t\"\nmaxRequest = 5")
        .flag("--min-lifetime=0")
        .start();
    let first = daemon.workers();
    for _ in 0..20 {
        have_done(&queue, &daemon, "t");
    }
    daemon.wait_for_status("another worker serves", |status| {
        workers(status).any(|worker| worker["state"] == "ready" && worker["pid"] != first[0])
    });
    daemon.wait_for_line(&["wants a successor"]);
}

#[test]
fn the_option_cron_is_the_period_in_which_a_worker_looks_after_its_limits() {
    let Some(queue) = Beanstalkd::start() else { return };
    let daemon = host(&queue, "tube = \"t\"\ncron = 50")
        .flag("--max-age=1")
        .start();
    // Without a job: it is the period alone that tells.
    daemon.wait_for_line(&["wants a successor"]);
}

#[test]
fn the_option_daemonize_sends_the_daemon_to_the_background() {
    let Some(queue) = Beanstalkd::start() else { return };
    let (ended, daemon) = host(&queue, "tube = \"t\"\ndaemonize = true").run_in_background(&[]);
    assert_eq!(ended.code, Some(0), "{ended}");
    have_done(&queue, &daemon, "t");
}

#[test]
fn the_option_pid_file_names_the_file_with_the_masters_pid() {
    let Some(queue) = Beanstalkd::start() else { return };
    let place = Directory::new();
    let path = place.path(".async_task.pid");
    let options = format!("tube = \"t\"\npidFile = \"{}\"", path.display());
    let daemon = host(&queue, &options).pid_file_unnamed(&path).start();
    let text = fs::read_to_string(&path).expect("the pid file");
    assert_eq!(text, daemon.pid().to_string());
}

#[test]
fn the_option_log_path_names_the_log_file() {
    let Some(queue) = Beanstalkd::start() else { return };
    let place = Directory::new();
    let path = place.path("async.log");
    let options = format!("tube = \"t\"\nlogPath = \"{}\"", path.display());
    let mut daemon = host(&queue, &options).start();
    assert_eq!(daemon.stop(), Some(0));
    let log = fs::read_to_string(&path).expect("the log file");
    assert!(log.contains(" serving") && log.contains(" stopped"), "{log}");
}

#[test]
fn a_php_producer_of_the_manual_is_served_without_a_change() {
    let Some(queue) = Beanstalkd::start() else { return };
    if !php::installed() {
        return;
    }
    let daemon = host(&queue, "tube = \"test_tube\"").start();
    let call =
        serde_json::json!({"model": "Order", "modelParams": 7, "method": "cancel", "retryIntervalTime": 600});
    let job = php::put(&queue, "test_tube", &serde_json::json!({"call": call}));
    queue.wait_until_gone(job);
    assert!(daemon.wait_for_settled(job).contains("tube=test_tube"));
}

#[test]
fn every_test_that_the_migration_guides_name_exists() {
    let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/migration");
    for guide in ["README.md", "README.zh.md"] {
        let text = fs::read_to_string(guides.join(guide)).expect("the guide");
        let named = text.split('`').filter_map(|word| word.split_once("::"));
        let named =
            named.filter(|(module, _)| module.chars().all(|letter| matches!(letter, 'a'..='z' | '_')));
        let mut count = 0;
        for (module, test) in named.filter(|(module, _)| *module != "asynccall_client") {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/{module}.rs"));
            let source = fs::read_to_string(&path).expect(module);
            let is_there = test == "*" || source.contains(&format!("\nfn {test}() {{"));
            assert!(is_there, "{guide}: no test `{module}::{test}`");
            count += 1;
        }
        assert!(count > 40, "{guide}: {count} tests");
    }
}
