//! What the tests stand on, in the order in which a test meets it.
//!
//! - [`queue`]: a beanstalkd of the test's own, to put jobs into and to look at,
//! - [`proxy`]: connections to it that break or fall silent,
//! - [`host`]: how a daemon is started, [`daemon`]: a running one, [`processes`]: its workers,
//! - [`installed`]: a copy of the binary that a test may replace,
//! - [`plugins`]: the `.so` files, built once per run,
//! - [`compiler`]: plugins in C and C++,
//! - [`author`]: somebody who writes a plugin outside of this workspace,
//! - [`php`]: a producer in PHP, and PHP as a reader,
//! - [`sink`]: an SMTP server that keeps what it is sent,
//! - [`databases`]: SQLite and PostgreSQL with a shop's orders,
//! - [`directory`]: the test's own files, kept when it fails,
//! - this module: waiting, and what to do where a program is missing.

use std::{
    env,
    io::{self, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub(crate) mod author;
pub(crate) mod compiler;
pub(crate) mod daemon;
pub(crate) mod databases;
pub(crate) mod directory;
pub(crate) mod exposition;
pub(crate) mod host;
pub(crate) mod installed;
pub(crate) mod php;
pub(crate) mod plugins;
pub(crate) mod processes;
pub(crate) mod proxy;
pub(crate) mod queue;
pub(crate) mod sink;

pub(crate) use daemon::Daemon;
pub(crate) use directory::Directory;
pub(crate) use host::{Ended, Host};
pub(crate) use plugins::plugin;
pub(crate) use proxy::Proxy;
pub(crate) use queue::Beanstalkd;
pub(crate) use sink::Sink;

/// How long anything may take before a test gives up. Only a failing test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer, and fails when there never is one.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a program is there, asked by running it. Where it is not, the test is skipped, said aloud; with
/// `CI=true` that is a failure.
#[track_caller]
pub(crate) fn have(program: &str, probe: &[&str], advice: &str) -> bool {
    let found = Command::new(program)
        .args(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        skip(&format!("`{program}` cannot be used here ({advice})"));
    }
    found
}

/// Says that a test is skipped, past the harness's capture; a failure with `CI=true`.
#[track_caller]
pub(crate) fn skip(why: &str) {
    assert!(
        env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{why}, and CI needs it"
    );
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // A terminal that is gone is no reason to fail.
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {why}");
}

/// The name of the user that runs the tests, which texts about owners show.
pub(crate) fn own_name() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("a user database");
    user.expect("this user has a name").name
}
