//! Tables of replies: each form of the protocol, and lines that are almost one.

use super::*;

const LIMIT: usize = 1 << 16;

#[track_caller]
fn reads_as(bytes: &[u8], wanted: Reply<'_>) {
    let parsed = parse_reply(bytes, LIMIT).unwrap();
    assert_eq!(
        parsed,
        Parsed::Complete {
            value: wanted.clone(),
            consumed: bytes.len()
        }
    );
    let mut encoded = Vec::new();
    wanted.encode(&mut encoded);
    assert_eq!(
        encoded.escape_ascii().to_string(),
        bytes.escape_ascii().to_string()
    );
}

#[test]
fn every_reply_of_the_protocol_reads_and_writes_the_same() {
    let id = JobId(u64::MAX);
    reads_as(b"INSERTED 18446744073709551615\r\n", Reply::Inserted(id));
    reads_as(b"BURIED\r\n", Reply::Buried(None));
    reads_as(b"BURIED 0\r\n", Reply::Buried(Some(JobId(0))));
    reads_as(
        b"RESERVED 7 5\r\na\r\nb\0\r\n",
        Reply::Reserved {
            id: JobId(7),
            body: b"a\r\nb\0",
        },
    );
    reads_as(
        b"RESERVED 7 0\r\n\r\n",
        Reply::Reserved {
            id: JobId(7),
            body: b"",
        },
    );
    reads_as(
        b"FOUND 7 1\r\nx\r\n",
        Reply::Found {
            id: JobId(7),
            body: b"x",
        },
    );
    reads_as(b"OK 4\r\n---\n\r\n", Reply::Ok(b"---\n"));
    reads_as(
        b"USING default\r\n",
        Reply::Using(TubeName::new("default").unwrap()),
    );
    reads_as(b"WATCHING 3\r\n", Reply::Watching(3));
    reads_as(b"KICKED\r\n", Reply::Kicked(None));
    reads_as(b"KICKED 12\r\n", Reply::Kicked(Some(12)));
    reads_as(b"DELETED\r\n", Reply::Deleted);
    reads_as(b"RELEASED\r\n", Reply::Released);
    reads_as(b"TOUCHED\r\n", Reply::Touched);
    reads_as(b"PAUSED\r\n", Reply::Paused);
    reads_as(b"NOT_FOUND\r\n", Reply::NotFound);
    reads_as(b"NOT_IGNORED\r\n", Reply::NotIgnored);
    reads_as(b"TIMED_OUT\r\n", Reply::TimedOut);
    reads_as(b"DEADLINE_SOON\r\n", Reply::DeadlineSoon);
    for error in ServerError::ALL {
        reads_as(format!("{error}\r\n").as_bytes(), Reply::Error(*error));
    }
}

#[test]
fn a_line_that_is_almost_a_reply_is_refused() {
    for line in [
        "RESERVED",
        "RESERVED 1",
        "RESERVED 1 2 3",
        "RESERVED x 2",
        "RESERVED 1 -2",
        "RESERVED  1 2",
        "RESERVED 1 2 ",
        "FOUND 1",
        "OK",
        "OK x",
        "OK 1 2",
        "INSERTED",
        "INSERTED ",
        "INSERTED 18446744073709551616",
        "BURIED x",
        "KICKED 1 2",
        "WATCHING",
        "USING",
        "USING a b",
        "USING -a",
        "USING \u{8ba2}",
        "DELETED 1",
        "TIMED_OUT ",
        "DRAINING 1",
    ] {
        let line = format!("{line}\r\n");
        let refused = parse_reply(line.as_bytes(), LIMIT);
        assert!(
            matches!(refused, Err(ProtocolError::Malformed { .. })),
            "{line:?} gave {refused:?}"
        );
    }
    for line in [
        "",
        " ",
        "reserved 1 2",
        "RESERVEDX 1 2",
        "HTTP/1.1 400 Bad Request",
        "220 mail ESMTP",
        "\r",
    ] {
        let line = format!("{line}\r\n");
        let refused = parse_reply(line.as_bytes(), LIMIT);
        assert!(
            matches!(refused, Err(ProtocolError::Unknown { .. })),
            "{line:?} gave {refused:?}"
        );
    }
}

#[test]
fn a_body_over_the_limit_is_refused_when_it_is_announced() {
    for (line, announced) in [
        ("RESERVED 1 65537", 65_537),
        ("OK 18446744073709551615", u64::MAX),
    ] {
        let line = format!("{line}\r\n");
        let refused = parse_reply(line.as_bytes(), LIMIT);
        assert_eq!(
            refused,
            Err(ProtocolError::BodyTooLong {
                announced,
                limit: LIMIT
            })
        );
    }
}

#[test]
fn the_largest_length_with_no_limit_is_incomplete_not_an_overflow() {
    let parsed = parse_reply(b"OK 18446744073709551615\r\n", usize::MAX).unwrap();
    assert_eq!(parsed, Parsed::Incomplete { needed: usize::MAX });
}

#[test]
fn a_body_without_its_line_end_is_refused() {
    let refused = parse_reply(b"RESERVED 1 3\r\nabcdef", LIMIT).unwrap_err();
    assert_eq!(
        refused.to_string(),
        r"found `de` after a body of 3 bytes, wanted `\r\n`"
    );
}

#[test]
fn an_incomplete_body_says_how_many_bytes_it_takes() {
    let parsed = parse_reply(b"RESERVED 1 10\r\nabc", LIMIT).unwrap();
    assert_eq!(parsed, Parsed::Incomplete { needed: 27 });
}

#[test]
fn a_reply_leaves_what_follows_it() {
    let parsed = parse_reply(b"DELETED\r\nRESERVED 1 2\r\n", LIMIT).unwrap();
    assert_eq!(
        parsed,
        Parsed::Complete {
            value: Reply::Deleted,
            consumed: 9
        }
    );
}

#[test]
fn an_error_shows_foreign_bytes_escaped_and_bounded() {
    let text = parse_reply(b"\x1b[31mred\r\n", LIMIT).unwrap_err().to_string();
    assert_eq!(
        text,
        r"found `\x1b[31mred`, which is no reply of the beanstalkd protocol"
    );
    let long = [vec![b'z'; 200], b"\r\n".to_vec()].concat();
    assert!(parse_reply(&long, LIMIT).unwrap_err().to_string().len() < 150);
}
