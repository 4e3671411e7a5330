//! What a worker gives up for good before it loads the first plugin: new privileges, resources beyond its pool's
//! limits, and what the pool's isolation closes.
//!
//! What it starts inherits all of it. Which user it runs as was decided by its master.

use nix::sys::{
    prctl::set_no_new_privs,
    resource::{Resource, getrlimit, setrlimit},
};

use crate::{
    config::{Pool, Rlimits},
    isolation::{self, Needs},
};

const MIB: u64 = 1024 * 1024;

/// Confines this process and all threads that it will start. The error is the text for the operator.
///
/// Called on the main thread while there is no other: the kernel keeps `no_new_privs` and the isolation for each
/// thread.
pub(super) fn confine(pool: &Pool, needs: &Needs<'_>) -> Result<(), String> {
    if pool.no_new_privs {
        set_no_new_privs().map_err(|error| format!("cannot set no_new_privs: {error}"))?;
    }
    limits(pool.rlimits)
        .into_iter()
        .try_for_each(|(name, resource, limit)| set(name, resource, limit))?;
    isolation::enter(&pool.isolation, needs).map_err(|error| error.to_string())
}

/// The limits that are given, in the units of getrlimit(2).
fn limits(given: Rlimits) -> Vec<(&'static str, Resource, u64)> {
    let Rlimits {
        nofile,
        core,
        address_space,
        cpu,
        nproc,
        fsize,
    } = given;
    let bytes = |mib: Option<u64>| mib.map(|mib| mib.saturating_mul(MIB));
    let all = [
        ("nofile", Resource::RLIMIT_NOFILE, nofile),
        ("core", Resource::RLIMIT_CORE, bytes(core)),
        ("as", Resource::RLIMIT_AS, bytes(address_space)),
        ("cpu", Resource::RLIMIT_CPU, cpu),
        ("nproc", Resource::RLIMIT_NPROC, nproc),
        ("fsize", Resource::RLIMIT_FSIZE, bytes(fsize)),
    ];
    let given = all
        .into_iter()
        .filter_map(|(name, resource, limit)| Some((name, resource, limit?)));
    given.collect()
}

fn set(name: &str, resource: Resource, limit: u64) -> Result<(), String> {
    setrlimit(resource, limit, limit).map_err(|error| {
        let hard = match getrlimit(resource) {
            Ok((_, hard)) if hard < limit => {
                format!("\n  hint: the daemon was started with {hard} as its hard limit")
            }
            _ => String::new(),
        };
        format!("cannot set `rlimits.{name}` to {limit}: {error}{hard}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_in_mib_and_what_is_not_given_stays() {
        let given = Rlimits {
            nofile: Some(256),
            core: Some(0),
            fsize: Some(3),
            ..Rlimits::default()
        };
        let set = limits(given);
        let wanted = [
            ("nofile", Resource::RLIMIT_NOFILE, 256),
            ("core", Resource::RLIMIT_CORE, 0),
            ("fsize", Resource::RLIMIT_FSIZE, 3 * MIB),
        ];
        assert_eq!(set, wanted);
    }
}
