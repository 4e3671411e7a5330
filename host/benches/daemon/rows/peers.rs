//! The drain beside clients that people use, each in a loop of its own language: reserve, decode the JSON, delete.
//!
//! What a package registry has is installed below the target directory when the rows run. What is not there is left out.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Options, Tell,
    drains::{self, SIZE},
};
use crate::{
    consumer::{Consumer, Processes},
    drain::{drain, in_turn},
    process::Pinned,
    support::{Beanstalkd, queue::Listen},
    table::Target,
};

/// Peers are slower: so much fewer jobs give them enough to do.
const FEWER: u64 = 5;

/// A client of somebody else, with the loop of `host/benches/peers` that uses it.
pub(super) struct Peer {
    name: &'static str,
    program: PathBuf,
    script: PathBuf,
    /// Where node looks for packages.
    packages: Option<PathBuf>,
}

pub(super) fn rows(options: &Options, tell: Tell<'_>) {
    let Some(queue) = Beanstalkd::start_in_memory(Listen::Tcp) else {
        return;
    };
    let peers: Vec<Peer> = [greenstalk(), beanstalkc(), pheanstalk(), jackd()]
        .into_iter()
        .flatten()
        .collect();
    for peer in &peers {
        beside(&queue, peer, 4, "drain, 4 × 1", options, tell);
    }
    let _pinned = Pinned::to(0);
    let queue = Beanstalkd::start_in_memory(Listen::Tcp).expect("there is one already");
    for peer in &peers {
        beside(
            &queue,
            peer,
            1,
            "drain, 1 × 1, on the server's core",
            options,
            tell,
        );
    }
}

fn beside(queue: &Beanstalkd, peer: &Peer, processes: u32, what: &str, options: &Options, tell: Tell<'_>) {
    let us = Consumer::daemon(processes, 1);
    let them = peer.consumer(processes as usize);
    let [ours, theirs] = in_turn(options.rounds, [&us, &them], |consumer| {
        drain(queue, consumer, options.jobs / FEWER, SIZE)
    });
    tell(drains::rate(
        what,
        &ours,
        &them.name,
        &theirs,
        Target::AtLeast(1.0),
    ));
    tell(drains::cpu(what, &ours, &them.name, &theirs, Target::AtMost(1.0)));
}

impl Peer {
    /// So many processes of one connection each.
    pub(super) fn consumer(&self, processes: usize) -> Consumer {
        let name = match processes {
            1 => format!("{}, 1 process", self.name),
            _ => format!("{}, {processes} processes", self.name),
        };
        let (program, script, packages) = (self.program.clone(), self.script.clone(), self.packages.clone());
        Consumer::new(name, processes, move |queue, tubes| {
            Processes::of_commands((0..processes).map(|_| {
                let mut command = Command::new(&program);
                command
                    .arg(&script)
                    .args(["127.0.0.1", &queue.port().to_string(), &tubes[0]]);
                command.envs(packages.iter().map(|packages| ("NODE_PATH", packages)));
                command
            }))
        })
    }
}

fn greenstalk() -> Option<Peer> {
    python("greenstalk 2.1.1", "greenstalk==2.1.1", "greenstalk_loop.py")
}

/// The package of that name speaks Python 2 only; this is its code made ready for Python 3.
fn beanstalkc() -> Option<Peer> {
    python("beanstalkc3 0.4.0", "beanstalkc3==0.4.0", "beanstalkc_loop.py")
}

/// Comes with Debian.
pub(super) fn pheanstalk() -> Option<Peer> {
    let probe = ["-r", "require 'Pheanstalk/autoload.php';"];
    if !succeeds(Command::new("php").args(probe)) {
        return left_out("pheanstalk", "Debian: apt-get install php-cli php-pda-pheanstalk");
    }
    Some(Peer {
        name: "pheanstalk 4",
        program: "php".into(),
        script: script("pheanstalk_loop.php"),
        packages: None,
    })
}

fn jackd() -> Option<Peer> {
    let directory = installed().join("node");
    let packages = directory.join("node_modules");
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--prefix",
    ]);
    npm.arg(&directory).arg("jackd@2.2.2");
    if !packages.join("jackd").exists() && !succeeds(&mut npm) {
        return left_out("jackd", "it needs node and npm, and npm's registry");
    }
    Some(Peer {
        name: "jackd 2.2.2",
        program: "node".into(),
        script: script("jackd_loop.js"),
        packages: Some(packages),
    })
}

/// A package of Python's index, in an environment that all of them share.
fn python(name: &'static str, package: &str, loop_script: &str) -> Option<Peer> {
    let environment = installed().join("python");
    let program = environment.join("bin/python");
    let made = program.exists() || succeeds(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    let mut pip = Command::new(&program);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", package]);
    if !made || !succeeds(&mut pip) {
        return left_out(name, "it needs python3 with venv, and Python's package index");
    }
    Some(Peer {
        name,
        program,
        script: script(loop_script),
        packages: None,
    })
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

#[allow(
    clippy::print_stderr,
    reason = "the table is incomplete, and the operator is to know"
)]
fn left_out(name: &str, advice: &str) -> Option<Peer> {
    eprintln!("left out: {name}, which is not installed ({advice})");
    None
}

/// Where the packages are installed.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers")
}

pub(super) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/peers")
        .join(name)
}
