//! The handler as the host runs it, without a host.

use std::fs;

use plugin_api::{
    prelude::*,
    testing::{Harness, Verdict},
};

use crate::Notes;

#[test]
fn a_note_is_appended_to_the_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("notes.txt");
    let notes = Harness::<Notes>::new(json!({"file": file})).expect("the configuration fits");
    for text in ["one", "two"] {
        let outcome = notes.run(json!({"text": text}));
        assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.message);
    }
    assert_eq!(
        fs::read_to_string(&file).expect("the file is there"),
        "one\ntwo\n"
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_tried_again_after_half_a_minute() {
    let notes =
        Harness::<Notes>::new(json!({"file": "/nonexistent/notes.txt"})).expect("the configuration fits");
    let outcome = notes.run(json!({"text": "one"}));
    assert_eq!(
        (outcome.verdict, outcome.delay),
        (Verdict::Retry, Some(Duration::from_secs(30)))
    );
}

#[test]
fn a_job_without_text_is_buried_and_the_reason_names_the_field() {
    let notes =
        Harness::<Notes>::new(json!({"file": "/nonexistent/notes.txt"})).expect("the configuration fits");
    let outcome = notes.run(json!({"author": "ann"}));
    assert_eq!(outcome.verdict, Verdict::Bury);
    assert!(
        outcome.message.contains("missing field `text`"),
        "{}",
        outcome.message
    );
}
