//! Workers of isolated pools miss nothing that they need themselves: their queue server, their log, their limits and
//! their plugins. And nobody else is isolated.

use std::{fs, net::TcpListener, os::unix::net::UnixListener};

use asynccall_client::protocol::JobState;
use serde_json::json;

use crate::{
    isolation::{ALL_CLOSED, allowed, denied, end, isolates, prowling, server},
    support::{
        Beanstalkd, Daemon, Host, Sink, eventually, plugin,
        plugins::{library, other_echo},
    },
};

#[test]
fn a_name_is_resolved_where_its_files_are_open_and_its_failure_tells_of_the_isolation() {
    let Some(queue) = server() else { return };
    let connect = json!({"connect": format!("localhost:{}", queue.port())});
    let files = "read = [\"/etc/hosts\", \"/etc/nsswitch.conf\"]\nnetwork = \"off\"";
    let daemon = prowling(&queue, files).start();
    allowed(&queue, &daemon, connect.clone());
    drop(daemon);
    let daemon = prowling(&queue, ALL_CLOSED).start();
    let line = end(&queue, &daemon, &connect);
    for part in [
        "outcome=failed",
        "failed to lookup address",
        "; hint: the pool's `isolation`",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn the_master_and_other_pools_are_not_isolated() {
    let Some(queue) = server() else { return };
    let config = "[[pool]]\nname = \"closed\"\ntubes = \"t\"\n[pool.isolation]\nread = []\nnetwork = \"off\"\n\
                  [[pool]]\nname = \"open\"\ntubes = \"u\"\n";
    let daemon = Host::new(&queue).plugin("prowler").config(config).start();
    let read = json!({"read": "/etc/passwd"});
    denied(&queue, &daemon, read.clone());
    let job = queue.put("u", read.to_string());
    let line = daemon.wait_for_line(&["tube=u", &format!("job={job} "), "settled="]);
    assert!(line.contains("outcome=done"), "{line}");
    let filters = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        let mut lines = status.lines();
        lines.find_map(|line| Some(line.strip_prefix("Seccomp_filters:")?.trim().to_owned()))
    };
    assert_eq!(filters(daemon.pid()), filters(std::process::id()));
}

/// The queue server goes and comes again, and the workers find it.
#[track_caller]
fn goes_and_comes(queue: &mut Beanstalkd, daemon: &Daemon) {
    let job = queue.put("t", json!({"read": "/dev/null"}).to_string());
    queue.wait_until_gone(job);
    queue.halt();
    daemon.wait_for_line(&["cannot reach the queue server"]);
    assert!(queue.resume(), "its address is free");
    let job = queue.put("t", json!({"read": "/dev/null"}).to_string());
    queue.wait_until_gone(job);
    daemon.wait_for_line(&["connected again"]);
}

#[test]
fn isolated_workers_connect_again_over_tcp() {
    let Some(mut queue) = server() else {
        return;
    };
    let daemon = prowling(&queue, ALL_CLOSED).start();
    goes_and_comes(&mut queue, &daemon);
}

#[test]
fn isolated_workers_connect_again_over_a_unix_socket() {
    if !isolates() {
        return;
    }
    let Some(mut queue) = Beanstalkd::start_on_unix() else {
        return;
    };
    let daemon = prowling(&queue, ALL_CLOSED).start();
    goes_and_comes(&mut queue, &daemon);
    // Not even this port is open then, but Unix sockets are.
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = elsewhere.local_addr().expect("an address");
    denied(&queue, &daemon, json!({"connect": address.to_string()}));
    let socket = daemon.host().path("socket");
    let _listens = UnixListener::bind(&socket).expect("a socket");
    allowed(&queue, &daemon, json!({"unix": socket}));
}

#[test]
fn isolated_workers_connect_again_to_a_server_that_is_given_by_name() {
    let Some(mut queue) = server() else {
        return;
    };
    let config = format!(
        "[queue]\nhost = \"localhost\"\nport = {}\n[[pool]]\ntubes = \"t\"\n[pool.isolation]\n{ALL_CLOSED}\n",
        queue.port()
    );
    let daemon = Host::unconnected().plugin("prowler").config(&config).start();
    goes_and_comes(&mut queue, &daemon);
}

#[test]
fn a_worker_whose_queue_servers_name_nobody_knows_is_not_isolated_blindly() {
    if !isolates() {
        return;
    }
    let config = format!(
        "[queue]\nhost = \"queue.invalid\"\n[[pool]]\ntubes = \"t\"\n[pool.isolation]\n{ALL_CLOSED}\n"
    );
    let ended = Host::unconnected()
        .plugin("prowler")
        .config(&config)
        .run(&["run"]);
    assert_eq!(ended.code, Some(1), "{ended}");
    let reads = "cannot resolve the queue server's name `queue.invalid`: ";
    assert!(ended.err.contains(reads), "{ended}");
}

#[test]
fn an_isolated_mailer_delivers_over_the_declared_port() {
    let Some(queue) = server() else { return };
    let Some(sink) = Sink::start() else { return };
    let config = format!(
        "[[pool]]\ntubes = \"t\"\n[pool.isolation]\nread = []\nnetwork = [{}]\n{}",
        sink.port,
        sink.mailer_config()
    );
    let _daemon = Host::new(&queue).plugin("mailer").config(&config).start();
    let mail =
        json!({"from": "shop@example.org", "to": "anna@example.org", "subject": "Hello", "text": "Hi"});
    let job = queue.put("t", mail.to_string());
    queue.wait_until_gone(job);
    assert_eq!(sink.mail(1)["to"], json!(["anna@example.org"]));
}

#[test]
fn a_job_for_which_memory_runs_out_is_told_of_the_pools_limit() {
    let Some(queue) = server() else { return };
    let config = "[[pool]]\ntubes = \"t\"\n[pool.rlimits]\nas = 1024\n[pool.isolation]\nread = []\n";
    let daemon = Host::new(&queue).plugin("prowler").config(config).start();
    allowed(&queue, &daemon, json!({"allocate_mib": 16}));
    let job = queue.put("t", json!({"allocate_mib": 2048}).to_string());
    let line = daemon.wait_for_line(&[&format!("job={job} "), "death certificate"]);
    assert!(line.contains("ended=SIGABRT"), "{line}");
    assert!(
        line.contains("hint=\"the pool's `rlimits.as` lets each worker have 1024 MiB\""),
        "{line}"
    );
}

#[test]
fn the_soft_limit_of_memory_holds_for_isolated_workers() {
    let Some(queue) = server() else { return };
    for measure in ["rss", "pss"] {
        let config = format!(
            "[[pool]]\ntubes = \"t\"\nmemory_soft = 256\nmemory_measure = \"{measure}\"\ncron = 20\n[pool.isolation]\n{ALL_CLOSED}\n"
        );
        let daemon = Host::new(&queue).plugin("echo").config(&config).start();
        let job = queue.put("t", json!({"leak_mib": 300}).to_string());
        queue.wait_until_gone(job);
        daemon.wait_for_line(&["which=memory_soft", &format!("measure={measure}")]);
    }
}

#[test]
fn isolated_workers_go_on_in_a_log_file_that_was_rotated() {
    let Some(queue) = server() else { return };
    let host = prowling(&queue, ALL_CLOSED);
    fs::create_dir(host.path("logs")).expect("a directory");
    let log = host.path("logs/host.log");
    let mut flag = std::ffi::OsString::from("--log-path=");
    flag.push(&log);
    let daemon = host.flag(flag).start();
    queue.wait_until_gone(queue.put("t", json!({"read": "/dev/null"}).to_string()));
    fs::rename(&log, daemon.host().path("logs/old.log")).expect("it is there");
    eventually("a worker writes to the new file", || {
        queue.wait_until_gone(queue.put("t", json!({"read": "/dev/null"}).to_string()));
        fs::read_to_string(&log)
            .ok()?
            .contains("outcome=done")
            .then_some(())
    });
    // What a handler may do beside the log file is to write: neither read nor remove.
    let path = |name: &str| daemon.host().path(name).display().to_string();
    for errand in [
        json!({"read": path("logs/old.log")}),
        json!({"remove": path("logs/old.log")}),
    ] {
        let job = queue.put("t", errand.to_string());
        queue.wait_for(job, JobState::Delayed);
    }
    assert!(daemon.host().path("logs/old.log").exists());
}

#[test]
fn a_reload_opens_and_closes_and_a_rollback_goes_back() {
    let Some(queue) = server() else { return };
    let daemon = prowling(&queue, "read = \"/etc\"").start();
    let read = json!({"read": "/etc/passwd"});
    allowed(&queue, &daemon, read.clone());
    let file = daemon.host().path("host.toml");
    let changed = |isolation: &str| {
        let config = format!("[[pool]]\ntubes = \"t\"\n[pool.isolation]\n{isolation}\n");
        fs::write(&file, config).expect("it is ours");
        daemon.run(&["reload", "--wait"])
    };
    changed("read = \"/usr\"").succeeded();
    denied(&queue, &daemon, read.clone());
    // A generation that cannot be isolated as it is declared changes nothing.
    let refused = changed("read = \"/nowhere\"");
    assert!(
        refused.err.contains("cannot open `/nowhere` of `isolation.read`"),
        "{refused}"
    );
    denied(&queue, &daemon, read.clone());
    daemon.run(&["rollback"]).succeeded();
    allowed(&queue, &daemon, read);
}

#[test]
fn an_isolated_worker_loads_a_plugin_that_was_replaced() {
    let Some(queue) = server() else { return };
    let config = format!("[[pool]]\ntubes = \"t\"\n[pool.isolation]\n{ALL_CLOSED}\n");
    let host = Host::new(&queue).config(&config);
    let own = host.directory().copy(&plugin("echo"));
    let daemon = host.load(&own).start();
    let new = fs::read(other_echo()).expect("the other build");
    let new = daemon.host().directory().write("new", new);
    fs::rename(new, daemon.host().path(&library("echo"))).expect("it is put in place");
    daemon.run(&["reload", "--wait"]).succeeded();
    let job = queue.put("t", "1");
    daemon.wait_for_line(&[&format!("job={job} "), "tag=other"]);
}
