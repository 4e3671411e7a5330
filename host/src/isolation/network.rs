//! The sockets that stay possible where a pool closes the network: TCP towards the queue server, and the ways out that
//! are declared.
//!
//! Landlock knows TCP, by port. All else is refused where a socket is made, by a filter of system calls, and so are the
//! ways around both: a socket that listens without an address of its own, a connection by the first message, and io_uring.

use std::collections::{BTreeMap, BTreeSet};

use asynccall_client::connection::Address;
use landlock::{AccessNet, NetPort, RulesetCreated, RulesetCreatedAttr};
use nix::libc;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::IsolationError;
use crate::config::Network;

/// The part of a socket's type that is no flag (`SOCK_TYPE_MASK` of the kernel).
const TYPE: u64 = 0xf;
/// What marks a call of the x32 ABI. It has the architecture of x86-64, and its own numbers for two of the calls.
#[cfg(target_arch = "x86_64")]
const X32: (i64, [(i64, i64); 2]) = (0x4000_0000, [(libc::SYS_sendmsg, 518), (libc::SYS_sendmmsg, 538)]);

/// Adds the ports to which a connection may be made. None may be listened on.
pub(super) fn allow(
    mut ruleset: RulesetCreated,
    network: &Network,
    queue: &Address,
) -> Result<RulesetCreated, IsolationError> {
    let of_queue = match queue {
        Address::Tcp { port, .. } => Some(*port),
        Address::Unix(_) => None,
    };
    let ports: BTreeSet<u16> = of_queue
        .into_iter()
        .chain(network.ports.iter().copied())
        .collect();
    for port in ports {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    Ok(ruleset)
}

/// Refuses this thread, and whatever it starts, all sockets but those that are left open.
pub(super) fn filter(network: &Network, queue: &Address) -> Result<(), seccompiler::Error> {
    let unix = network.unix || matches!(queue, Address::Unix(_));
    let rules = with_x32(refused(unix, network.udp)?);
    let arch = std::env::consts::ARCH.try_into()?;
    let refuse = SeccompAction::Errno(libc::EACCES.unsigned_abs());
    let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()?;
    seccompiler::apply_filter(&program)
}

/// By the number of a system call: the arguments for which it is refused; any, where there is no rule.
type Refused = BTreeMap<i64, Vec<SeccompRule>>;

fn refused(unix: bool, udp: bool) -> Result<Refused, BackendError> {
    Ok(BTreeMap::from([
        (libc::SYS_socket, sockets(unix, udp)?),
        (libc::SYS_socketpair, pairs(unix)?),
        // A socket that has no address yet gets one by listening.
        (libc::SYS_listen, Vec::new()),
        (libc::SYS_sendto, vec![fast_open(3)?]),
        (libc::SYS_sendmsg, vec![fast_open(2)?]),
        (libc::SYS_sendmmsg, vec![fast_open(3)?]),
        // A ring makes sockets without a system call for each.
        (libc::SYS_io_uring_setup, Vec::new()),
    ]))
}

/// The sockets of socket(2) that are refused. TCP is landlock's to judge.
fn sockets(unix: bool, udp: bool) -> Result<Vec<SeccompRule>, BackendError> {
    let families: &[i32] = match unix {
        true => &[libc::AF_INET, libc::AF_INET6, libc::AF_UNIX],
        false => &[libc::AF_INET, libc::AF_INET6],
    };
    let none_of_these = families.iter().map(|family| is_not(0, *family));
    let mut rules = vec![SeccompRule::new(none_of_these.collect::<Result<_, _>>()?)?];
    for kind in 0..=TYPE {
        let protocol = match i32::try_from(kind) {
            Ok(libc::SOCK_STREAM) => Some(libc::IPPROTO_TCP),
            Ok(libc::SOCK_DGRAM) if udp => Some(libc::IPPROTO_UDP),
            _ => None,
        };
        let mut rule = vec![is_not(0, libc::AF_UNIX)?, is_of_type(kind)?];
        if let Some(protocol) = protocol {
            rule.extend([is_not(2, 0)?, is_not(2, protocol)?]);
        }
        rules.push(SeccompRule::new(rule)?);
    }
    Ok(rules)
}

/// The pairs of socketpair(2) that are refused: those of which one end can be made to lead elsewhere.
fn pairs(unix: bool) -> Result<Vec<SeccompRule>, BackendError> {
    let mut rules = vec![SeccompRule::new(vec![is_not(0, libc::AF_UNIX)?])?];
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
        if !unix {
            rules.push(SeccompRule::new(vec![is_of_type(kind.unsigned_abs().into())?])?);
        }
    }
    Ok(rules)
}

/// A message that makes its own connection (tcp(7)), by the flags in that argument.
fn fast_open(argument: u8) -> Result<SeccompRule, BackendError> {
    let flag = u64::from(libc::MSG_FASTOPEN.unsigned_abs());
    SeccompRule::new(vec![condition(argument, SeccompCmpOp::MaskedEq(flag), flag)?])
}

fn is_not(argument: u8, value: i32) -> Result<SeccompCondition, BackendError> {
    condition(argument, SeccompCmpOp::Ne, value.unsigned_abs().into())
}

fn is_of_type(kind: u64) -> Result<SeccompCondition, BackendError> {
    condition(1, SeccompCmpOp::MaskedEq(TYPE), kind)
}

/// Of an `int`, which is the lower half of its register.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

/// With the same calls of the x32 ABI.
#[cfg(target_arch = "x86_64")]
fn with_x32(mut rules: Refused) -> Refused {
    let (mark, renumbered) = X32;
    let number = |call: i64| {
        let own = renumbered.iter().find(|(ordinary, _)| *ordinary == call);
        mark + own.map_or(call, |(_, own)| *own)
    };
    let twins: Vec<_> = rules
        .iter()
        .map(|(call, rules)| (number(*call), rules.clone()))
        .collect();
    rules.extend(twins);
    rules
}

#[cfg(not(target_arch = "x86_64"))]
fn with_x32(rules: Refused) -> Refused {
    rules
}
