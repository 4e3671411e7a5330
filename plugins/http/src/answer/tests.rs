//! Tables: what each status means, how `Retry-After` is read, what is kept of a body.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use plugin_api::serde_json::json;

use super::{Answer, EXCERPT_CHARS, Verdict, Verdicts, excerpt, refusal, result};

fn verdicts(named: &[(u16, Verdict)]) -> Verdicts {
    Verdicts {
        named: named.iter().copied().collect::<BTreeMap<_, _>>(),
        max_retry_after: Duration::from_secs(600),
    }
}

fn answer(status: u16, body: &[u8]) -> Answer {
    Answer {
        url: "http://a.example/secret".parse().expect("a URL"),
        status,
        retry_after: None,
        json: true,
        body: body.to_vec(),
        whole: true,
    }
}

#[test]
fn every_status_has_its_verdict() {
    let verdicts = verdicts(&[]);
    let table: [(Verdict, &[u16]); 4] = [
        (Verdict::Done, &[200, 201, 202, 204, 206, 299]),
        (Verdict::Retry, &[408, 425, 429, 503]),
        (Verdict::Bury, &[400, 401, 403, 404, 409, 410, 413, 422, 451, 499]),
        (
            Verdict::Failed,
            &[300, 301, 302, 304, 307, 308, 500, 501, 502, 504, 599, 600, 999],
        ),
    ];
    for (verdict, statuses) in table {
        for status in statuses {
            assert_eq!(verdicts.of(*status), verdict, "{status}");
        }
    }
}

#[test]
fn the_configuration_has_the_last_word_about_a_status() {
    let verdicts = verdicts(&[
        (409, Verdict::Done),
        (200, Verdict::Bury),
        (404, Verdict::Retry),
        (503, Verdict::Failed),
    ]);
    let found = [409, 200, 404, 503, 410].map(|status| verdicts.of(status));
    let wanted = [
        Verdict::Done,
        Verdict::Bury,
        Verdict::Retry,
        Verdict::Failed,
        Verdict::Bury,
    ];
    assert_eq!(found, wanted);
}

#[test]
fn retry_after_is_seconds_or_a_date_within_bounds() {
    // Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    let table = [
        ("120", Some(120)),
        (" 7 ", Some(7)),
        ("0", Some(1)),
        ("600", Some(600)),
        ("601", Some(600)),
        ("99999999999999999999999999", Some(600)),
        ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
        ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
        ("Sun Nov  6 08:50:07 1994", Some(30)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(1)),
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(1)),
        ("Mon, 07 Nov 1994 08:49:37 GMT", Some(600)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("soon", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
    ];
    for (value, seconds) in table {
        let delay = verdicts(&[]).delay(value, now);
        assert_eq!(delay, seconds.map(Duration::from_secs), "{value:?}");
    }
}

#[test]
fn a_refusal_says_who_what_and_how_it_begins_in_one_printable_line() {
    let cases = [
        (
            404,
            b"no such\r\n\torder\x1b[31m\x00".as_slice(),
            "X answered 404 Not Found: no such order [31m",
        ),
        (599, b"", "X answered 599"),
        (302, b"", "X answered 302 Found, a redirect that is not followed"),
        (500, b"\xff", "X answered 500 Internal Server Error: \u{fffd}"),
    ];
    for (status, body, text) in cases {
        assert_eq!(refusal(&answer(status, body), "X"), text);
    }
    let long = excerpt("é".repeat(EXCERPT_CHARS + 1).as_bytes());
    assert_eq!(long, format!("{}…", "é".repeat(EXCERPT_CHARS)));
    assert_eq!(
        excerpt("é".repeat(EXCERPT_CHARS).as_bytes()).chars().count(),
        EXCERPT_CHARS
    );
}

#[test]
fn a_result_is_json_only_where_it_claims_to_be_and_is_whole() {
    assert_eq!(
        result(&answer(200, br#"{"a":1}"#)),
        json!({"status": 200, "body": {"a": 1}})
    );
    assert_eq!(result(&answer(204, b"")), json!({"status": 204}));
    assert_eq!(result(&answer(200, b"{")), json!({"status": 200, "body": "{"}));
    let text = Answer {
        json: false,
        ..answer(200, b"1")
    };
    assert_eq!(result(&text), json!({"status": 200, "body": "1"}));
    let cut = Answer {
        whole: false,
        ..answer(200, b"12")
    };
    assert_eq!(
        result(&cut),
        json!({"status": 200, "body": "12", "truncated": true})
    );
}
