//! Messages as producers write them, and the mails that are built of them.

mod attachments;
mod refusals;

use lettre::address::Envelope;
use serde_json::{Value, json};

use super::{Composer, Mail, parse_mailbox};
use crate::tests::assert_message_fits;

/// A composer with a default sender and no attachments root.
fn composer() -> Composer {
    let from = parse_mailbox("Shop <shop@example.org>").expect("an address");
    Composer {
        from: Some(from),
        attachments_root: None,
        max_bytes: 1024 * 1024,
    }
}

/// The mail as text, and its envelope.
#[track_caller]
fn composed(message: Value) -> (String, Envelope) {
    assert_message_fits(&message);
    let mail: Mail = serde_json::from_value(message).expect("the message is readable");
    let outgoing = composer().compose(mail).expect("the mail is built");
    (
        String::from_utf8(outgoing.bytes).expect("the mail is text"),
        outgoing.envelope,
    )
}

/// The refusal, whether it comes from reading the keys or from building the mail.
#[track_caller]
fn refusal(composer: &Composer, message: Value) -> String {
    match serde_json::from_value::<Mail>(message) {
        Err(error) => error.to_string(),
        Ok(mail) => composer
            .compose(mail)
            .expect_err("the message is refused")
            .to_string(),
    }
}

/// The value of a header, unfolded; `None` if the mail has no such header.
fn header(mail: &str, name: &str) -> Option<String> {
    let (head, _) = mail.split_once("\r\n\r\n").expect("a head and a body");
    let unfolded = head.replace("\r\n ", " ");
    let line = unfolded
        .lines()
        .find(|line| line.starts_with(&format!("{name}: ")))?;
    Some(line[name.len() + 2..].to_owned())
}

fn recipients(envelope: &Envelope) -> Vec<String> {
    envelope.to().iter().map(ToString::to_string).collect()
}

#[test]
fn a_small_message_becomes_a_whole_mail() {
    let (mail, envelope) = composed(json!({"to": "a@example.org", "subject": "Hi", "text": "Hello\nyou"}));
    assert_eq!(header(&mail, "From").as_deref(), Some("Shop <shop@example.org>"));
    assert_eq!(header(&mail, "To").as_deref(), Some("a@example.org"));
    assert_eq!(header(&mail, "Subject").as_deref(), Some("Hi"));
    assert_eq!(
        header(&mail, "Content-Type").as_deref(),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(header(&mail, "MIME-Version").as_deref(), Some("1.0"));
    assert!(
        header(&mail, "Date").is_some_and(|date| date.ends_with("+0000")),
        "{mail}"
    );
    assert!(mail.ends_with("\r\n\r\nHello\r\nyou\r\n"), "{mail}");
    assert_eq!(
        envelope.from().map(ToString::to_string).as_deref(),
        Some("shop@example.org")
    );
    assert_eq!(recipients(&envelope), ["a@example.org"]);
}

#[test]
fn recipients_are_taken_in_every_form_that_producers_use() {
    let both = ["a@example.org", "b@example.org"];
    let cases = [
        json!("a@example.org, B <b@example.org>"),
        json!("\"A, the first\" <a@example.org>,b@example.org,"),
        json!(["a@example.org", "B <b@example.org>"]),
        json!({"0": "a@example.org", "2": "b@example.org"}),
        json!({"a@example.org": "A, the first", "b@example.org": null}),
        json!(["a@example.org", "", "b@example.org", "A again <a@example.org>"]),
        json!("a@example.org <a@example.org>, Dr. B. (the second) <b@example.org>"),
    ];
    for to in cases {
        let (_, envelope) = composed(json!({"to": to, "text": "x"}));
        assert_eq!(recipients(&envelope), both, "{to}");
    }
}

#[test]
fn names_keep_their_commas_quotes_and_letters() {
    let cases = [
        (
            json!({"a@example.org": "Last, First"}),
            "=?utf-8?b?TGFzdCwgRmlyc3Q=?= <a@example.org>",
        ),
        (
            json!("\"Joe \\\"X\\\" Doe\" <a@example.org>"),
            "\"Joe \\\"X\\\" Doe\" <a@example.org>",
        ),
        (json!("<a@example.org>"), "a@example.org"),
        (
            json!("Jörg <a@example.org>"),
            "=?utf-8?b?SsO2cmc=?= <a@example.org>",
        ),
    ];
    for (to, expected) in cases {
        let (mail, _) = composed(json!({"to": to, "text": "x"}));
        assert_eq!(header(&mail, "To").as_deref(), Some(expected), "{to}");
    }
}

#[test]
fn bcc_is_in_the_envelope_and_nowhere_in_the_mail() {
    let (mail, envelope) =
        composed(json!({"to": "a@example.org", "bcc": ["secret@example.org"], "text": "x"}));
    assert_eq!(recipients(&envelope), ["a@example.org", "secret@example.org"]);
    assert!(
        !mail.to_lowercase().contains("bcc") && !mail.contains("secret"),
        "{mail}"
    );
    let (mail, envelope) = composed(json!({"bcc": "secret@example.org", "text": "x"}));
    assert_eq!(recipients(&envelope), ["secret@example.org"]);
    assert!(!mail.contains("secret"), "{mail}");
}

#[test]
fn the_message_may_name_its_own_sender_and_reply_address() {
    let (mail, envelope) = composed(json!({
        "from": {"me@example.net": "Me"}, "to": "a@example.org", "cc": "c@example.org",
        "reply_to": "r@example.org", "text": "x",
    }));
    assert_eq!(header(&mail, "From").as_deref(), Some("Me <me@example.net>"));
    assert_eq!(header(&mail, "Cc").as_deref(), Some("c@example.org"));
    assert_eq!(header(&mail, "Reply-To").as_deref(), Some("r@example.org"));
    assert_eq!(
        envelope.from().map(ToString::to_string).as_deref(),
        Some("me@example.net")
    );
    assert_eq!(recipients(&envelope), ["a@example.org", "c@example.org"]);
}

#[test]
fn an_international_domain_travels_in_ascii() {
    let (mail, envelope) = composed(json!({"to": "a@bücher.example", "text": "x"}));
    assert_eq!(recipients(&envelope), ["a@xn--bcher-kva.example"]);
    assert!(mail.is_ascii(), "{mail}");
}

#[test]
fn text_outside_ascii_is_encoded() {
    let (mail, _) = composed(json!({"to": "a@example.org", "subject": "Grüße 你好", "text": "Grüße"}));
    assert!(mail.is_ascii(), "{mail}");
    assert_eq!(
        header(&mail, "Subject").as_deref(),
        Some("=?utf-8?b?R3LDvMOfZSDkvaDlpb0=?=")
    );
    assert!(mail.ends_with("\r\n\r\nR3LDvMOfZQ==\r\n"), "{mail}");
}

#[test]
fn text_and_html_are_alternatives_and_a_blank_one_is_left_out() {
    let kind = |message: Value| header(&composed(message).0, "Content-Type").unwrap_or_default();
    let (mail, _) = composed(json!({"to": "a@example.org", "text": "plain", "html": "<b>rich</b>"}));
    assert!(
        header(&mail, "Content-Type").is_some_and(|kind| kind.starts_with("multipart/alternative")),
        "{mail}"
    );
    assert!(
        mail.find("plain").expect("the text") < mail.find("<b>rich</b>").expect("the html"),
        "{mail}"
    );
    assert_eq!(
        kind(json!({"to": "a@example.org", "html": "<b>"})),
        "text/html; charset=utf-8"
    );
    assert_eq!(
        kind(json!({"to": "a@example.org", "text": "", "html": "<b>"})),
        "text/html; charset=utf-8"
    );
    assert_eq!(
        kind(json!({"to": "a@example.org", "text": "x", "html": ""})),
        "text/plain; charset=utf-8"
    );
    assert_eq!(
        kind(json!({"to": "a@example.org", "text": ""})),
        "text/plain; charset=utf-8"
    );
}

#[test]
fn numbers_are_taken_as_text() {
    let (mail, _) =
        composed(json!({"to": "a@example.org", "subject": 42, "text": 1.5, "headers": {"X-Order": 7}}));
    assert_eq!(header(&mail, "Subject").as_deref(), Some("42"));
    assert_eq!(header(&mail, "X-Order").as_deref(), Some("7"));
    assert!(mail.ends_with("\r\n\r\n1.5\r\n"), "{mail}");
}

#[test]
fn empty_php_arrays_and_nulls_are_absent_keys() {
    let (mail, envelope) = composed(json!({
        "to": "a@example.org", "cc": [], "bcc": null, "reply_to": "", "headers": [], "attachments": [],
        "subject": null, "text": "x",
    }));
    assert_eq!(recipients(&envelope), ["a@example.org"]);
    assert_eq!(header(&mail, "Reply-To"), None);
    assert_eq!(header(&mail, "Subject"), None);
}

#[test]
fn the_keys_of_the_php_library_are_ignored() {
    let (mail, _) = composed(json!({
        "to": "a@example.org", "subject": "Hi", "text": "x", "model": "\\Mail", "method": "send", "modelParams": "",
        "methodParams": [], "errorRetry": false, "noRetry": false, "priority": 1_795_327_562,
        "retryIntervalTime": 0, "retryStopAt": "", "__class": "stdClass",
    }));
    assert_eq!(header(&mail, "Subject").as_deref(), Some("Hi"));
}

#[test]
fn the_mail_may_be_the_arguments_of_the_php_librarys_call() {
    let mail = json!({"to": "a@example.org", "subject": "Hi", "text": "x"});
    for arguments in [mail.clone(), json!([mail])] {
        let message = json!({
            "model": "\\Mail", "method": "send", "modelParams": "", "methodParams": arguments, "errorRetry": false,
            "noRetry": false, "priority": 1, "retryIntervalTime": 0, "retryStopAt": "",
        });
        let (mail, envelope) = composed(message);
        assert_eq!(header(&mail, "Subject").as_deref(), Some("Hi"));
        assert_eq!(recipients(&envelope), ["a@example.org"]);
    }
}

#[test]
fn extra_headers_are_encoded_where_they_must_be() {
    let (mail, _) = composed(json!({
        "to": "a@example.org", "text": "x",
        "headers": {"List-Unsubscribe": "<https://example.org/u?id=1>", "X-Note": "Grüße"},
    }));
    assert_eq!(
        header(&mail, "List-Unsubscribe").as_deref(),
        Some("<https://example.org/u?id=1>")
    );
    assert_eq!(
        header(&mail, "X-Note").as_deref(),
        Some("=?utf-8?b?R3LDvMOfZQ==?=")
    );
}

#[test]
fn the_message_id_is_the_producers_or_a_new_one_each_time() {
    let (mail, _) =
        composed(json!({"to": "a@example.org", "text": "x", "message_id": "<order-7@example.org>"}));
    assert_eq!(
        header(&mail, "Message-ID").as_deref(),
        Some("<order-7@example.org>")
    );
    let new = || {
        let mail: Mail =
            serde_json::from_value(json!({"to": "a@example.org", "text": "x"})).expect("readable");
        composer().compose(mail).expect("the mail is built")
    };
    let (one, other) = (new(), new());
    assert_ne!(one.message_id, other.message_id);
    assert!(one.message_id.ends_with("@example.org>"), "{}", one.message_id);
    let text = String::from_utf8(one.bytes).expect("the mail is text");
    assert_eq!(header(&text, "Message-ID"), Some(one.message_id));
}
