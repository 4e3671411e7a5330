//! What buries a job, with the whole beginning of its reason.

use serde_json::{Value, json};

use super::{Composer, composer, refusal};

#[track_caller]
fn check(cases: Vec<(Value, &str)>) {
    for (message, expected) in cases {
        let shown = message.to_string();
        let text = refusal(&composer(), message);
        assert!(
            text.starts_with(expected),
            "{shown}\n  gave     {text}\n  expected {expected}"
        );
    }
}

#[test]
fn a_message_without_what_a_mail_needs_is_refused() {
    check(vec![
        (
            json!([]),
            "the message has no recipient, wanted at least one address in `to`, `cc` or `bcc`",
        ),
        (json!({"to": [], "text": "x"}), "the message has no recipient"),
        (json!({"to": "", "text": "x"}), "the message has no recipient"),
        (
            json!({"to": "a@example.org"}),
            "the message has no body, wanted at least one of `text`, `html`",
        ),
        (
            json!("a@example.org"),
            "the message is a string, wanted a map with `to`",
        ),
        (
            json!({"methodParams": ["a@example.org"], "model": "M"}),
            "the message has no recipient",
        ),
        (
            json!({"from": "a@example.org, b@example.org", "to": "c@example.org", "text": "x"}),
            "`from` names 2 addresses, wanted one",
        ),
    ]);
    let composer = Composer {
        from: None,
        ..composer()
    };
    let text = refusal(&composer, json!({"to": "a@example.org", "text": "x"}));
    assert!(
        text.starts_with("the message has no `from`\n  hint: set it in the message"),
        "{text}"
    );
}

#[test]
fn a_misspelt_key_is_refused_by_name() {
    check(vec![
        (
            json!({"to": "a@example.org", "subjct": "x"}),
            "unknown key `subjct`\n  hint: did you mean `subject`?",
        ),
        (
            json!({"to": "a@example.org", "replyTo": "x"}),
            "unknown key `replyTo`\n  hint: did you mean `reply_to`?",
        ),
        (
            json!({"to": "a@example.org", "template": "x"}),
            "unknown key `template`, wanted some of `from`, `to`, `cc`",
        ),
        (
            json!({"methodParams": {"too": "a@example.org"}}),
            "unknown key `too`\n  hint: did you mean `to`?",
        ),
        (
            json!({"to": "a@example.org", "attachments": [{"nmae": "x"}]}),
            "`attachments`: attachment 1: unknown field `nmae`, expected one of `name`",
        ),
    ]);
}

#[test]
fn a_value_of_the_wrong_type_is_refused() {
    check(vec![
        (
            json!({"to": 5}),
            "`to`: invalid type: integer `5`, expected an address, a list of addresses, or a map",
        ),
        (
            json!({"to": [["a@example.org", "A"]]}),
            "`to`: invalid type: sequence, expected a string",
        ),
        (
            json!({"to": {"email": "a@example.org"}}),
            "`to`: the key `email` is not an address, wanted a map",
        ),
        (
            json!({"to": "a@example.org", "subject": {"__base64": "/w=="}}),
            "`subject`: invalid type: map, expected text in UTF-8",
        ),
        (
            json!({"to": "a@example.org", "text": true}),
            "`text`: invalid type: boolean `true`, expected text in UTF-8",
        ),
        (
            json!({"to": "a@example.org", "headers": ["X-A: b"]}),
            "`headers`: a list, wanted a map",
        ),
        (
            json!({"to": "a@example.org", "headers": {"X-A": []}}),
            "`headers`: header `X-A`: invalid type",
        ),
        (
            json!({"to": "a@example.org", "attachments": "a.pdf"}),
            "`attachments`: a string, wanted a list of maps",
        ),
        (
            json!({"to": "a@example.org", "attachments": ["a.pdf"]}),
            "`attachments`: attachment 1 is a string, wanted a map",
        ),
    ]);
}

#[test]
fn a_bad_address_is_refused_with_its_key() {
    check(vec![
        (
            json!({"to": "nobody", "text": "x"}),
            "`nobody` in `to` is not an address: nothing before or after the `@`",
        ),
        (
            json!({"cc": "a@", "text": "x"}),
            "`a@` in `cc` is not an address: nothing before or after the `@`",
        ),
        (
            json!({"to": "a b@example.org"}),
            "`a b@example.org` in `to` is not an address: the part before the `@`",
        ),
        (
            json!({"bcc": ["a@exa mple.org"]}),
            "`a@exa mple.org` in `bcc` is not an address: the domain is not valid",
        ),
        (
            json!({"to": "A <a@example.org"}),
            "`A <a@example.org` in `to` is not an address: `<` and `>` do not match",
        ),
        (
            json!({"to": "Last, First <a@example.org>"}),
            "`Last` in `to` is not an address",
        ),
        (
            json!({"to": "a@example.org", "text": "x", "reply_to": "a@b@c.example"}),
            "`a@b@c.example` in `reply_to` is not an address",
        ),
    ]);
}

#[test]
fn no_value_can_add_a_header() {
    let injection = "x\r\nBcc: victim@example.org";
    check(vec![
        (
            json!({"to": "a@example.org", "text": "x", "subject": injection}),
            "`subject` has a line break",
        ),
        (
            json!({"to": "a@example.org", "text": "x", "headers": {"X-A": injection}}),
            "header `X-A` has a line break or another control character in its value",
        ),
        (
            json!({"to": "a@example.org", "text": "x", "headers": {"X-A: b\r\nBcc": "v@example.org"}}),
            "header name `X-A: b\\r\\nBcc` is not valid",
        ),
        (
            json!({"to": {"a@example.org": injection}, "text": "x"}),
            "`a@example.org` in `to` is not an address: a control",
        ),
        (
            json!({"to": "a@example.org\r\nBcc: v@example.org", "text": "x"}),
            "`a@example.org\\r\\nBcc: v@example.org` in `to` is not an address: a control character in it",
        ),
        (
            json!({"from": "\"a\nb\" <a@example.org>", "to": "a@example.org"}),
            "`\\\"a\\nb\\\" <a@example.org>` in `from`",
        ),
        (
            json!({"to": "a@example.org", "text": "x", "message_id": "<a@b>\r\nBcc: v@example.org"}),
            "`message_id` is `<a@b>\\r\\nBcc: v@example.org`, wanted the form",
        ),
        (
            json!({"to": "a@example.org", "text": "x", "attachments": [{"name": injection, "base64": ""}]}),
            "attachment 1: the name `x\\r\\nBcc: victim@example.org` has a control character in it",
        ),
        (
            json!({"to": "a@example.org", "text": "x",
                "attachments": [{"name": "n", "base64": "", "content_type": "text/plain\r\nBcc: v@example.org"}]}),
            "attachment 1: `text/plain\\r\\nBcc: v@example.org` is not a content type",
        ),
    ]);
}

#[test]
fn headers_that_are_not_the_producers_business_are_refused_with_what_to_use() {
    let set = |name: &str| json!({"to": "a@example.org", "text": "x", "headers": {name: "v"}});
    check(vec![
        (
            set("Bcc"),
            "header `Bcc` cannot be set\n  hint: use the key `bcc`, which no receiver sees",
        ),
        (set("TO"), "header `TO` cannot be set\n  hint: use the key `to`"),
        (
            set("Content-Type"),
            "header `Content-Type` cannot be set\n  hint: it follows from `text`, `html`",
        ),
        (
            set("content-transfer-encoding"),
            "header `content-transfer-encoding` cannot be set",
        ),
        (set("MIME-Version"), "header `MIME-Version` cannot be set"),
        (set("Resent-To"), "header `Resent-To` cannot be set"),
        (set("X Y"), "header name `X Y` is not valid"),
        (set("Ünï"), "header name `Ünï` is not valid"),
        (set(""), "header name `` is not valid"),
    ]);
}

#[test]
fn a_mail_over_the_limit_is_refused() {
    let composer = Composer {
        max_bytes: 2000,
        ..composer()
    };
    let text = refusal(
        &composer,
        json!({"to": "a@example.org", "text": "x".repeat(2000)}),
    );
    assert!(
        text.starts_with("the mail has ") && text.ends_with(" bytes, `max_message_bytes` is 2000"),
        "{text}"
    );
}
