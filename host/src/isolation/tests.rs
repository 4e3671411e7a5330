//! Threads of the test are isolated in place of workers: landlock and seccomp are a thread's own.

use std::{
    env, fs,
    io::{self, Write},
    net::UdpSocket,
    os::{
        fd::AsRawFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    sync::LazyLock,
    thread,
};

use super::*;
use crate::config::Network;

/// Whether this kernel can do it; said past the harness's capture where it cannot, and a failure with `CI=true`.
fn isolates(isolation: &Isolation) -> bool {
    let Err(why) = kernel::check(isolation, kernel::landlock()) else {
        return true;
    };
    assert!(
        env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{why}, and CI needs it"
    );
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // A terminal that is gone is no reason to fail.
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {why}");
    false
}

/// What `act` answers on a thread that is isolated.
fn isolated<T: Send>(isolation: &Isolation, needs: &Needs<'_>, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let isolated = scope.spawn(|| {
            enter(isolation, needs).expect("this kernel can do it");
            act()
        });
        isolated.join().expect("no panic")
    })
}

fn needs(plugins: &[RawFd]) -> Needs<'_> {
    static QUEUE: LazyLock<Address> = LazyLock::new(|| "127.0.0.1".parse().expect("an address"));
    Needs {
        queue: &QUEUE,
        log: None,
        plugins,
    }
}

#[test]
fn a_copy_of_a_plugin_on_disk_stays_readable_after_it_was_removed() {
    let closed = Isolation {
        read: Some(Vec::new()),
        ..Isolation::default()
    };
    if !isolates(&closed) {
        return;
    }
    let copy = tempfile::NamedTempFile::new().expect("a file");
    fs::write(copy.path(), "code").expect("it is ours");
    let (copy, path) = copy.into_parts();
    path.close().expect("it is removed");
    let name = format!("/proc/self/fd/{}", copy.as_raw_fd());
    let denied = isolated(&closed, &needs(&[]), || fs::read(&name));
    assert_eq!(
        denied.expect_err("closed").kind(),
        io::ErrorKind::PermissionDenied
    );
    let copies = [copy.as_raw_fd()];
    assert_eq!(
        isolated(&closed, &needs(&copies), || fs::read(&name)).expect("open"),
        b"code"
    );
}

#[test]
fn a_thread_that_is_isolated_isolates_no_other() {
    let closed = Isolation {
        network: Some(Network::default()),
        ..Isolation::default()
    };
    if !isolates(&closed) {
        return;
    }
    let bind = || UdpSocket::bind("127.0.0.1:0").map(drop);
    let denied = isolated(&closed, &needs(&[]), bind).expect_err("closed");
    assert_eq!(denied.raw_os_error(), Some(nix::libc::EACCES));
    bind().expect("the test's own thread is not isolated");
}

#[test]
fn a_pair_of_sockets_leads_nowhere_else() {
    let closed = Isolation {
        network: Some(Network::default()),
        ..Isolation::default()
    };
    if !isolates(&closed) {
        return;
    }
    let pairs = || (UnixStream::pair().map(drop), UnixDatagram::pair().map(drop));
    let (stream, datagrams) = isolated(&closed, &needs(&[]), pairs);
    stream.expect("one end of it never leads anywhere but to the other");
    let denied = datagrams.expect_err("it could be sent to any socket");
    assert_eq!(denied.raw_os_error(), Some(nix::libc::EACCES));
}

#[test]
fn closed_files_keep_their_attributes_and_their_sockets_open() {
    let closed = Isolation {
        read: Some(Vec::new()),
        ..Isolation::default()
    };
    if !isolates(&closed) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let (file, socket) = (directory.path().join("file"), directory.path().join("socket"));
    fs::write(&file, "text").expect("a file");
    let _listens = UnixListener::bind(&socket).expect("a socket");
    let acts = || {
        let mode = fs::set_permissions(&file, fs::Permissions::from_mode(0o600));
        (
            fs::read(&file),
            fs::metadata(&file),
            mode,
            UnixStream::connect(&socket),
        )
    };
    let (content, attributes, mode, connected) = isolated(&closed, &needs(&[]), acts);
    let denied = content.expect_err("it is closed");
    assert_eq!(denied.raw_os_error(), Some(nix::libc::EACCES));
    assert_eq!(attributes.expect("they are open").len(), 4);
    mode.expect("it is the owner's to change");
    connected.expect("it is of the network");
}

#[test]
fn a_path_that_cannot_be_opened_is_told_with_what_to_do() {
    let error = |kind: io::ErrorKind| {
        let source = io::Error::new(kind, "the system's words");
        IsolationError::declared("read", Path::new("/srv/in"), source).to_string()
    };
    let errors = [
        error(io::ErrorKind::NotFound),
        error(io::ErrorKind::PermissionDenied),
        error(io::ErrorKind::OutOfMemory),
    ];
    insta::assert_snapshot!(errors.join("\n"), @"
    cannot open `/srv/in` of `isolation.read`: the system's words
      hint: a path must be there before a worker starts, and so must every directory above it
    cannot open `/srv/in` of `isolation.read`: the system's words
      hint: whoever the daemon runs as must be able to search every directory above it (`chmod +x`)
    cannot open `/srv/in` of `isolation.read`: the system's words
    ");
}
