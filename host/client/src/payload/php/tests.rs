//! Tables of what is read, what is refused and how it is written, and proofs that the reader stays within its bounds.

use super::read::Reader;
use super::{ErrorKind, Float, Key, Value, from_json, parse, write};
use crate::payload::{Limits, MAX_DEPTH};

#[track_caller]
fn rewritten(body: &[u8]) -> String {
    let document = parse(body, &Limits::default()).unwrap();
    let mut out = Vec::new();
    write(document.root(), &mut out);
    out.escape_ascii().to_string()
}

#[track_caller]
fn refusal(body: &str) -> String {
    parse(body.as_bytes(), &Limits::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn what_php_writes_is_written_back_the_same() {
    let bodies: [&[u8]; 16] = [
        b"N;",
        b"b:1;",
        b"i:-9223372036854775808;",
        b"d:0.1;",
        b"d:-0;",
        b"d:NAN;",
        b"d:0.10000000000000001;",
        b"s:2:\"\x00\xff\";",
        b"a:2:{i:-7;s:0:\"\";s:2:\"05\";a:0:{}}",
        b"a:2:{i:0;s:1:\"x\";i:1;R:2;}",
        b"a:2:{i:0;O:8:\"stdClass\":0:{}i:1;r:2;}",
        b"O:3:\"A\\B\":3:{s:1:\"p\";i:1;s:4:\"\0*\0q\";i:2;s:6:\"\0A\\B\0r\";i:3;}",
        b"O:1:\"U\":2:{i:7;N;s:1:\"x\";N;}",
        b"C:1:\"C\":9:{any}b\"s;:}",
        b"C:1:\"C\":0:{}",
        b"E:4:\"En:A\";",
    ];
    for body in bodies {
        assert_eq!(rewritten(body), body.escape_ascii().to_string());
    }
}

#[test]
fn what_php_reads_but_never_writes_is_written_as_php_would() {
    let spellings = [
        ("i:+7;", "i:7;"),
        ("i:-007;", "i:-7;"),
        (r#"S:3:"\41\5C5";"#, r#"s:3:\"A\\5\";"#),
        ("i:5;\r\n", "i:5;"),
        (r#"a:01:{S:1:"\62";N;}"#, r#"a:1:{s:1:\"b\";N;}"#),
    ];
    for (body, wanted) in spellings {
        assert_eq!(rewritten(body.as_bytes()), wanted, "{body}");
    }
}

#[test]
fn a_refusal_says_where_and_why() {
    let refusals = [
        ("", "byte 0: the body ends here, wanted a value"),
        (
            "x:1;",
            "byte 0: found `x`, wanted a value (`N`, `b`, `i`, `d`, `s`, `a`, `O`, …)",
        ),
        ("N", "byte 1: the body ends here, wanted `;`"),
        ("b:2;", "byte 2: found `2`, wanted `0` or `1`"),
        ("i:;", "byte 2: found `;`, wanted a digit"),
        ("i:1a;", "byte 3: found `a`, wanted a digit or `;`"),
        (
            "i:9223372036854775808;",
            "byte 2: the number does not fit 64 bits",
        ),
        (
            "i:-9223372036854775809;",
            "byte 2: the number does not fit 64 bits",
        ),
        ("d:1e;", "byte 2: not a PHP float"),
        ("d:.;", "byte 2: not a PHP float"),
        ("d:inf;", "byte 2: not a PHP float"),
        ("d:0x1;", "byte 2: not a PHP float"),
        ("d:1", "byte 3: the body ends here, wanted `;`"),
        (
            "s:4:\"abc\";",
            "byte 9: found `;`, wanted `\"` at the end of the string",
        ),
        ("s:9:\"abc\";", "byte 5: 9 bytes announced, but only 5 are left"),
        (
            "s:99999999999999999999:\"\";",
            "byte 2: the number does not fit 64 bits",
        ),
        (
            "S:1:\"\\+1\";",
            "byte 8: wanted two hexadecimal digits after the backslash",
        ),
        (
            "a:1:{i:0;N;",
            "byte 11: the body ends here, wanted `}` after the last element",
        ),
        (
            "a:2:{i:0;N;}",
            "byte 5: 2 elements announced, but the 7 bytes left cannot hold them",
        ),
        ("a:1:{b:1;N;}", "byte 5: found `b`, wanted a key (`i` or `s`)"),
        (
            "a:1:{i:0;i:1;;}",
            "byte 13: found `;`, wanted `}` after the last element",
        ),
        ("a:-1:{}", "byte 2: found `-`, wanted a digit"),
        ("O:0:\"\":0:{}", "byte 2: not a PHP class name"),
        ("O:3:\"1 y\":0:{}", "byte 2: not a PHP class name"),
        ("E:2:\"En\";", "byte 2: not a PHP case name"),
        ("E:3:\"En:\";", "byte 2: not a PHP case name"),
        ("E:3:\":En\";", "byte 2: not a PHP class name"),
        ("R:1;", "byte 2: reference to slot 1, but only 1 to 0 exist here"),
        (
            "a:1:{i:0;r:2;}",
            "byte 11: reference to slot 2, but only 1 to 1 exist here",
        ),
        (
            "a:1:{i:0;R:0;}",
            "byte 11: reference to slot 0, but only 1 to 1 exist here",
        ),
        (
            "i:5;i:6;\n",
            "byte 4: 4 bytes follow the value, wanted the end of the body",
        ),
    ];
    for (body, wanted) in refusals {
        assert_eq!(refusal(body), wanted, "{body}");
    }
}

#[test]
fn a_body_beyond_the_limit_is_not_looked_at() {
    let limits = Limits {
        body: 3,
        ..Limits::default()
    };
    let error = parse(b"i:5;", &limits).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BodyTooLong { len: 4, limit: 3 });
    assert!(parse(b"N;", &limits).is_ok());
}

#[test]
fn a_reference_after_an_opaque_payload_is_kept_though_its_slot_is_unknown() {
    let body = b"a:2:{i:0;C:1:\"C\":6:{opaque}i:1;R:40;}";
    assert_eq!(rewritten(body), body.escape_ascii().to_string());
}

#[test]
fn the_last_of_repeated_keys_is_found() {
    let body = br#"a:3:{i:5;s:1:"a";s:1:"x";N;s:1:"5";s:1:"b";}"#;
    let document = parse(body, &Limits::default()).unwrap();
    assert_eq!(document.root().get("5"), Some(&Value::string(b"b".as_slice())));
    assert_eq!(document.root().get("x"), Some(&Value::Null));
    assert_eq!(document.root().get("y"), None);
    assert_eq!(Value::Null.get("y"), None);
}

#[test]
fn floats_made_here_have_the_spelling_of_php() {
    let spellings = [
        (0.1, "0.1"),
        (1.0, "1"),
        (0.0, "0"),
        (-0.0, "-0"),
        (-2.5, "-2.5"),
        (0.1 + 0.2, "0.30000000000000004"),
        (0.0001, "0.0001"),
        (0.00001, "1.0E-5"),
        (1.25e-7, "1.25E-7"),
        (1e15, "1000000000000000"),
        (1e16, "10000000000000000"),
        (1e17, "1.0E+17"),
        (123_456_789_012_345_680.0, "1.2345678901234568E+17"),
        (-1e100, "-1.0E+100"),
        (5e-324, "5.0E-324"),
        (f64::MAX, "1.7976931348623157E+308"),
        // Exactly between two shortest spellings: PHP takes the even digit.
        (4_494_002_486_398_917.0 / 4.0, "1123500621599729.2"),
        (f64::INFINITY, "INF"),
        (f64::NEG_INFINITY, "-INF"),
        (-f64::NAN, "NAN"),
    ];
    for (number, wanted) in spellings {
        assert_eq!(Float::from(number).spelling(), wanted);
    }
}

#[test]
fn json_becomes_what_php_would_decode_it_to() {
    let json = br#"{"z":[1,1.0,true,null,"\u00e9"],"5":{},"05":18446744073709551615,"z2":-5,"5":"again"}"#;
    let mut out = Vec::new();
    write(&from_json(json).unwrap(), &mut out);
    let wanted = "a:4:{s:1:\"z\";a:5:{i:0;i:1;i:1;d:1;i:2;b:1;i:3;N;i:4;s:2:\"é\";}i:5;s:5:\"again\";\
                  s:2:\"05\";d:1.8446744073709552E+19;s:2:\"z2\";i:-5;}";
    assert_eq!(String::from_utf8(out).unwrap(), wanted);
}

#[test]
fn only_the_keys_that_php_takes_for_integers_become_integers() {
    for text in ["0", "5", "-5", "9223372036854775807", "-9223372036854775808"] {
        assert_eq!(Key::for_array(text.into()), Key::Int(text.parse().unwrap()));
    }
    for text in [
        "",
        "-",
        "-0",
        "05",
        "+5",
        " 5",
        "5 ",
        "1.5",
        "9223372036854775808",
        "1e3",
    ] {
        assert!(matches!(Key::for_array(text.into()), Key::Bytes(_)), "{text}");
    }
}

/// `levels` arrays inside one another.
fn nested(levels: usize) -> String {
    format!(
        "{}{}",
        "a:1:{i:0;".repeat(levels),
        "N;".to_owned() + &"}".repeat(levels)
    )
}

#[test]
fn nesting_is_allowed_up_to_the_limit() {
    let limits = Limits {
        depth: 3,
        ..Limits::default()
    };
    assert!(parse(nested(3).as_bytes(), &limits).is_ok());
    let error = parse(nested(4).as_bytes(), &limits).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooDeep { limit: 3 });
    let unlimited = Limits {
        depth: usize::MAX,
        ..Limits::default()
    };
    let error = parse(nested(MAX_DEPTH + 1).as_bytes(), &unlimited).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooDeep { limit: MAX_DEPTH });
}

/// Bytes the reader looked at, and whether it accepted them.
fn steps(body: &[u8]) -> (usize, bool) {
    let mut reader = Reader::new(body, MAX_DEPTH);
    let accepted = reader.value().is_ok();
    (reader.text.steps, accepted)
}

#[test]
fn the_reader_looks_at_no_byte_twice() {
    let list: String = (0..1000).map(|index| format!("i:{index};s:3:\"abc\";")).collect();
    let mut payloads = "x".to_owned();
    for _ in 0..100 {
        payloads = format!("C:1:\"C\":{}:{{{payloads}}}", payloads.len());
    }
    let bodies = [
        format!("a:1000:{{{list}}}"),
        nested(500),
        payloads,
        format!("S:1000:\"{}\";", r"\41".repeat(1000)),
        "a:9:{".repeat(400),
        format!("d:{};", "1".repeat(1000)),
    ];
    for body in bodies {
        let (steps, _) = steps(body.as_bytes());
        assert!(steps <= body.len(), "{steps} steps for {} bytes", body.len());
    }
}

#[test]
fn announced_lengths_reserve_no_memory_beyond_what_was_read() {
    let filler = "x".repeat(60_000);
    let body = format!("a:2:{{i:0;N;i:1;s:{}:\"{filler}\";}}", filler.len());
    let document = parse(body.as_bytes(), &Limits::default()).unwrap();
    let Value::Array(entries) = document.root() else {
        panic!("not an array")
    };
    assert!(entries.capacity() < 32);
    assert!(refusal(&format!("a:9999:{{{filler}")).contains("found `x`"));
    assert!(refusal("a:1000000000:{").contains("cannot hold them"));
}
