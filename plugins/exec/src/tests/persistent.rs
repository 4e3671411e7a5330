//! Children that keep to the protocol, and children that do not.

use std::{path::Path, thread};

use plugin_api::{
    serde_json::{Value, json},
    testing::{Harness, Verdict},
};

use super::{eventually, file, harness, have, lives, output, refusal, result, wait_until_gone};
use crate::Exec;

fn config(hello: &str, more: Value) -> Value {
    let mut config = json!({
        "command": ["python3", file("src/tests/child.py"), hello], "mode": "persistent", "kill_grace": 0.2,
    });
    let members = more.as_object().expect("an object").clone();
    config.as_object_mut().expect("it is an object").extend(members);
    config
}

/// A handler with the test's child; `None`, said aloud, where there is no Python.
#[track_caller]
fn child(more: Value) -> Option<Harness<Exec>> {
    have("python3").then(|| harness(config("", more)))
}

#[track_caller]
fn pid(harness: &Harness<Exec>) -> u64 {
    result(&harness.run(json!({})))["pid"].as_u64().expect("a pid")
}

#[test]
fn a_child_is_kept_for_many_jobs_and_told_of_each() {
    let Some(harness) = child(json!({})) else { return };
    let harness = harness.tube("mail").attempt(3);
    let first = result(&harness.run(json!({"to": "ann"})));
    assert_eq!(first["job"]["tube"], "mail");
    assert_eq!(first["job"]["attempt"], 3);
    assert_eq!(first["job"]["payload"], json!({"to": "ann"}));
    assert_eq!(first["job"].get("body"), None, "it was not asked for");
    assert_eq!(Some(pid(&harness)), first["pid"].as_u64());
}

#[test]
fn a_child_is_told_everything_that_it_wants() {
    if !have("python3") {
        return;
    }
    let harness = harness(config("everything", json!({}))).priority(7);
    let told = result(&harness.run_bytes(b"{\"a\": \"\xc3\xa9\"}"))["job"].clone();
    assert_eq!(told["body"], "{\"a\": \"é\"}");
    assert_eq!(told["payload"], json!({"a": "é"}));
    assert_eq!((&told["age"], &told["priority"]), (&json!(0), &json!(7)));
}

#[test]
fn a_body_that_is_no_text_comes_in_base64() {
    if !have("python3") {
        return;
    }
    let harness = harness(config("body", json!({})));
    let told = result(&harness.run_bytes(b"\xff\0"))["job"].clone();
    assert_eq!(told["body_base64"], "/wA=");
    assert_eq!(told.get("body"), None);
    assert_eq!(result(&harness.run_bytes(b""))["job"]["body"], "");
}

#[test]
fn a_body_without_a_json_view_is_buried_and_costs_no_child() {
    let Some(harness) = child(json!({})) else { return };
    let before = pid(&harness);
    let outcome = harness.run_bytes(b"\xff");
    assert_eq!(outcome.verdict, Verdict::Bury, "{}", outcome.message);
    assert!(outcome.message.contains("not JSON"), "{}", outcome.message);
    assert_eq!(pid(&harness), before);
}

#[test]
fn the_greeting_has_the_version_the_class_and_the_options() {
    let Some(harness) = child(json!({"class": "\\Core\\Mailler", "options": {"a": [1]}})) else {
        return;
    };
    let greeting = result(&harness.run(json!({"do": "greeting"})));
    let wanted = json!({"type": "hello", "version": 1, "class": "\\Core\\Mailler", "options": {"a": [1]}});
    assert_eq!(greeting, wanted);
}

#[test]
fn each_status_becomes_its_outcome() {
    let Some(harness) = child(json!({})) else { return };
    let table = [
        (json!({"status": "failed", "error": "no"}), Verdict::Failed, None),
        (
            json!({"status": "exception", "error": "no"}),
            Verdict::Exception,
            None,
        ),
        (json!({"status": "bury", "error": "no"}), Verdict::Bury, None),
        (
            json!({"status": "retry", "error": "no", "delay": 70}),
            Verdict::Retry,
            Some(70),
        ),
    ];
    let before = pid(&harness);
    for (answer, verdict, delay) in table {
        let outcome = harness.run(json!({"do": "answer", "with": answer}));
        assert_eq!(outcome.verdict, verdict);
        assert_eq!(outcome.message, "no");
        assert_eq!(outcome.delay.map(|delay| delay.as_secs()), delay);
    }
    assert_eq!(pid(&harness), before, "an answer that says no is an answer");
}

#[test]
fn a_child_that_cannot_be_used_is_refused_before_any_job() {
    if !have("python3") {
        return;
    }
    let table = [
        (
            "old",
            "cannot be used: it speaks version 0 of the protocol, wanted 1",
        ),
        (
            "prints",
            "cannot be used: a frame of 1214606444 bytes is announced, wanted at most 1048576",
        ),
        (
            "dies",
            "ended with exit code 3 before it said hello: the database is down",
        ),
        ("silent", "did not say hello within `start_timeout` (1s)"),
    ];
    for (hello, wanted) in table {
        // Only the silent one is waited for to the end.
        let time = if hello == "silent" { 1 } else { 60 };
        let told = refusal(config(hello, json!({ "start_timeout": time })));
        assert!(told.starts_with("`python3 ") && told.contains(wanted), "{told}");
    }
    let told = refusal(json!({"command": ["true"], "mode": "persistent"}));
    assert!(
        told.contains("`true` ended with exit code 0 before it said hello"),
        "{told}"
    );
}

#[test]
fn what_a_child_prints_is_logged_and_disturbs_no_message() {
    let Some(harness) = child(json!({})) else { return };
    let outcome = harness.run(json!({"do": "noise", "lines": 3}));
    result(&outcome);
    let lines = output(&outcome);
    for line in ["noise 0", "louder noise 2"] {
        assert!(lines.contains(&line), "{lines:?}");
    }
}

#[test]
fn a_child_that_prints_more_than_a_pipe_holds_does_not_hang_and_is_not_all_logged() {
    let Some(harness) = child(json!({"max_output_bytes": 1000})) else {
        return;
    };
    result(&harness.run(json!({"do": "noise", "lines": 20_000})));
    let logged: usize = output(&harness.run(json!({"do": "noise", "lines": 500})))
        .iter()
        .map(|line| line.len())
        .sum();
    assert!(logged <= 1000, "{logged} bytes");
}

#[test]
fn a_large_job_and_a_large_result_pass() {
    let Some(harness) = child(json!({})) else { return };
    let large = "x".repeat(400_000);
    assert_eq!(
        result(&harness.run(json!({"large": large})))["job"]["payload"]["large"],
        large
    );
    assert_eq!(
        result(&harness.run(json!({"do": "long", "bytes": 900_000})))
            .as_str()
            .map(str::len),
        Some(900_000)
    );
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let Some(harness) = child(json!({})) else { return };
    result(&harness.run(json!({"do": "pieces"})));
}

#[test]
fn a_child_that_breaks_the_protocol_is_killed_and_the_next_job_gets_another() {
    let Some(harness) = child(json!({"max_result_bytes": 2000})) else {
        return;
    };
    let answer = |with: Value| json!({"do": "answer", "with": with});
    let table = [
        (
            json!({"do": "raw", "bytes": "\0\0\0\u{3}{]}"}),
            "its message cannot be read: ",
        ),
        (
            json!({"do": "raw", "bytes": "PHP Warning: x"}),
            "a frame of 1346916384 bytes is announced, wanted at most 2000",
        ),
        (
            json!({"do": "raw", "bytes": "\0\0\0\0"}),
            "a frame of 0 bytes is announced",
        ),
        (
            json!({"do": "raw", "bytes": "\0\0\0\u{2}{}{}"}),
            "it sent more than one message at once",
        ),
        (
            json!({"do": "long", "bytes": 2000}),
            "bytes is announced, wanted at most 2000",
        ),
        (
            answer(json!({"status": "maybe"})),
            "its message cannot be read: unknown variant `maybe`",
        ),
        (
            answer(json!({"id": 0, "status": "done"})),
            "it answered for job 0, wanted",
        ),
        (
            answer(json!({"type": "hello", "status": "done"})),
            "it sent a message of type `hello`",
        ),
    ];
    let mut before = pid(&harness);
    for (job, wanted) in table {
        let outcome = harness.run(job.clone());
        assert_eq!(outcome.verdict, Verdict::Exception, "{job}");
        assert!(
            outcome.message.contains("was killed: ") && outcome.message.contains(wanted),
            "{}",
            outcome.message
        );
        assert!(!lives(before), "{job}");
        let next = pid(&harness);
        assert_ne!(next, before, "{job}");
        before = next;
    }
}

#[test]
fn a_crash_is_told_with_its_cause_and_the_next_job_gets_another_child() {
    let Some(harness) = child(json!({})) else { return };
    let table = [
        (
            json!({"do": "exit", "code": 9}),
            "ended with exit code 9 in the middle of the job: last words",
        ),
        (
            json!({"do": "exit", "code": 0}),
            "ended with exit code 0 in the middle of the job: last words",
        ),
        (
            json!({"do": "signal", "name": "SIGSEGV"}),
            "was killed by SIGSEGV in the middle of the job",
        ),
        (
            json!({"do": "signal", "name": "SIGKILL"}),
            "was killed by SIGKILL in the middle of the job",
        ),
        (
            json!({"do": "exit with grandchild"}),
            "ended with exit code 1 in the middle of the job",
        ),
        (
            json!({"do": "close"}),
            "closed its link in the middle of the job and was killed",
        ),
    ];
    let mut before = pid(&harness);
    for (job, wanted) in table {
        let outcome = harness.run(job.clone());
        assert_eq!(outcome.verdict, Verdict::Exception, "{job}");
        assert!(outcome.message.contains(wanted), "{}", outcome.message);
        let next = pid(&harness);
        assert_ne!(next, before, "{job}");
        before = next;
    }
}

#[test]
fn a_child_that_died_while_it_was_idle_costs_no_job() {
    let Some(harness) = child(json!({})) else { return };
    let before = result(&harness.run(json!({"do": "die after"})))["pid"]
        .as_u64()
        .expect("a pid");
    wait_until_gone(before);
    assert_ne!(pid(&harness), before);
}

#[test]
fn a_child_is_replaced_after_max_jobs_and_leaves_in_order() {
    if !have("python3") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let note = directory.path().join("left");
    let mut config = config("", json!({"max_jobs": 2}));
    config["command"]
        .as_array_mut()
        .expect("a list")
        .push(json!(note));
    let harness = harness(config);
    let pids = [0; 4].map(|_| pid(&harness));
    assert_eq!(pids[0], pids[1]);
    assert_ne!(pids[1], pids[2]);
    assert_eq!(pids[2], pids[3]);
    eventually("the first child leaves in order", || note.exists().then_some(()));
    wait_until_gone(pids[0]);
}

#[test]
fn a_child_may_announce_that_it_leaves() {
    let Some(harness) = child(json!({})) else { return };
    let first = result(&harness.run(json!({"do": "leave"})))["pid"]
        .as_u64()
        .expect("a pid");
    assert_ne!(pid(&harness), first);
    wait_until_gone(first);
}

#[test]
fn the_idle_children_leave_in_order_with_the_handler() {
    if !have("python3") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let note = directory.path().join("left");
    let mut config = config("", json!({}));
    config["command"]
        .as_array_mut()
        .expect("a list")
        .push(json!(note));
    let harness = harness(config);
    let child = pid(&harness);
    drop(harness);
    assert!(Path::new(&note).exists());
    assert!(!lives(child));
}

#[test]
fn jobs_at_the_same_time_have_children_of_their_own() {
    let Some(harness) = child(json!({})) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let meet = json!({"do": "meet", "at": directory.path(), "count": 3});
    let run = || result(&harness.run(meet.clone()))["pid"].as_u64().expect("a pid");
    let mut pids = thread::scope(|scope| {
        let jobs = [0; 3].map(|_| scope.spawn(run));
        jobs.map(|job| job.join().expect("it ends"))
    });
    pids.sort_unstable();
    assert!(pids[0] != pids[1] && pids[1] != pids[2], "{pids:?}");
    assert!(pids.contains(&pid(&harness)), "idle children are kept");
}
