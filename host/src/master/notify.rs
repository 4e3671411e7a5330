//! Tells the service manager where the daemon is in its life (sd_notify(3)).
//!
//! Only where `NOTIFY_SOCKET` names a socket. A manager that does not listen is
//! no reason for anything to fail.

use std::{
    env,
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::{Duration, Instant},
};

use crate::ipc::row::monotonic_ns;

/// The environment variable that names the socket. It is for the master alone.
pub(super) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The way to the service manager, if there is one.
pub(super) struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants a sign of life, and when the next one is due.
    watchdog: Option<(Duration, Instant)>,
}

impl Manager {
    /// The manager that this process was started by.
    pub(super) fn of_process() -> Manager {
        let socket = env::var_os(VARIABLE)
            .and_then(|name| address(&name))
            .and_then(|address| {
                let socket = UnixDatagram::unbound().ok()?;
                // A full queue must not hold the daemon up.
                socket.set_nonblocking(true).ok()?;
                Some((socket, address))
            });
        let watchdog = socket.as_ref().and_then(|_| {
            let period = Duration::from_micros(number("WATCHDOG_USEC")?);
            let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
            // Twice as often as wanted, as sd_watchdog_enabled(3) advises.
            for_us.then(|| (period / 2, Instant::now()))
        });
        Manager { socket, watchdog }
    }

    /// A generation serves.
    pub(super) fn ready(&self, generation: u64) {
        self.send(&format!("READY=1\nSTATUS=generation {generation} serves"));
    }

    /// A new generation is being loaded.
    pub(super) fn reloading(&self) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns() / 1000));
    }

    /// The daemon ends, or executes itself anew.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// When the next sign of life is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due)
    }

    /// Gives a sign of life where one is due.
    pub(super) fn alive(&mut self, now: Instant) {
        if let Some((period, due)) = &mut self.watchdog
            && now >= *due
        {
            *due = now + *period;
            self.send("WATCHDOG=1");
        }
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket {
            // Nobody may be listening any more.
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

/// A path, or an abstract name that begins with `@`.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        _ => SocketAddr::from_pathname(name).ok(),
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok().filter(|number| *number > 0)
}
