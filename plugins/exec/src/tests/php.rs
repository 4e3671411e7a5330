//! `examples/php/worker.php`: the PHP library's command classes, unchanged.

use plugin_api::{
    serde_json::{Value, json},
    testing::{Harness, Outcome, Verdict},
};

use super::{file, harness, have, lives, output, refusal, result};
use crate::Exec;

fn config(class: &str, more: Value) -> Value {
    let mut config = json!({
        "command": ["php", "-n", "-d", "memory_limit=64M", file("../../examples/php/worker.php")], "mode": "persistent",
        "class": class, "options": {"include": file("src/tests/commands.php")}, "kill_grace": 1,
    });
    let members = more.as_object().expect("an object").clone();
    config.as_object_mut().expect("it is an object").extend(members);
    config
}

/// A handler that runs the class; `None`, said aloud, where there is no PHP.
#[track_caller]
fn class(name: &str, more: Value) -> Option<Harness<Exec>> {
    have("php").then(|| harness(config(name, more)))
}

#[track_caller]
fn pid(harness: &Harness<Exec>) -> u64 {
    let outcome = harness.run(json!({"model": "x"}));
    result(&outcome)["pid"].as_u64().expect("a pid")
}

fn told(outcome: &Outcome) -> (Verdict, Option<u64>, &str) {
    (
        outcome.verdict,
        outcome.delay.map(|delay| delay.as_secs()),
        &outcome.message,
    )
}

#[test]
fn what_the_command_says_of_its_status_counts_and_then_the_truth_of_execute() {
    let Some(harness) = class("\\Core\\Mailler", json!({})) else {
        return;
    };
    let table = [
        (json!({"returns": true}), Verdict::Done, None),
        (json!({"returns": false}), Verdict::Failed, None),
        (
            json!({"status": "RELEASE", "interval": 70, "returns": false}),
            Verdict::Retry,
            Some(70),
        ),
        (
            json!({"status": "RELEASE", "interval": -3}),
            Verdict::Retry,
            Some(0),
        ),
        (json!({"status": "BURY", "returns": true}), Verdict::Bury, None),
        (json!({"status": "DELETE", "returns": false}), Verdict::Done, None),
        (
            json!({"status": "SOMETHING", "returns": false}),
            Verdict::Failed,
            None,
        ),
    ];
    for (mut wish, verdict, delay) in table {
        wish["error"] = json!("no");
        let outcome = harness.run(wish.clone());
        let error = if verdict == Verdict::Done { "" } else { "no" };
        assert_eq!(told(&outcome), (verdict, delay, error), "{wish}");
    }
}

#[test]
fn a_serialized_message_reaches_the_command_as_the_array_that_it_was() {
    let Some(harness) = class("Core\\Mailler", json!({})) else {
        return;
    };
    let body = b"a:2:{s:12:\"methodParams\";a:1:{s:2:\"do\";s:5:\"print\";}i:7;s:2:\"\xff\x00\";}";
    let outcome = harness.run_bytes(body);
    let message = &result(&outcome)["message"];
    assert_eq!(message["methodParams"], json!({"do": "print"}));
    assert_eq!(
        message["7"], "\u{fffd}\u{0}",
        "what JSON cannot tell is told as well as it can"
    );
    let lines = output(&outcome);
    assert!(
        lines.contains(&"printed") && lines.iter().any(|line| line.contains("logged")),
        "{lines:?}"
    );
}

#[test]
fn no_object_is_made_of_a_message() {
    let Some(harness) = class("Core\\Mailler", json!({})) else {
        return;
    };
    let outcome = harness.run_bytes(br#"a:1:{s:1:"o";O:12:"Core\Mailler":0:{}}"#);
    let message = &result(&outcome)["message"];
    assert_eq!(message["o"]["__PHP_Incomplete_Class_Name"], "Core\\Mailler");
}

#[test]
fn a_body_that_says_nothing_is_buried() {
    let Some(harness) = class("Core\\Mailler", json!({})) else {
        return;
    };
    for body in ["", "a:0:{}", "b:0;", "N;", "[]", "null", "0", "false"] {
        let outcome = harness.run_bytes(body.as_bytes());
        assert_eq!(
            told(&outcome),
            (Verdict::Bury, None, "Command params is not null"),
            "{body}"
        );
    }
    let outcome = harness.run_bytes(b"neither");
    assert_eq!(
        told(&outcome),
        (Verdict::Bury, None, "the body is neither serialized nor JSON")
    );
}

#[test]
fn exceptions_and_errors_are_told_with_file_and_line_and_cost_no_child() {
    let Some(harness) = class("Core\\Mailler", json!({})) else {
        return;
    };
    let before = pid(&harness);
    for (wish, wanted) in [
        ("exception", "DomainException: no such order in "),
        (
            "error",
            "Error: Call to undefined function Core\\nosuchfunction() in ",
        ),
    ] {
        let outcome = harness.run(json!({"do": wish}));
        assert_eq!(outcome.verdict, Verdict::Exception);
        assert!(outcome.message.starts_with(wanted), "{}", outcome.message);
        assert!(outcome.message.contains("/commands.php:"), "{}", outcome.message);
    }
    assert_eq!(
        harness.run_bytes(b"i:7;").verdict,
        Verdict::Exception,
        "the constructor wants an array"
    );
    assert_eq!(pid(&harness), before);
}

#[test]
fn exit_and_fatal_errors_are_told_in_phps_own_words_and_the_next_job_gets_another_child() {
    let Some(harness) = class("Core\\Mailler", json!({})) else {
        return;
    };
    for (wish, wanted) in [
        ("exit", "the command called exit"),
        ("memory", "Allowed memory size of 67108864 bytes exhausted"),
        ("fatal", "told so in "),
        ("kill", "was killed by SIGKILL in the middle of the job"),
    ] {
        let before = pid(&harness);
        let outcome = harness.run(json!({"do": wish}));
        assert_eq!(outcome.verdict, Verdict::Exception, "{wish}");
        assert!(outcome.message.contains(wanted), "{}", outcome.message);
        assert_ne!(pid(&harness), before, "{wish}");
    }
}

#[test]
fn a_command_that_hangs_is_ended_with_its_child() {
    let Some(harness) = class("Core\\Mailler", json!({"timeout": 0.7})) else {
        return;
    };
    let before = pid(&harness);
    let outcome = harness.run(json!({"do": "hang"}));
    assert_eq!(outcome.verdict, Verdict::Exception);
    assert!(
        outcome.message.contains("ran longer than `timeout`"),
        "{}",
        outcome.message
    );
    assert!(!lives(before));
    assert_ne!(pid(&harness), before);
}

#[test]
fn a_child_that_holds_too_much_memory_leaves_after_its_job() {
    let options = json!({"options": {"include": [file("src/tests/commands.php")], "max_memory_mib": 30}});
    let Some(harness) = class("Core\\Mailler", options) else {
        return;
    };
    let before = result(&harness.run(json!({"do": "leak"})))["pid"]
        .as_u64()
        .expect("a pid");
    assert_ne!(pid(&harness), before);
}

#[test]
fn a_class_of_the_librarys_code_that_sets_no_status_runs_too() {
    let Some(harness) = class("\\Core\\Plain", json!({})) else {
        return;
    };
    assert_eq!(told(&harness.run(json!({"a": 1}))), (Verdict::Done, None, ""));
    assert_eq!(
        told(&harness.run(json!({"returns": false}))),
        (Verdict::Failed, None, "")
    );
    // It has no interval, so the message's counts, and the library's own where that has none.
    let release = json!({"status": "RELEASE", "retryIntervalTime": 33});
    assert_eq!(told(&harness.run(release)), (Verdict::Retry, Some(33), ""));
    assert_eq!(
        told(&harness.run(json!({"status": "RELEASE"}))),
        (Verdict::Retry, Some(10), "")
    );
}

#[test]
fn a_class_without_a_constructor_is_given_its_message_by_a_setter() {
    let Some(harness) = class("Core\\Settable", json!({})) else {
        return;
    };
    assert_eq!(result(&harness.run(json!({"a": 1}))), json!({"a": 1}));
    assert_eq!(harness.run(json!({"returns": 0})).verdict, Verdict::Failed);
}

#[test]
fn a_class_that_cannot_be_run_is_refused_before_any_job() {
    if !have("php") {
        return;
    }
    let table = [
        (
            config("Core\\Missing", json!({})),
            "there is no class `Core\\Missing`",
        ),
        (
            config("Core\\Unfinished", json!({})),
            "the class `Core\\Unfinished` is no command",
        ),
        (config("", json!({})), "no `class` is configured"),
        (
            config("A", json!({"options": {"autoload": "/nonexistent.php"}})),
            "there is no file `/nonexistent.php`",
        ),
        (
            config("A", json!({"options": {"autolaod": "/a.php"}})),
            "unknown key `autolaod` of `options`",
        ),
    ];
    for (config, wanted) in table {
        let told = refusal(config);
        assert!(told.contains(wanted), "{told}");
    }
}
