//! The whole handler, under the adapter that the host calls, with real children.

mod limits;
mod oneshot;
mod persistent;
mod php;
mod readme;

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use plugin_api::{
    Handler,
    serde_json::Value,
    testing::{Harness, Outcome, Verdict},
    tracing::Level,
};

use crate::Exec;

/// How long anything may take before a test gives up. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The handler of this configuration.
#[track_caller]
fn harness(config: Value) -> Harness<Exec> {
    assert_fits(&config);
    Harness::new(config).expect("the configuration is accepted")
}

/// The schema takes what the handler takes.
#[track_caller]
pub(crate) fn assert_fits(config: &Value) {
    let schemas = Exec::schemas();
    let schema = schemas.config().expect("the handler has a schema");
    if let Err(fault) = jsonschema::validate(schema, config) {
        panic!("{config}\nat `{}`: {fault}", fault.instance_path());
    }
}

/// Why a handler is refused before it is given any job.
#[track_caller]
fn refusal(config: Value) -> String {
    let checked = harness(config).self_check();
    checked.expect_err("the handler is refused").message().to_owned()
}

/// The result of a job that is done.
#[track_caller]
fn result(outcome: &Outcome) -> Value {
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.message);
    outcome.result.clone().unwrap_or_default()
}

/// What was logged of a child's output.
fn output(outcome: &Outcome) -> Vec<&str> {
    let logs = outcome.logs.iter();
    let lines = logs.filter(|log| log.target == "exec::output" && log.level == Level::INFO);
    lines.map(|log| log.message.as_str()).collect()
}

/// A file of this crate.
fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Whether a program is there. Where it is not, the test is skipped, said aloud; with `CI=true` that is a failure.
#[track_caller]
fn have(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    let found = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        assert!(
            env::var_os("CI").is_none_or(|ci| ci != "true"),
            "`{program}` is missing, and CI needs it"
        );
        let test = thread::current().name().unwrap_or("a test").to_owned();
        // A terminal that is gone is no reason to fail.
        let _ = writeln!(io::stderr(), "SKIPPED {test}: `{program}` is missing");
    }
    found
}

/// Asks again and again until there is an answer, and fails when there never is one.
#[track_caller]
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process exists and is more than a zombie.
fn lives(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // The state follows the name, which is in parentheses (proc_pid_stat(5)).
    stat.is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, None | Some('Z' | 'X'))
    })
}

#[track_caller]
fn wait_until_gone(pid: u64) {
    eventually(&format!("process {pid} ends"), || (!lives(pid)).then_some(()));
}
