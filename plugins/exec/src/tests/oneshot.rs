//! Commands that run once per job.

use std::{fs, thread};

use plugin_api::{
    serde_json::{Value, json},
    testing::{Harness, Verdict},
};

use super::{eventually, file, harness, have, output, result, wait_until_gone};
use crate::Exec;

/// A handler whose command is this shell script.
#[track_caller]
fn shell(script: &str, more: Value) -> Harness<Exec> {
    let mut config = json!({"command": ["sh", "-c", script], "mode": "oneshot", "kill_grace": 0.3});
    let members = more.as_object().expect("an object").clone();
    config.as_object_mut().expect("it is an object").extend(members);
    harness(config)
}

#[test]
fn the_body_is_standard_input_and_standard_output_the_result() {
    let cat = shell("cat", json!({}));
    assert_eq!(result(&cat.run(json!({"a": [1, "é"]}))), json!({"a": [1, "é"]}));
    assert_eq!(result(&cat.run_bytes(b"plain text\n")), "plain text");
    assert_eq!(result(&cat.run_bytes(b"a\xffb")), "a\u{fffd}b");
    assert_eq!(cat.run_bytes(b"").result, None);
}

#[test]
fn a_body_larger_than_a_pipe_passes_both_ways() {
    let text = "x".repeat(300_000);
    let outcome = shell("cat", json!({})).run_bytes(text.as_bytes());
    assert_eq!(result(&outcome), text);
}

#[test]
fn a_result_that_is_too_large_is_left_out() {
    let outcome = shell("cat", json!({"max_result_bytes": 10})).run_bytes(b"eleven characters");
    assert_eq!((outcome.verdict, outcome.result), (Verdict::Done, None));
}

#[test]
fn a_command_need_not_read_its_body() {
    let text = "x".repeat(300_000);
    assert_eq!(
        shell("exit 0", json!({})).run_bytes(text.as_bytes()).verdict,
        Verdict::Done
    );
}

#[test]
fn the_job_is_told_by_environment_variables() {
    let script = r#"echo "$JOB_TUBE $JOB_ATTEMPT $JOB_PRIORITY $JOB_AGE $A ${HOME-nowhere} $ASYNCCALL_CLASS $PWD"; test -n "$JOB_ID""#;
    let more = json!({"env": {"A": "b"}, "clear_env": true, "class": "C", "directory": "/tmp"});
    let harness = shell(script, more).tube("mail").attempt(3).priority(7);
    assert_eq!(result(&harness.run(json!(1))), "mail 3 7 0 b nowhere C /tmp");
}

#[test]
fn the_exit_code_is_the_verdict_and_the_last_line_of_standard_error_the_reason() {
    let harness = shell(
        "echo first >&2; read code; echo 'last line' >&2; exit $code",
        json!({}),
    );
    let table = [
        ("0", Verdict::Done, "", None),
        ("65", Verdict::Bury, "last line", None),
        ("75", Verdict::Retry, "last line", Some(60)),
        ("1", Verdict::Failed, "ended with exit code 1: last line", None),
        (
            "255",
            Verdict::Failed,
            "ended with exit code 255: last line",
            None,
        ),
    ];
    for (code, verdict, message, delay) in table {
        let outcome = harness.run_bytes(format!("{code}\n").as_bytes());
        assert_eq!(outcome.verdict, verdict, "{code}");
        assert!(outcome.message.ends_with(message), "{}", outcome.message);
        assert_eq!(outcome.delay.map(|delay| delay.as_secs()), delay);
        assert_eq!(output(&outcome), ["first", "last line"]);
    }
}

#[test]
fn exit_codes_can_be_given_other_meanings() {
    let codes = json!({"exit_codes": {"done": [0, 3], "bury": [4], "retry": [5], "retry_delay": 7}});
    let harness = shell("read code; exit $code", codes);
    let verdicts =
        ["3", "4", "5", "75"].map(|code| harness.run_bytes(format!("{code}\n").as_bytes()).verdict);
    assert_eq!(
        verdicts,
        [Verdict::Done, Verdict::Bury, Verdict::Retry, Verdict::Failed]
    );
}

#[test]
fn a_signal_is_told_by_name() {
    let outcome = shell("echo why >&2; kill -SEGV $$", json!({})).run(json!(1));
    assert_eq!(outcome.verdict, Verdict::Exception);
    assert!(
        outcome.message.ends_with("was killed by SIGSEGV: why"),
        "{}",
        outcome.message
    );
}

#[test]
fn a_command_that_hangs_ends_with_everything_that_it_started() {
    let directory = tempfile::tempdir().expect("a directory");
    let note = directory.path().join("pids");
    let script = "trap '' TERM; sleep 1000 & echo $$ $! > $NOTE; wait; sleep 1000";
    let harness = shell(script, json!({"timeout": 2, "env": {"NOTE": note}}));
    let outcome = harness.run(json!(1));
    assert_eq!(outcome.verdict, Verdict::Exception);
    assert!(
        outcome.message.contains("ran longer than `timeout` (2s)"),
        "{}",
        outcome.message
    );
    for pid in fs::read_to_string(note).expect("the pids").split_whitespace() {
        wait_until_gone(pid.parse().expect("a pid"));
    }
}

#[test]
fn what_a_command_leaves_behind_does_not_keep_its_job_and_ends_with_it() {
    let harness = shell("sleep 1000 & echo $!", json!({}));
    let outcome = harness.run(json!(1));
    wait_until_gone(result(&outcome).as_u64().expect("a pid"));
}

#[test]
fn a_command_that_floods_its_output_still_ends_at_its_time_out() {
    let more = json!({"timeout": 0.5, "max_output_bytes": 100, "max_result_bytes": 100});
    let outcome = shell("yes & yes >&2", more).run(json!(1));
    assert_eq!(outcome.verdict, Verdict::Exception);
    assert!(output(&outcome).iter().map(|line| line.len()).sum::<usize>() <= 100);
}

#[test]
fn a_cancelled_job_ends_with_its_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let note = directory.path().join("running");
    let harness = shell("touch $NOTE; exec sleep 1000", json!({"env": {"NOTE": note}}));
    let outcome = thread::scope(|scope| {
        let running = scope.spawn(|| harness.run(json!(1)));
        eventually("the command runs", || note.exists().then_some(()));
        harness.cancel();
        running.join().expect("it ends")
    });
    assert_eq!(outcome.verdict, Verdict::Exception);
    assert!(
        outcome.message.contains("the host wants the job given up"),
        "{}",
        outcome.message
    );
}

#[test]
fn a_command_that_was_removed_fails_the_job() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("program");
    fs::copy("/bin/true", &program).expect("a program");
    let harness = harness(json!({"command": [program], "mode": "oneshot"}));
    assert_eq!(harness.run(json!(1)).verdict, Verdict::Done);
    fs::remove_file(&program).expect("it was there");
    let outcome = harness.run(json!(1));
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(outcome.message.starts_with("cannot run `"), "{}", outcome.message);
}

#[test]
fn the_python_example_answers_by_its_exit_code() {
    if !have("python3") {
        return;
    }
    let harness =
        harness(json!({"command": ["python3", file("../../examples/python/oneshot.py")], "mode": "oneshot"}));
    assert_eq!(
        result(&harness.run(json!({"to": "ann"})))["payload"],
        json!({"to": "ann"})
    );
    let outcome = harness.run(json!({"busy": true}));
    assert_eq!(
        (outcome.verdict, outcome.message.as_str()),
        (Verdict::Retry, "the receiver is busy")
    );
    assert_eq!(harness.run_bytes(b"{").verdict, Verdict::Bury);
}
