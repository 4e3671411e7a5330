//! Attachments: what is let in, and that nothing outside the root is ever read.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::{Value, json};

use super::{Composer, Mail, composed, composer, refusal};
use crate::{message::compose::ComposeError, tests::assert_message_fits};

fn with(attachment: Value) -> Value {
    json!({"to": "a@example.org", "text": "see attachment", "attachments": [attachment]})
}

fn rooted(root: &Path) -> Composer {
    Composer {
        attachments_root: Some(root.to_owned()),
        ..composer()
    }
}

#[track_caller]
fn sent(composer: &Composer, attachment: Value) -> String {
    let message = with(attachment);
    assert_message_fits(&message);
    let mail: Mail = serde_json::from_value(message).expect("the message is readable");
    String::from_utf8(composer.compose(mail).expect("the mail is built").bytes).expect("the mail is text")
}

#[test]
fn an_attachment_makes_the_mail_multipart_mixed() {
    let (mail, _) = composed(with(
        json!({"name": "a.bin", "content_type": "image/png", "base64": "/wD+"}),
    ));
    assert!(
        mail.contains("Content-Type: multipart/mixed;\r\n boundary="),
        "{mail}"
    );
    assert!(mail.contains("see attachment"), "{mail}");
    assert!(
        mail.contains("Content-Disposition: attachment; filename=\"a.bin\"\r\nContent-Type: image/png\r\n"),
        "{mail}"
    );
    assert!(
        mail.contains("Content-Transfer-Encoding: base64\r\n\r\n/wD+\r\n"),
        "{mail}"
    );
}

#[test]
fn text_html_and_attachment_nest() {
    let (mail, _) = composed(json!({
        "to": "a@example.org", "text": "t", "html": "<b>h</b>", "attachments": {"1": {"name": "a", "base64": "eA=="}},
    }));
    let mixed = mail.find("multipart/mixed").expect("the outer part");
    let alternative = mail.find("multipart/alternative").expect("the inner part");
    let attachment = mail.find("filename=\"a\"").expect("the attachment");
    assert!(mixed < alternative && alternative < attachment, "{mail}");
}

#[test]
fn an_attachment_may_be_the_whole_mail() {
    let (mail, _) = composed(
        json!({"to": "a@example.org", "attachments": [{"name": "ü.txt", "base64": "eA==", "content_type": ""}]}),
    );
    assert!(mail.contains("filename*0*=utf-8''%C3%BC.txt"), "{mail}");
    assert!(mail.contains("Content-Type: application/octet-stream"), "{mail}");
}

#[test]
fn base64_may_have_line_breaks_and_lack_its_padding() {
    for base64 in ["aGVsbG8=", "aGVs\r\nbG8=\r\n", "aGVsbG8"] {
        let (mail, _) = composed(with(json!({"name": "a", "base64": base64})));
        assert!(mail.contains("\r\n\r\nhello\r\n"), "{base64}: {mail}");
    }
}

#[test]
fn a_file_under_the_root_is_attached_by_its_name() {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("sub")).expect("a directory");
    fs::write(root.path().join("sub/bill.txt"), "42 EUR").expect("a file");
    symlink("bill.txt", root.path().join("sub/link")).expect("a link");
    for path in ["sub/bill.txt", "./sub/../sub/bill.txt"] {
        let mail = sent(&rooted(root.path()), json!({"path": path}));
        assert!(
            mail.contains("filename=\"bill.txt\"") && mail.contains("42 EUR"),
            "{path}: {mail}"
        );
    }
    let mail = sent(
        &rooted(root.path()),
        json!({"path": "sub/link", "name": "Bill.txt"}),
    );
    assert!(
        mail.contains("filename=\"Bill.txt\"") && mail.contains("42 EUR"),
        "{mail}"
    );
}

#[test]
fn a_file_outside_the_root_is_refused() {
    let outer = tempfile::tempdir().expect("a directory");
    let root = outer.path().join("root");
    fs::create_dir(&root).expect("a directory");
    fs::create_dir(outer.path().join("root2")).expect("a directory");
    fs::write(outer.path().join("secret"), "s3cret").expect("a file");
    fs::write(outer.path().join("root2/secret"), "s3cret").expect("a file");
    symlink("../secret", root.join("link")).expect("a link");
    symlink("..", root.join("up")).expect("a link");
    let absolute = outer.path().join("secret").display().to_string();
    let paths = [
        "../secret",
        "link",
        "up/secret",
        "../root2/secret",
        &absolute,
        "../nothing",
        "/nothing",
        "a/../../nothing",
        "a\0b",
    ];
    for path in paths {
        let text = refusal(&rooted(&root), with(json!({"path": path})));
        assert_eq!(
            text,
            format!("attachment 1: `{path}` is not inside `attachments_root`")
        );
    }
}

#[test]
fn only_regular_files_are_read() {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir(root.path().join("sub")).expect("a directory");
    let made = std::process::Command::new("mkfifo")
        .arg(root.path().join("pipe"))
        .status()
        .expect("mkfifo runs");
    assert!(made.success());
    for path in ["sub", "pipe", "."] {
        let text = refusal(&rooted(root.path()), with(json!({"path": path, "name": "n"})));
        assert_eq!(text, format!("attachment 1: `{path}` is not a regular file"));
    }
}

#[test]
fn a_missing_file_may_still_come() {
    let root = tempfile::tempdir().expect("a directory");
    let mail: Mail = serde_json::from_value(with(json!({"path": "later.pdf"}))).expect("readable");
    let error = rooted(root.path())
        .compose(mail)
        .expect_err("the file is missing");
    assert!(error.may_pass());
    assert!(
        error
            .to_string()
            .starts_with("attachment 1: cannot read `later.pdf` under `attachments_root`: No such file")
    );
}

#[test]
fn an_attachment_that_makes_no_sense_is_refused_for_good() {
    let root = tempfile::tempdir().expect("a directory");
    fs::write(root.path().join("big"), vec![b'x'; 3000]).expect("a file");
    let small = Composer {
        max_bytes: 2000,
        ..rooted(root.path())
    };
    let cases = [
        (
            json!({"name": "a"}),
            "attachment 1: neither `base64` nor `path` is given",
        ),
        (
            json!({"base64": "", "path": "x"}),
            "attachment 1: both `base64` and `path` are given",
        ),
        (json!({"base64": ""}), "attachment 1: `name` is missing"),
        (
            json!({"name": "a", "base64": "%%%"}),
            "attachment 1: `base64` is not base64: Invalid symbol 37",
        ),
        (
            json!({"name": "a", "base64": "", "content_type": "pdf"}),
            "attachment 1: `pdf` is not a content type",
        ),
        (
            json!({"name": "a", "base64": "", "content_type": "multipart/mixed"}),
            "attachment 1: `multipart/mixed` is not",
        ),
        (
            json!({"path": "big"}),
            "attachment 1: `big` has more than the 2000 bytes that `max_message_bytes` leaves",
        ),
    ];
    for (attachment, expected) in cases {
        let mail: Mail = serde_json::from_value(with(attachment.clone())).expect("the message is readable");
        let error: ComposeError = small.compose(mail).expect_err("the attachment is refused");
        assert!(!error.may_pass(), "{attachment}");
        assert!(error.to_string().starts_with(expected), "{attachment}: {error}");
    }
    let text = refusal(&composer(), with(json!({"path": "x"})));
    assert!(
        text.contains("no directory is configured") && text.contains("hint: set `attachments_root`"),
        "{text}"
    );
}
