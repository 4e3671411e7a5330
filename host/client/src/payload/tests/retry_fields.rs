//! The retry fields of both formats, and the quick look for `noRetry`.

use crate::payload::{Flag, Limits, RetryFields, may_ask_for_no_retry};

#[track_caller]
fn fields(body: &str) -> RetryFields<'_> {
    RetryFields::read(body.as_bytes(), &Limits::default()).unwrap()
}

#[test]
fn both_formats_say_the_same() {
    let wanted = RetryFields {
        error_retry: Some(Flag::True),
        no_retry: Some(Flag::Other),
        retry_interval: Some(600),
        retry_stop_at: Some("2030-01-02 03:04:05".into()),
    };
    let php = r#"a:5:{s:1:"x";a:1:{s:7:"noRetry";b:1;}s:10:"errorRetry";b:1;s:7:"noRetry";i:1;s:17:"retryIntervalTime";s:3:"600";s:11:"retryStopAt";s:19:"2030-01-02 03:04:05";}"#;
    let json = r#"{"x":{"noRetry":true},"errorRetry":true,"noRetry":1,"retryIntervalTime":"600","retryStopAt":"2030-01-02 03:04:05"}"#;
    assert_eq!(fields(php), wanted);
    assert_eq!(fields(json), wanted);
}

#[test]
fn what_is_absent_or_null_is_none() {
    let null = r#"{"errorRetry":null,"noRetry":null,"retryIntervalTime":null,"retryStopAt":null}"#;
    for body in [
        "", "hi", "a:0:{}", "{}", "[1,[2]]", "i:5;", "\"x\"", "5", "-5", "1.5", "true", "null", null,
    ] {
        assert_eq!(fields(body), RetryFields::default(), "{body}");
    }
}

#[test]
fn a_malformed_body_is_an_error() {
    for body in ["a:1:{", "{\"a\"", "[1", "{} x"] {
        assert!(
            RetryFields::read(body.as_bytes(), &Limits::default()).is_err(),
            "{body}"
        );
    }
}

#[test]
fn references_are_followed_and_the_last_of_repeated_keys_counts() {
    let php = r#"a:3:{i:0;b:1;s:7:"noRetry";R:2;s:10:"errorRetry";R:2;}"#;
    assert_eq!(
        (fields(php).no_retry, fields(php).error_retry),
        (Some(Flag::True), Some(Flag::True))
    );
    assert_eq!(
        fields(r#"{"noRetry":false,"noRetry":true}"#).no_retry,
        Some(Flag::True)
    );
    assert_eq!(
        fields(r#"a:2:{s:7:"noRetry";b:1;s:7:"noRetry";b:0;}"#).no_retry,
        Some(Flag::False)
    );
}

#[test]
fn the_stop_date_is_text_whatever_was_sent() {
    let texts = [
        (r#"{"retryStopAt":""}"#, ""),
        (r#"{"retryStopAt":1795327562}"#, "1795327562"),
        (r#"{"retryStopAt":true}"#, "1"),
        (r#"{"retryStopAt":false}"#, ""),
        (r#"{"retryStopAt":["2030-01-01"]}"#, "Array"),
        (r#"a:1:{s:11:"retryStopAt";O:8:"DateTime":0:{}}"#, "Object"),
    ];
    for (body, wanted) in texts {
        assert_eq!(fields(body).retry_stop_at.as_deref(), Some(wanted), "{body}");
    }
}

#[test]
fn only_a_body_that_may_say_true_is_worth_decoding() {
    let asked = [
        r#"a:1:{s:7:"noRetry";b:1;}"#,
        r#"a:2:{i:0;b:1;s:7:"noRetry";R:2;}"#,
        r#"a:1:{S:7:"no\52etry";b:1;}"#,
        r#"{"noRetry":true}"#,
        "{\"noRetry\" \n:\ttrue}",
        r#"{"no\u0052etry":true}"#,
        r#"{"noRetry":false,"noRetry":true}"#,
        // Not at the top level, which only decoding can tell.
        r#"{"x":{"noRetry":true}}"#,
    ];
    let spared = [
        "",
        "hi",
        r#"a:1:{s:7:"noRetry";b:0;}"#,
        r#"a:1:{s:7:"noRetry";i:1;}"#,
        r#"{"noRetry":false}"#,
        r#"{"noRetry":1,"x":"\u4f60"}"#,
        r#"{"x":"noRetry"}"#,
        "noRetry",
    ];
    for body in asked {
        assert!(may_ask_for_no_retry(body.as_bytes()), "{body}");
    }
    for body in spared {
        assert!(!may_ask_for_no_retry(body.as_bytes()), "{body}");
    }
}
