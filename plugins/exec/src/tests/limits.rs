//! Jobs that take too long, and jobs that the host wants given up.

use std::thread;

use plugin_api::{
    serde_json::{Value, json},
    testing::{Harness, Outcome, Verdict},
};

use super::{eventually, file, harness, have, lives, output, wait_until_gone};
use crate::Exec;

#[track_caller]
fn child(hello: &str, more: Value) -> Option<Harness<Exec>> {
    let mut config = json!({
        "command": ["python3", file("src/tests/child.py"), hello], "mode": "persistent", "kill_grace": 0.3,
        "stop_grace": 60,
    });
    config.as_object_mut()?.extend(more.as_object()?.clone());
    have("python3").then(|| harness(config))
}

#[track_caller]
fn pid(harness: &Harness<Exec>) -> u64 {
    let outcome = harness.run(json!({}));
    outcome.result.expect("a result")["pid"].as_u64().expect("a pid")
}

/// Runs a job, and cancels it once its child has made a note that it waits.
fn cancel(harness: &Harness<Exec>, wish: &str) -> Outcome {
    let directory = tempfile::tempdir().expect("a directory");
    let note = directory.path().join("waiting");
    let job = json!({"do": wish, "note": note});
    thread::scope(|scope| {
        let running = scope.spawn(|| harness.run(job));
        eventually("the child waits", || note.exists().then_some(()));
        harness.cancel();
        running.join().expect("it ends")
    })
}

#[test]
fn a_child_that_hangs_is_told_to_end_and_the_next_job_gets_another() {
    let Some(harness) = child("", json!({"timeout": 2})) else {
        return;
    };
    let before = pid(&harness);
    let outcome = harness.run(json!({"do": "hang"}));
    assert_eq!(outcome.verdict, Verdict::Exception);
    let wanted = "ran longer than `timeout` (2s) and was ended: hanging";
    assert!(outcome.message.contains(wanted), "{}", outcome.message);
    assert!(!lives(before));
    assert_ne!(pid(&harness), before);
}

#[test]
fn a_child_that_hangs_and_ignores_term_is_killed() {
    let Some(harness) = child("", json!({"timeout": 2})) else {
        return;
    };
    let before = pid(&harness);
    let outcome = harness.run(json!({"do": "hang deaf"}));
    assert_eq!(outcome.verdict, Verdict::Exception);
    assert!(outcome.message.contains("`timeout`"), "{}", outcome.message);
    assert!(!lives(before));
}

#[test]
fn a_time_out_ends_what_the_child_has_started_too() {
    let Some(harness) = child("", json!({"timeout": 2})) else {
        return;
    };
    let outcome = harness.run(json!({"do": "hang with grandchild"}));
    assert_eq!(outcome.verdict, Verdict::Exception);
    let lines = output(&outcome);
    let grandchild = lines.iter().find_map(|line| line.strip_prefix("grandchild "));
    wait_until_gone(grandchild.and_then(|pid| pid.parse().ok()).expect("a pid"));
}

#[test]
fn an_answer_that_comes_before_the_end_counts() {
    let Some(harness) = child("", json!({"timeout": 2, "kill_grace": 60})) else {
        return;
    };
    let before = pid(&harness);
    let outcome = harness.run(json!({"do": "answer at TERM"}));
    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.message);
    assert_ne!(pid(&harness), before, "it was told to end");
}

#[test]
fn a_cancelled_job_ends_with_its_child() {
    let Some(harness) = child("", json!({})) else {
        return;
    };
    let outcome = cancel(&harness, "hang");
    assert_eq!(outcome.verdict, Verdict::Exception);
    let wanted = "was ended because the host wants the job given up: hanging";
    assert!(outcome.message.contains(wanted), "{}", outcome.message);
}

#[test]
fn a_child_that_wants_to_hear_of_it_is_asked_first_and_lives_on() {
    let Some(harness) = child("everything", json!({})) else {
        return;
    };
    let before = pid(&harness);
    let outcome = cancel(&harness, "wait for cancel");
    assert_eq!(outcome.verdict, Verdict::Retry, "{}", outcome.message);
    assert!(
        outcome.message.contains("\"type\": \"cancel\", \"id\": "),
        "{}",
        outcome.message
    );
    assert!(lives(before));
}
