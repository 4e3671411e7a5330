//! When the queue server answered a delete, as the loopback device saw it.
//!
//! Nobody stands in the way of what is timed: the kernel copies packets with the time at which they came, and they are read
//! when all is over.

use std::{
    collections::HashMap,
    io::{self, IoSliceMut},
    os::fd::{AsRawFd, OwnedFd},
};

use asynccall_host::ipc::row::monotonic_ns;
use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg,
            setsockopt, socket,
            sockopt::{RcvBufForce, ReceiveTimestampns},
        },
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
};

/// What is kept of the packets of a run, in bytes: some thousand for each, with the kernel's own.
const KEPT: usize = 128 * 1024 * 1024;
/// The headers and the beginning of what a packet carries, in bytes.
const BEGINNING: usize = 256;

/// A tap on what goes to and from a queue server over IPv4 and the loopback device.
pub(crate) struct Tap {
    socket: OwnedFd,
    port: u16,
}

impl Tap {
    /// Begins to keep packets.
    ///
    /// # Errors
    /// This process may not: it wants `CAP_NET_RAW` and `CAP_NET_ADMIN`, as root has.
    pub(crate) fn on(port: u16) -> io::Result<Tap> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(
            AddressFamily::Packet,
            SockType::Datagram,
            flags,
            SockProtocol::EthIp,
        )?;
        setsockopt(&socket, RcvBufForce, &KEPT)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        Ok(Tap { socket, port })
    }

    /// For each job that was deleted, when that was, in nanoseconds of [`monotonic_ns`].
    pub(crate) fn deletes(self) -> Vec<(u64, u64)> {
        let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("a clock of Linux");
        let ahead = nanoseconds(&now) - monotonic_ns();
        // A connection has one job at a time.
        let (mut jobs, mut deletes) = (HashMap::new(), Vec::new());
        let mut bytes = [0; BEGINNING];
        while let Some((length, came)) = self.next(&mut bytes) {
            let Some(segment) = Segment::of(&bytes[..length]) else {
                continue;
            };
            if segment.to == self.port
                && let Some(rest) = segment.carries.strip_prefix(b"delete ")
            {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
                let id = digits.fold(0, |id, digit| id * 10 + u64::from(digit - b'0'));
                jobs.insert(segment.from, id);
            }
            if segment.from == self.port
                && segment.carries.starts_with(b"DELETED")
                && let Some(id) = jobs.remove(&segment.to)
            {
                deletes.push((id, came - ahead));
            }
        }
        deletes
    }

    /// The next packet that was kept: how much of it there is, and when it came, in nanoseconds of the wall clock.
    fn next(&self, bytes: &mut [u8]) -> Option<(usize, u64)> {
        let mut control = cmsg_space!(TimeSpec);
        let mut into = [IoSliceMut::new(bytes)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = match recvmsg::<()>(self.socket.as_raw_fd(), &mut into, Some(&mut control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return None,
            Err(error) => panic!("cannot read packets: {error}"),
        };
        let came = message
            .cmsgs()
            .expect("there is room")
            .find_map(|part| match part {
                ControlMessageOwned::ScmTimestampns(came) => Some(nanoseconds(&came)),
                _ => None,
            });
        Some((message.bytes, came.expect("it was asked for")))
    }
}

/// What is of interest in a TCP segment (RFC 9293, section 3.1) and the IPv4 header before it (RFC 791, section 3.1).
struct Segment<'a> {
    from: u16,
    to: u16,
    carries: &'a [u8],
}

impl Segment<'_> {
    fn of(packet: &[u8]) -> Option<Segment<'_>> {
        let tcp = packet.get(usize::from(packet.first()? & 0xf) * 4..)?;
        let number = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
        Some(Segment {
            from: number(0)?,
            to: number(2)?,
            carries: tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?,
        })
    }
}

fn nanoseconds(time: &TimeSpec) -> u64 {
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}
