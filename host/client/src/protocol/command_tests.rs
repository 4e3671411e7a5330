//! Tables of commands: each form of the protocol, and lines that are almost one.

use super::*;

const LIMIT: usize = 1 << 16;

#[track_caller]
fn goes_as(command: Command<'_>, bytes: &[u8]) {
    let mut encoded = Vec::new();
    command.encode(&mut encoded);
    assert_eq!(
        encoded.escape_ascii().to_string(),
        bytes.escape_ascii().to_string()
    );
    assert_eq!(
        parse_command(bytes, LIMIT),
        Ok(Parsed::Complete {
            value: command,
            consumed: bytes.len()
        })
    );
}

#[test]
fn every_command_of_the_protocol_writes_and_reads_the_same() {
    let tube = TubeName::new("a").unwrap();
    let id = JobId(u64::MAX);
    let max = u32::MAX;
    let body = Body::new(b"x\r\ny").unwrap();
    goes_as(
        Command::Put {
            pri: max,
            delay: 0,
            ttr: 60,
            body,
        },
        b"put 4294967295 0 60 4\r\nx\r\ny\r\n",
    );
    goes_as(
        Command::Put {
            pri: 0,
            delay: 0,
            ttr: 0,
            body: Body::new(b"").unwrap(),
        },
        b"put 0 0 0 0\r\n\r\n",
    );
    goes_as(Command::Use(tube.clone()), b"use a\r\n");
    goes_as(Command::Reserve, b"reserve\r\n");
    goes_as(
        Command::ReserveWithTimeout { seconds: 0 },
        b"reserve-with-timeout 0\r\n",
    );
    goes_as(Command::ReserveJob(id), b"reserve-job 18446744073709551615\r\n");
    goes_as(Command::Delete(id), b"delete 18446744073709551615\r\n");
    goes_as(
        Command::Release {
            id: JobId(1),
            pri: 2,
            delay: max,
        },
        b"release 1 2 4294967295\r\n",
    );
    goes_as(Command::Bury { id: JobId(1), pri: 2 }, b"bury 1 2\r\n");
    goes_as(Command::Touch(JobId(1)), b"touch 1\r\n");
    goes_as(Command::Watch(tube.clone()), b"watch a\r\n");
    goes_as(Command::Ignore(tube.clone()), b"ignore a\r\n");
    goes_as(Command::Peek(JobId(1)), b"peek 1\r\n");
    goes_as(Command::PeekReady, b"peek-ready\r\n");
    goes_as(Command::PeekDelayed, b"peek-delayed\r\n");
    goes_as(Command::PeekBuried, b"peek-buried\r\n");
    goes_as(Command::Kick { bound: max }, b"kick 4294967295\r\n");
    goes_as(Command::KickJob(JobId(1)), b"kick-job 1\r\n");
    goes_as(Command::Stats, b"stats\r\n");
    goes_as(Command::StatsJob(JobId(1)), b"stats-job 1\r\n");
    goes_as(Command::StatsTube(tube.clone()), b"stats-tube a\r\n");
    goes_as(Command::ListTubes, b"list-tubes\r\n");
    goes_as(Command::ListTubeUsed, b"list-tube-used\r\n");
    goes_as(Command::ListTubesWatched, b"list-tubes-watched\r\n");
    goes_as(
        Command::PauseTube { tube, delay: max },
        b"pause-tube a 4294967295\r\n",
    );
    goes_as(Command::Quit, b"quit\r\n");
}

#[test]
fn the_longest_command_line_fits_the_servers_buffer() {
    let tube = TubeName::new(&"a".repeat(200)).unwrap();
    let mut line = Vec::new();
    Command::PauseTube {
        tube,
        delay: u32::MAX,
    }
    .encode(&mut line);
    assert!(line.len() <= crate::protocol::MAX_LINE_BYTES);
}

#[test]
fn a_reserve_longer_than_the_server_can_count_is_shortened() {
    let mut line = Vec::new();
    Command::ReserveWithTimeout { seconds: u32::MAX }.encode(&mut line);
    assert_eq!(line, b"reserve-with-timeout 2147483647\r\n");
}

#[test]
fn a_line_that_is_almost_a_command_is_refused() {
    for line in [
        "put 1 2 3",
        "put -1 0 0 1",
        "put 4294967296 0 0 1",
        "put 0 0 0 4294967296",
        "use",
        "use a b",
        "use -a",
        "use 订单",
        "reserve 1",
        "reserve-with-timeout",
        "reserve-with-timeout 2147483648",
        "delete",
        "delete x",
        "delete 18446744073709551616",
        "release 1 2",
        "bury 1",
        "peek",
        "kick",
        "stats 1",
        "pause-tube a",
        "quit now",
    ] {
        let line = format!("{line}\r\n");
        let refused = parse_command(line.as_bytes(), LIMIT);
        assert!(
            matches!(refused, Err(ProtocolError::Malformed { .. })),
            "{line:?} gave {refused:?}"
        );
    }
    for line in ["", "PUT 1 2 3 4", "list", "GET / HTTP/1.1"] {
        let line = format!("{line}\r\n");
        let refused = parse_command(line.as_bytes(), LIMIT);
        assert!(
            matches!(refused, Err(ProtocolError::Unknown { .. })),
            "{line:?} gave {refused:?}"
        );
    }
}

#[test]
fn a_put_over_the_limit_or_without_its_line_end_is_refused() {
    let announced = parse_command(b"put 0 0 0 65537\r\n", LIMIT).unwrap_err();
    assert_eq!(
        announced,
        ProtocolError::BodyTooLong {
            announced: 65_537,
            limit: LIMIT
        }
    );
    let unfinished = parse_command(b"put 0 0 0 3\r\nabcde", LIMIT).unwrap_err();
    assert!(matches!(
        unfinished,
        ProtocolError::BodyNotTerminated { length: 3, .. }
    ));
}
