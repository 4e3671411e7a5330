//! What an operator is told of a failure that looks like a denied call, or like memory that ran out.
//!
//! A handler's error is a text, so this is a guess, and said as one: the hint names what the pool allows.

use std::path::PathBuf;

use crate::config::{Isolation, Network, Pool};

/// How errno 1 and 13 read in Rust, C, PHP, Python and Node, and a name that could not be resolved in most of them.
const DENIED: [&str; 9] = [
    "os error 13",
    "os error 1)",
    "permission denied",
    "operation not permitted",
    "eacces",
    "eperm",
    "name resolution",
    "lookup address",
    "could not resolve",
];
/// How memory that is not to be had reads.
const NO_MEMORY: [&str; 6] = [
    "memory allocation of",
    "cannot allocate memory",
    "os error 12",
    "out of memory",
    "bad_alloc",
    "memoryerror",
];

/// What a pool's limits may have to do with a failure.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    isolation: Option<String>,
    /// In MiB.
    address_space: Option<u64>,
}

impl Hints {
    /// Those of a pool.
    pub(crate) fn of(pool: &Pool) -> Hints {
        let isolation = &pool.isolation;
        Hints {
            isolation: isolation.is_given().then(|| allowed(isolation)),
            address_space: pool.rlimits.address_space,
        }
    }

    /// What to say of an error with this text; `None` where the pool's limits have nothing to do with it.
    pub(crate) fn to(&self, error: &str) -> Option<String> {
        if error.is_empty() {
            // As of nearly every job.
            return None;
        }
        let error = error.to_lowercase();
        let reads = |words: &[&str]| words.iter().any(|word| error.contains(word));
        if let Some(allowed) = self.isolation.as_ref().filter(|_| reads(&DENIED)) {
            return Some(format!("the pool's `isolation` may deny it: {allowed}"));
        }
        let mib = self.address_space.filter(|_| reads(&NO_MEMORY))?;
        Some(format!("the pool's `rlimits.as` lets each worker have {mib} MiB"))
    }

    /// A text of an error for the operator, with its hint on a line of its own.
    pub(crate) fn with(&self, error: String) -> String {
        match self.to(&error) {
            Some(hint) => format!("{error}\n  hint: {hint}"),
            None => error,
        }
    }
}

/// What is left to handlers.
fn allowed(isolation: &Isolation) -> String {
    let mut allowed = Vec::new();
    if isolation.closes_files() {
        let Isolation {
            read, write, execute, ..
        } = isolation;
        for (key, paths) in [("read", read), ("write", write), ("execute", execute)] {
            allowed.push(format!(
                "`{key}` has {}",
                listed(paths.as_deref().unwrap_or_default())
            ));
        }
    }
    if let Some(network) = &isolation.network {
        allowed.push(format!("`network` has {}", ways_out(network)));
    }
    allowed.join(", ")
}

fn listed(paths: &[PathBuf]) -> String {
    match paths {
        [] => "nothing".to_owned(),
        paths => {
            let paths = paths.iter().map(|path| path.display().to_string());
            paths.collect::<Vec<_>>().join(" ")
        }
    }
}

fn ways_out(network: &Network) -> String {
    let mut ways: Vec<String> = network.ports.iter().map(ToString::to_string).collect();
    ways.extend(network.unix.then(|| "unix".to_owned()));
    ways.extend(network.udp.then(|| "udp".to_owned()));
    match ways.as_slice() {
        [] => "nothing but the queue server".to_owned(),
        ways => ways.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints() -> Hints {
        let isolation = Isolation {
            read: Some(vec!["/etc/ssl".into(), "/srv".into()]),
            network: Some(Network {
                ports: vec![25, 587],
                ..Network::default()
            }),
            ..Isolation::default()
        };
        Hints {
            isolation: Some(allowed(&isolation)),
            address_space: Some(64),
        }
    }

    #[test]
    fn a_failure_that_reads_like_a_denied_call_is_told_what_the_pool_allows() {
        insta::assert_snapshot!(hints().with("cannot read `/etc/shadow`: Permission denied (os error 13)".into()), @"
        cannot read `/etc/shadow`: Permission denied (os error 13)
          hint: the pool's `isolation` may deny it: `read` has /etc/ssl /srv, `write` has nothing, `execute` has nothing, `network` has 25 587
        ");
        for error in [
            "bind: Operation not permitted (os error 1)",
            "[Errno 13] Permission denied: '/x'",
            "Error: EACCES: permission denied, open '/x'",
            "failed to lookup address information: Temporary failure in name resolution",
        ] {
            assert!(hints().to(error).is_some(), "{error}");
            assert_eq!(Hints::default().to(error), None, "a pool without limits");
        }
        for error in ["", "os error 11", "os error 111", "the mailbox is full"] {
            assert_eq!(hints().to(error), None, "{error}");
        }
    }

    #[test]
    fn memory_that_ran_out_is_told_the_limit() {
        let error = "memory allocation of 1073741824 bytes failed";
        insta::assert_snapshot!(hints().to(error).expect("a hint"), @"the pool's `rlimits.as` lets each worker have 64 MiB");
        assert_eq!(Hints::default().to(error), None);
    }
}
