//! What the service manager is told (sd_notify(3)), heard by a socket of the test's own.

use std::{fs, os::unix::net::UnixDatagram, path::Path, time::Duration};

use crate::support::{Beanstalkd, Host};

struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).expect("a socket");
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("an option");
        Manager(socket)
    }

    /// Waits for a message that begins so.
    #[track_caller]
    fn hears(&self, beginning: &str) -> String {
        let mut buffer = [0; 1024];
        loop {
            let count = self
                .0
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("no {beginning}: {error}"));
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if text.starts_with(beginning) {
                return text;
            }
        }
    }
}

#[test]
fn the_service_manager_hears_of_start_reload_restart_and_stop() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t");
    let path = host.path("notify.sock");
    let manager = Manager::at(&path);
    let mut daemon = host.variable("NOTIFY_SOCKET", &path).start();
    assert_eq!(manager.hears("READY=1"), "READY=1\nSTATUS=generation 1 serves");
    daemon.run(&["reload", "--wait"]).succeeded();
    assert!(manager.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    assert_eq!(manager.hears("READY=1"), "READY=1\nSTATUS=generation 2 serves");
    daemon.run(&["restart"]).succeeded();
    manager.hears("RELOADING=1");
    assert_eq!(manager.hears("READY=1"), "READY=1\nSTATUS=generation 3 serves");
    assert_eq!(daemon.stop(), Some(0));
    manager.hears("STOPPING=1");
}

#[test]
fn the_watchdog_is_fed_and_workers_do_not_see_the_socket() {
    let Some(queue) = Beanstalkd::start() else { return };
    let host = Host::new(&queue).plugin("echo").tube("t");
    let path = host.path("notify.sock");
    let manager = Manager::at(&path);
    let daemon = host
        .variable("NOTIFY_SOCKET", &path)
        .variable("WATCHDOG_USEC", "200000")
        .start();
    for _ in 0..3 {
        manager.hears("WATCHDOG=1");
    }
    let environment = fs::read(format!("/proc/{}/environ", daemon.workers()[0])).expect("its environment");
    assert!(!String::from_utf8_lossy(&environment).contains("NOTIFY_SOCKET"));
}
