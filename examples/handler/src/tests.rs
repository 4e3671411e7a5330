//! The handler as the host runs it, without a host.

use std::{fs, path::Path};

use plugin_api::{
    prelude::*,
    testing::{Harness, Verdict},
};

use crate::Notes;

fn made(file: &Path) -> Harness<Notes> {
    Harness::new(json!({"file": file})).expect("the configuration fits")
}

#[test]
fn the_text_of_each_job_is_appended_to_the_file() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("texts.txt");
    let handler = made(&file);
    for text in ["one", "two"] {
        let outcome = handler.run(json!({"text": text}));
        assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.message);
    }
    let written = fs::read_to_string(&file).expect("the file is there");
    assert_eq!(written, "one\ntwo\n");
}

#[test]
fn a_file_that_cannot_be_opened_is_tried_again_after_half_a_minute() {
    let outcome = made(Path::new("/nonexistent/texts.txt")).run(json!({"text": "one"}));
    assert_eq!(outcome.verdict, Verdict::Retry);
    assert_eq!(outcome.delay, Some(Duration::from_secs(30)));
}

#[test]
fn a_job_without_a_text_is_buried_and_the_reason_names_the_field() {
    let outcome = made(Path::new("/nonexistent/texts.txt")).run(json!({"author": "ann"}));
    assert_eq!(outcome.verdict, Verdict::Bury);
    let reason = outcome.message;
    assert!(reason.contains("missing field `text`"), "{reason}");
}
