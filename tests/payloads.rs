//! `payload decode`: the JSON view of a job body.

use std::fs::File;

use serde_json::{Value, json};

use crate::support::Host;

/// What the command prints for this standard input.
#[track_caller]
fn decoded(body: &[u8]) -> Value {
    let text = Host::unconnected()
        .run_with_input(&["payload", "decode"], body)
        .succeeded();
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_body_of_the_php_library_is_shown_as_json() {
    let body = br#"a:2:{s:5:"model";s:9:"\App\Mail";s:12:"methodParams";a:1:{i:0;d:0.1;}}"#;
    assert_eq!(
        decoded(body),
        json!({"model": "\\App\\Mail", "methodParams": [0.1]})
    );
}

#[test]
fn a_json_body_is_shown_as_it_is() {
    assert_eq!(decoded(br#" {"a": [1, null]} "#), json!({"a": [1, null]}));
}

#[test]
fn a_body_is_read_from_a_file_or_from_standard_input() {
    let host = Host::unconnected();
    let file = host.directory().write("body", "i:7;");
    let file = file.to_str().expect("a path");
    assert_eq!(host.run_bare(&["payload", "decode", file]).succeeded(), "7\n");
    assert_eq!(
        host.run_with_input(&["payload", "decode", "-"], b"i:7;")
            .succeeded(),
        "7\n"
    );
}

#[test]
fn what_is_no_body_is_refused_with_the_reason() {
    let host = Host::unconnected();
    let refused = |body: &[u8]| host.run_with_input(&["payload", "decode"], body).to_string();
    insta::assert_snapshot!(refused(b"garbage"), @r"
    exit 65
    error: cannot decode `standard input`: the body begins with `garbage`, which is neither JSON nor PHP serialize() text
    ");
    insta::assert_snapshot!(refused(b""), @r"
    exit 65
    error: cannot decode `standard input`: the body is empty, wanted JSON or PHP serialize() text
    ");
    insta::assert_snapshot!(refused(b"{\"a\": }"), @r"
    exit 65
    error: cannot decode `standard input`: the body is not valid JSON: expected value at line 1 column 7
    ");
    insta::assert_snapshot!(refused(b"a:2:{i:0;i:1;"), @r"
    exit 65
    error: cannot decode `standard input`: the body is not valid PHP serialize() text: byte 5: 2 elements announced, but the 8 bytes left cannot hold them
    ");
    insta::assert_snapshot!(refused(b"a:1:{i:0;R:1;}"), @r"
    exit 65
    error: cannot decode `standard input`: the body has no JSON view: at `$[0]`: the reference leads back to a value that contains it, which JSON cannot express
    ");
}

#[test]
fn a_file_that_is_missing_is_named() {
    let host = Host::unconnected();
    insta::assert_snapshot!(host.run_bare(&["payload", "decode", "/nowhere/body"]), @r"
    exit 66
    error: cannot read `/nowhere/body`: No such file or directory (os error 2)
    ");
}

#[test]
fn an_answer_that_cannot_be_written_is_no_success_and_a_complaint_that_cannot_is_no_crash() {
    let host = Host::unconnected();
    let body = host.directory().write("body", "i:7;");
    let full = || File::options().write(true).open("/dev/full");
    let Ok(device) = full() else {
        return crate::support::skip("there is no /dev/full");
    };
    let decode = |file: &str| host.bare_command(&["payload", "decode", file]);
    let mut command = decode(body.to_str().expect("a path"));
    command.stdout(device);
    insta::assert_snapshot!(host.run_command(command), @r"
    exit 1
    error: cannot write to standard output: No space left on device (os error 28)
    ");
    let mut command = decode("/nowhere/body");
    command.stderr(full().expect("it was there"));
    assert_eq!(host.run_command(command).code, Some(66));
}
