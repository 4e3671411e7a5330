//! Pools whose operator has closed files and network to their workers: what stays possible, how a denied call reads,
//! and that the workers themselves miss nothing.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use asynccall_client::protocol::JobState;
use serde_json::{Value, json};

use crate::support::{
    Beanstalkd, Daemon, Host, Sink, eventually, have, plugin,
    plugins::{library, other_echo},
    skip,
};

/// Whether this kernel isolates; said aloud where it does not.
#[track_caller]
fn isolates() -> bool {
    let config = format!("[[pool]]\n[pool.isolation]\n{ALL_CLOSED}\n");
    let checked = Host::unconnected()
        .plugin("prowler")
        .config(&config)
        .run(&["check"]);
    if checked.err.contains("this kernel has") {
        skip("the kernel has no landlock, or an old one");
        return false;
    }
    true
}

/// A queue server, where this kernel isolates.
#[track_caller]
fn server() -> Option<Beanstalkd> {
    isolates().then(Beanstalkd::start).flatten()
}

const ALL_CLOSED: &str = "read = []\nnetwork = \"off\"";

/// A host whose one pool runs `prowler` with that isolation.
#[track_caller]
fn prowling(queue: &Beanstalkd, isolation: &str) -> Host {
    let config = format!("[[pool]]\ntubes = \"t\"\n[pool.isolation]\n{isolation}\n");
    Host::new(queue).plugin("prowler").config(&config)
}

/// The line that tells how an errand ended.
#[track_caller]
fn end(queue: &Beanstalkd, daemon: &Daemon, errand: &Value) -> String {
    let job = queue.put("t", errand.to_string());
    daemon.wait_for_line(&[&format!("job={job} "), "settled="])
}

#[track_caller]
fn allowed(queue: &Beanstalkd, daemon: &Daemon, errand: Value) {
    let line = end(queue, daemon, &errand);
    assert!(line.contains("outcome=done"), "{errand}: {line}");
}

/// The handler got EACCES and said so, and the line adds what the pool allows.
#[track_caller]
fn denied(queue: &Beanstalkd, daemon: &Daemon, errand: Value) -> String {
    let line = end(queue, daemon, &errand);
    let reads = "Permission denied (os error 13); hint: the pool's `isolation` may deny it: ";
    assert!(line.contains(reads), "{errand}: {line}");
    line
}

/// A program of the shell.
fn script(path: &Path) {
    fs::write(path, "#!/bin/sh\nexit 0\n").expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

#[test]
fn files_are_closed_but_for_those_that_are_declared() {
    let Some(queue) = server() else { return };
    let host = prowling(
        &queue,
        "read = [\"open\"]\nwrite = \"out\"\nexecute = [\"bin\", \"/bin/sh\"]",
    );
    for directory in ["open", "out", "bin", "closed"] {
        fs::create_dir(host.path(directory)).expect("a directory");
        fs::write(host.path(directory).join("file"), "text").expect("a file");
        script(&host.path(directory).join("script"));
    }
    let daemon = host.start();
    let path = |name: &str| daemon.host().path(name).display().to_string();

    allowed(&queue, &daemon, json!({"read": path("open/file")}));
    allowed(&queue, &daemon, json!({"list": path("open")}));
    allowed(&queue, &daemon, json!({"read": path("out/file")}));
    allowed(&queue, &daemon, json!({"write": path("out/new")}));
    allowed(&queue, &daemon, json!({"remove": path("out/new")}));
    allowed(&queue, &daemon, json!({"read": path("bin/script")}));
    allowed(&queue, &daemon, json!({"execute": path("bin/script")}));

    let line = denied(&queue, &daemon, json!({"read": path("closed/file")}));
    let told = format!(
        "`read` has {}, `write` has {}, `execute` has {} /bin/sh\"",
        path("open"),
        path("out"),
        path("bin")
    );
    assert!(line.contains(&told), "{line}");
    for errand in [
        json!({"read": "/etc/passwd"}),
        json!({"read": "/proc/1/environ"}),
        json!({"list": path("")}),
        json!({"write": path("open/file")}),
        json!({"write": path("open/new")}),
        json!({"remove": path("open/file")}),
        json!({"write": path("bin/script")}),
        json!({"execute": path("open/script")}),
        json!({"execute": path("out/script")}),
        json!({"execute": "/bin/true"}),
    ] {
        denied(&queue, &daemon, errand);
    }
    assert_eq!(
        fs::read(daemon.host().path("open/file")).expect("it is there"),
        b"text"
    );
    assert_eq!(daemon.total("crashed"), 0, "a denied call ends nobody");
}

#[test]
fn a_closed_network_leaves_tcp_to_the_queue_server_and_nothing_else() {
    let Some(queue) = server() else { return };
    let daemon = prowling(&queue, "network = \"off\"").start();
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = elsewhere.local_addr().expect("an address");
    let socket = daemon.host().path("socket");
    let _listens = UnixListener::bind(&socket).expect("a socket");

    allowed(
        &queue,
        &daemon,
        json!({"connect": format!("127.0.0.1:{}", queue.port())}),
    );
    allowed(
        &queue,
        &daemon,
        json!({"connect": format!("localhost:{}", queue.port())}),
    );
    allowed(&queue, &daemon, json!({"read": "/etc/passwd"}));
    let line = denied(&queue, &daemon, json!({"connect": address.to_string()}));
    assert!(
        line.contains("`network` has nothing but the queue server\""),
        "{line}"
    );
    denied(&queue, &daemon, json!({"fast_open": address.to_string()}));
    denied(
        &queue,
        &daemon,
        json!({"fast_open": format!("127.0.0.1:{}", queue.port())}),
    );
    denied(&queue, &daemon, json!("listen"));
    denied(&queue, &daemon, json!({"unix": socket}));
    // UDP, ICMP, raw IP, SCTP and MPTCP, netlink, packets and virtual machines (socket(2)).
    for socket in [
        [2, 2, 0],
        [10, 2, 17],
        [2, 2, 1],
        [2, 3, 255],
        [2, 1, 132],
        [2, 1, 262],
        [16, 3, 0],
        [17, 3, 3],
        [40, 1, 0],
    ] {
        denied(&queue, &daemon, json!({"socket": socket}));
    }
    elsewhere.set_nonblocking(true).expect("it is ours");
    elsewhere.accept().expect_err("nobody has come");
    assert_eq!(daemon.total("crashed"), 0, "a denied call ends nobody");
}

#[test]
fn ports_udp_and_unix_sockets_are_open_where_they_are_declared() {
    let Some(queue) = server() else { return };
    let declared = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = declared.local_addr().expect("an address").port();
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let other = other.local_addr().expect("an address");
    let daemon = prowling(&queue, &format!("network = [{port}, \"unix\", \"udp\"]")).start();
    let socket = daemon.host().path("socket");
    let _listens = UnixListener::bind(&socket).expect("a socket");
    allowed(&queue, &daemon, json!({"connect": format!("127.0.0.1:{port}")}));
    allowed(&queue, &daemon, json!({"unix": socket}));
    allowed(&queue, &daemon, json!({"socket": [2, 2, 0]}));
    allowed(&queue, &daemon, json!({"socket": [10, 2, 17]}));
    let line = denied(&queue, &daemon, json!({"connect": other.to_string()}));
    assert!(
        line.contains(&format!("`network` has {port} unix udp\"")),
        "{line}"
    );
    denied(&queue, &daemon, json!({"socket": [2, 2, 1]}));
    denied(&queue, &daemon, json!("listen"));
}

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
fn a_denied_call_of_a_handler_that_is_made_or_checks_itself_keeps_the_daemon_from_starting() {
    if !isolates() {
        return;
    }
    for (key, says) in [("made_of", "cannot create"), ("checked", "check")] {
        let config = format!(
            "[[pool]]\ntubes = \"t\"\n[pool.isolation]\nread = \"/usr\"\n[handler.prowler]\n{key} = \"/etc/passwd\"\n"
        );
        let ended = Host::unconnected()
            .plugin("prowler")
            .config(&config)
            .run(&["run"]);
        assert_eq!(ended.code, Some(1), "{ended}");
        let reads = "cannot read `/etc/passwd`: Permission denied (os error 13)";
        let hint = "\n  hint: the pool's `isolation` may deny it: `read` has /usr, `write` has nothing, `execute` has nothing\n";
        for part in [says, reads, hint] {
            assert!(ended.err.contains(part), "{key}: {ended}");
        }
    }
}

#[test]
fn a_path_that_is_not_there_is_refused_by_check_and_start() {
    if !isolates() {
        return;
    }
    let config = "[[pool]]\ntubes = \"t\"\n[pool.isolation]\nread = \"/usr\"\nwrite = \"spool\"\n";
    let host = Host::unconnected().plugin("prowler").config(config);
    for command in ["check", "run"] {
        insta::allow_duplicates! { insta::assert_snapshot!(host.run(&[command]).failed(78), @"
        error: pool `default`: cannot open `DIR/spool` of `isolation.write`: No such file or directory (os error 2)
          hint: a path must be there before a worker starts, and so must every directory above it
        ") }
    }
    assert!(!host.held().exists());
    fs::create_dir(host.path("spool")).expect("a directory");
    host.run(&["check"]).succeeded();
}

#[test]
fn programs_that_a_handler_starts_are_isolated_as_well() {
    let Some(queue) = server() else { return };
    let host = Host::new(&queue).plugin("exec");
    let job = host
        .directory()
        .write("job.sh", "read file\ncat \"$file\" >&2 || exit 1\n");
    let secret = host.directory().write("secret", "text");
    let config = format!(
        "[[pool]]\ntubes = \"t\"\n[pool.isolation]\nread = {job:?}\nexecute = [\"/bin/sh\", \"/bin/cat\"]\nnetwork = \"off\"\n\
         [handler.exec]\ncommand = [\"/bin/sh\", {job:?}]\nmode = \"oneshot\"\n"
    );
    let daemon = host.config(&config).start();
    let open = queue.put("t", format!("{}\n", job.display()));
    queue.wait_until_gone(open);
    let closed = queue.put("t", format!("{}\n", secret.display()));
    let line = daemon.wait_for_line(&[&format!("job={closed} "), "settled="]);
    let reads = "secret: Permission denied";
    assert!(line.contains(reads), "{line}");
    assert!(
        line.contains("; hint: the pool's `isolation` may deny it: "),
        "{line}"
    );
}

/// Ends with an error that names the first call which is not denied: a ring (io_uring_setup(2)), and the socket and the
/// two messages of the x32 ABI.
const WAYS_AROUND: &str = r#"
import ctypes, errno, platform, sys
libc = ctypes.CDLL(None, use_errno=True)
X32, FAST_OPEN = 0x40000000, 0x20000000
calls = [(425, 8, 0, 0, 0)]
if platform.machine() == "x86_64":
    calls += [(X32 | 41, 2, 2, 0, 0), (X32 | 518, 0, 0, FAST_OPEN, 0), (X32 | 538, 0, 0, 0, FAST_OPEN)]
for call in calls:
    libc.syscall(*[ctypes.c_long(number) for number in call])
    if ctypes.get_errno() != errno.EACCES:
        sys.exit(f"{call} got {errno.errorcode.get(ctypes.get_errno())}")
"#;

#[test]
fn the_ways_around_a_closed_network_are_closed_too() {
    let Some(queue) = server() else { return };
    if !have(
        "/usr/bin/python3",
        &["-c", "import ctypes"],
        "Debian: apt-get install python3",
    ) {
        return;
    }
    let host = Host::new(&queue).plugin("exec");
    let script = host.directory().write("job.py", WAYS_AROUND);
    let exec = format!("[handler.exec]\ncommand = [\"/usr/bin/python3\", {script:?}]\nmode = \"oneshot\"\n");
    let config = format!("[[pool]]\ntubes = \"t\"\n[pool.isolation]\nnetwork = \"off\"\n{exec}");
    let daemon = host.config(&config).start();
    let job = queue.put("t", "1");
    let line = daemon.wait_for_line(&[&format!("job={job} "), "settled="]);
    assert!(line.contains("outcome=done"), "{line}");
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
