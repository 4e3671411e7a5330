//! Which messages mean what, and which mean nothing.

use plugin_api::serde_json::{self, json};

use super::*;

#[test]
fn a_hello_of_this_version_is_taken_and_any_other_is_one_clear_error() {
    assert_eq!(read_hello(br#"{"type":"hello","version":1}"#), Ok(DEFAULT_WANTS));
    // Another version may have keys that this one has not.
    let later = br#"{"type":"hello","version":2,"wants":["streams"],"more":{}}"#;
    let table: [(&[u8], &str); 7] = [
        (later, "it speaks version 2 of the protocol, wanted 1"),
        (
            br#"{"type":"hello"}"#,
            "it names no `version` of the protocol, wanted 1",
        ),
        (
            br#"{"type":"result","id":1}"#,
            "its first message is of type `result`, wanted `hello`",
        ),
        (
            br#"{"type":"hello","version":1,"wants":["paylod"]}"#,
            "it wants to be told `paylod`, known are `body`, `payload`",
        ),
        (
            br#"{"type":"hello","version":1,"error":"class `\\X` is missing"}"#,
            r"class `\X` is missing",
        ),
        (b"hello", "it did not say hello: expected value"),
        (b"[]", "it did not say hello: "),
    ];
    for (document, wanted) in table {
        let told = read_hello(document).expect_err("it is refused").to_string();
        assert!(told.starts_with(wanted), "{told}");
    }
}

#[test]
fn a_child_is_told_what_it_wants_and_nothing_else() {
    let wants = read_hello(br#"{"type":"hello","version":1,"wants":["body","cancel"]}"#);
    let nothing = read_wants(&[]).expect("nothing is a wish too");
    let wanted = Wants {
        body: true,
        cancel: true,
        ..nothing
    };
    assert_eq!(wants, Ok(wanted));
    assert_ne!(nothing, DEFAULT_WANTS);
}

#[test]
fn every_status_becomes_its_outcome() {
    let table = [
        (json!({"status": "failed", "error": "no"}), Error::failed("no")),
        (
            json!({"status": "exception", "error": "no"}),
            Error::exception("no"),
        ),
        (
            json!({"status": "bury", "error": "no", "priority": 7}),
            Error::bury("no").priority(7),
        ),
        (
            json!({"status": "retry", "delay": 1.5}),
            Error::retry_in(Duration::from_millis(1500), ""),
        ),
        (
            json!({"status": "retry", "delay": 0, "error": "no"}),
            Error::retry_in(Duration::ZERO, "no"),
        ),
    ];
    for (message, wanted) in table {
        let answer = answer(message.clone()).expect("it is an answer");
        let outcome = answer.outcome.expect_err("the job is not done");
        assert_eq!(format!("{outcome:?}"), format!("{wanted:?}"), "{message}");
    }
}

#[test]
fn a_job_may_be_done_with_and_without_a_result() {
    for (result, wanted) in [
        (json!({"status": "done"}), None),
        (json!({"status": "done", "result": null}), None),
        (
            json!({"status": "done", "result": {"a": [1]}}),
            Some(json!({"a": [1]})),
        ),
        (
            json!({"status": "done", "result": false, "last": true}),
            Some(json!(false)),
        ),
    ] {
        let answer = answer(result.clone()).expect("it is an answer");
        assert_eq!(answer.outcome.expect("the job is done"), wanted);
        assert_eq!(answer.last, result["last"] == true);
    }
}

#[test]
fn what_is_no_answer_to_the_job_is_refused() {
    let table = [
        (
            json!({"status": "done", "id": 8}),
            "it answered for job 8, wanted 7",
        ),
        (
            json!({"status": "done", "type": "hello"}),
            "it sent a message of type `hello`",
        ),
        (
            json!({"status": "ok"}),
            "its message cannot be read: unknown variant `ok`, expected one of `done`",
        ),
        (
            json!({"stauts": "done"}),
            "its message cannot be read: unknown field `stauts`",
        ),
        (json!({}), "its message cannot be read: missing field `status`"),
        (
            json!({"status": "retry"}),
            "its status is `retry`, which needs a `delay`",
        ),
        (json!({"status": "retry", "delay": -1}), "`-1` is no delay"),
        (json!({"status": "retry", "delay": 1e300}), "is no delay"),
        (
            json!({"status": "bury", "priority": -1}),
            "its message cannot be read: invalid value",
        ),
    ];
    for (message, wanted) in table {
        let told = answer(message.clone()).expect_err("it is refused").to_string();
        assert!(told.contains(wanted), "{message}\n{told}");
    }
    assert!(read_answer(b"\xff{", 7).is_err());
}

/// Reads a message for job 7, to which the type and the id are added where they are missing.
fn answer(mut message: Value) -> Result<Answer, AnswerError> {
    let members = message.as_object_mut().expect("an object");
    members.entry("type").or_insert(json!("result"));
    members.entry("id").or_insert(json!(7));
    read_answer(&serde_json::to_vec(&message).expect("JSON"), 7)
}
