//! Whether the kernel can do what a pool declares.

use std::fmt;

use landlock::{ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr};

use super::IsolationError;
use crate::config::Isolation;

/// The first version of landlock that can close files whole: before it, anybody could truncate them (landlock(7)).
pub(super) const FILES: ABI = ABI::V3;
/// The first version that knows TCP.
pub(super) const NETWORK: ABI = ABI::V4;

/// What is declared, and what the kernel has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lacking {
    what: &'static str,
    wanted: ABI,
    found: ABI,
}

impl fmt::Display for Lacking {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lacking { what, wanted, found } = *self;
        let (linux, keys) = match wanted {
            NETWORK => ("6.7", "`network`"),
            _ => ("6.2", "`read`, `write` and `execute`"),
        };
        let number = wanted as i32;
        write!(
            out,
            "`isolation` closes {what}, which takes landlock version {number} (Linux {linux}); this kernel has "
        )?;
        match found {
            ABI::Unsupported => out.write_str(
                "none\n  hint: boot a newer kernel, or one with `landlock` in its `lsm=` parameter; in a container, let its system calls through; or leave `[pool.isolation]` out",
            ),
            found => write!(
                out,
                "version {}\n  hint: boot a newer kernel, or leave {what} open: `isolation` without {keys}",
                found as i32
            ),
        }
    }
}

/// What this kernel has of landlock, as far as matters here.
pub(super) fn landlock() -> ABI {
    let has = |abi: &ABI| {
        let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let files = strict().handle_access(AccessFs::from_all(*abi));
        let network = AccessNet::from_all(*abi);
        files.is_ok() && (network.is_empty() || strict().handle_access(network).is_ok())
    };
    let versions = [NETWORK, FILES, ABI::V2, ABI::V1];
    versions.into_iter().find(has).unwrap_or(ABI::Unsupported)
}

/// Whether a kernel with that landlock can do what is declared.
pub(super) fn check(isolation: &Isolation, found: ABI) -> Result<(), IsolationError> {
    let closed = [
        (isolation.closes_files(), "files", FILES),
        (isolation.network.is_some(), "the network", NETWORK),
    ];
    let mut lacking = closed
        .into_iter()
        .filter(|(is_closed, _, wanted)| *is_closed && found < *wanted);
    match lacking.next() {
        None => Ok(()),
        Some((_, what, wanted)) => Err(IsolationError::Kernel(Lacking { what, wanted, found })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Network;

    fn said(isolation: &Isolation, found: ABI) -> String {
        check(isolation, found).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn a_kernel_that_cannot_do_what_is_declared_is_named_with_what_it_has_and_what_it_takes() {
        let files = Isolation {
            write: Some(Vec::new()),
            ..Isolation::default()
        };
        let network = Isolation {
            network: Some(Network::default()),
            ..Isolation::default()
        };
        insta::assert_snapshot!(said(&files, ABI::Unsupported), @"
        `isolation` closes files, which takes landlock version 3 (Linux 6.2); this kernel has none
          hint: boot a newer kernel, or one with `landlock` in its `lsm=` parameter; in a container, let its system calls through; or leave `[pool.isolation]` out
        ");
        insta::assert_snapshot!(said(&files, ABI::V2), @"
        `isolation` closes files, which takes landlock version 3 (Linux 6.2); this kernel has version 2
          hint: boot a newer kernel, or leave files open: `isolation` without `read`, `write` and `execute`
        ");
        insta::assert_snapshot!(said(&network, ABI::V3), @"
        `isolation` closes the network, which takes landlock version 4 (Linux 6.7); this kernel has version 3
          hint: boot a newer kernel, or leave the network open: `isolation` without `network`
        ");
        assert_eq!(said(&files, ABI::V3), "fine");
        assert_eq!(said(&network, ABI::V4), "fine");
        assert_eq!(said(&Isolation::default(), ABI::Unsupported), "fine");
    }
}
