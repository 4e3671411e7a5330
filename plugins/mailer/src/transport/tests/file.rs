//! Mails as files.

use std::fs;

use super::{MAIL, envelope, failure};
use crate::transport::{FileTransport, Transport};

#[test]
fn files_appear_whole_and_under_names_that_sort_by_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let transport = Transport::File(FileTransport::new(directory.path().to_owned()));
    let mut names = Vec::new();
    for _ in 0..3 {
        let accepted = transport
            .send(&envelope(&["a@example.org"]), MAIL)
            .expect("the mail is written");
        assert_eq!(fs::read(&accepted.answer).expect("the file"), MAIL);
        names.push(accepted.answer);
    }
    let listed = fs::read_dir(directory.path()).expect("the directory").count();
    assert_eq!(listed, 3, "no temporary file is left");
    assert!(names.iter().all(|name| name.ends_with(".eml")), "{names:?}");
}

#[test]
fn a_directory_that_vanished_is_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let gone = directory.path().join("gone");
    let (may_pass, text) = failure(
        &Transport::File(FileTransport::new(gone.clone())),
        &["a@example.org"],
    );
    assert!(
        may_pass && text.starts_with(&format!("cannot write `{}/", gone.display())),
        "{text}"
    );
}
