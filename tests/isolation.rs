//! Pools whose operator has closed files and network to their workers: what stays possible, and how a denied call
//! reads. That the workers themselves miss nothing is shown in [`super::isolated_workers`].

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use serde_json::{Value, json};

use crate::support::{Beanstalkd, Daemon, Host, have, skip};

/// Whether this kernel isolates; said aloud where it does not.
#[track_caller]
pub(crate) fn isolates() -> bool {
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
pub(crate) fn server() -> Option<Beanstalkd> {
    isolates().then(Beanstalkd::start).flatten()
}

/// Nothing is declared.
pub(crate) const ALL_CLOSED: &str = "read = []\nnetwork = \"off\"";

/// A host whose one pool runs `prowler` with that isolation.
#[track_caller]
pub(crate) fn prowling(queue: &Beanstalkd, isolation: &str) -> Host {
    let config = format!("[[pool]]\ntubes = \"t\"\n[pool.isolation]\n{isolation}\n");
    Host::new(queue).plugin("prowler").config(&config)
}

/// The line that tells how an errand ended.
#[track_caller]
pub(crate) fn end(queue: &Beanstalkd, daemon: &Daemon, errand: &Value) -> String {
    let job = queue.put("t", errand.to_string());
    daemon.wait_for_line(&[&format!("job={job} "), "settled="])
}

/// The handler did what it was sent for.
#[track_caller]
pub(crate) fn allowed(queue: &Beanstalkd, daemon: &Daemon, errand: Value) {
    let line = end(queue, daemon, &errand);
    assert!(line.contains("outcome=done"), "{errand}: {line}");
}

/// The handler got EACCES and said so, and the line adds what the pool allows.
#[track_caller]
pub(crate) fn denied(queue: &Beanstalkd, daemon: &Daemon, errand: Value) -> String {
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
