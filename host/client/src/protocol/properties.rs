//! Properties that hold for every byte string, every command and every reply.

use proptest::prelude::*;

use super::*;
use crate::tube::TubeName;

const LIMIT: usize = 4096;

fn tube() -> impl Strategy<Value = TubeName> {
    proptest::collection::vec(proptest::sample::select(b"abcXYZ019+/;.$_()-".to_vec()), 0..200)
        .prop_map(|tail| TubeName::new(&format!("t{}", String::from_utf8(tail).unwrap())).unwrap())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64),
        proptest::collection::vec(proptest::sample::select(b"\r\nRESERVED 1".to_vec()), 0..300),
    ]
}

fn id() -> impl Strategy<Value = JobId> {
    any::<u64>().prop_map(JobId)
}

/// A reply in owned form: its bytes, and the same value parsed is compared by encoding it again.
fn reply_bytes() -> impl Strategy<Value = Vec<u8>> {
    let with_body = (0..3_u8, id(), body()).prop_map(|(kind, id, body)| {
        encoded_reply(&match kind {
            0 => Reply::Reserved { id, body: &body },
            1 => Reply::Found { id, body: &body },
            _ => Reply::Ok(&body),
        })
    });
    let line = prop_oneof![
        id().prop_map(Reply::Inserted),
        proptest::option::of(id()).prop_map(Reply::Buried),
        tube().prop_map(Reply::Using),
        any::<u64>().prop_map(Reply::Watching),
        proptest::option::of(any::<u64>()).prop_map(Reply::Kicked),
        proptest::sample::select(vec![
            Reply::Deleted,
            Reply::Released,
            Reply::Touched,
            Reply::Paused,
            Reply::NotFound,
            Reply::NotIgnored,
            Reply::TimedOut,
            Reply::DeadlineSoon,
        ]),
        proptest::sample::select(ServerError::ALL.to_vec()).prop_map(Reply::Error),
    ];
    prop_oneof![with_body, line.prop_map(|reply| encoded_reply(&reply))]
}

fn command_bytes() -> impl Strategy<Value = Vec<u8>> {
    let put = (any::<u32>(), any::<u32>(), any::<u32>(), body()).prop_map(|(pri, delay, ttr, body)| {
        encoded_command(&Command::Put {
            pri,
            delay,
            ttr,
            body: Body::new(&body).unwrap(),
        })
    });
    let line =
        (0..24_u8, id(), any::<u32>(), any::<u32>(), tube()).prop_map(|(kind, id, pri, delay, tube)| {
            encoded_command(&match kind {
                0 => Command::Use(tube),
                1 => Command::Reserve,
                2 => Command::ReserveWithTimeout { seconds: delay },
                3 => Command::ReserveJob(id),
                4 => Command::Delete(id),
                5 => Command::Release { id, pri, delay },
                6 => Command::Bury { id, pri },
                7 => Command::Touch(id),
                8 => Command::Watch(tube),
                9 => Command::Ignore(tube),
                10 => Command::Peek(id),
                11 => Command::PeekReady,
                12 => Command::PeekDelayed,
                13 => Command::PeekBuried,
                14 => Command::Kick { bound: pri },
                15 => Command::KickJob(id),
                16 => Command::Stats,
                17 => Command::StatsJob(id),
                18 => Command::StatsTube(tube),
                19 => Command::ListTubes,
                20 => Command::ListTubeUsed,
                21 => Command::ListTubesWatched,
                22 => Command::PauseTube { tube, delay },
                _ => Command::Quit,
            })
        });
    prop_oneof![put, line]
}

fn encoded_reply(reply: &Reply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    reply.encode(&mut out);
    out
}

fn encoded_command(command: &Command<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    command.encode(&mut out);
    out
}

/// Bytes that resemble the protocol more often than chance would have it.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..512),
        "(RESERVED|FOUND|OK|put|USING|BURIED|KICKED|stats-job) ?[0-9 a-]{0,24}\r?\n[a-z\r\n]{0,40}"
            .prop_map(String::into_bytes),
        (reply_bytes(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
    ]
}

proptest! {
    #[test]
    fn a_reply_that_was_written_reads_back_and_writes_the_same(bytes in reply_bytes()) {
        let Parsed::Complete { value, consumed } = parse_reply(&bytes, LIMIT).unwrap() else { panic!("incomplete") };
        prop_assert_eq!(consumed, bytes.len());
        prop_assert_eq!(encoded_reply(&value), bytes);
    }

    #[test]
    fn a_command_that_was_written_reads_back_and_writes_the_same(bytes in command_bytes()) {
        let Parsed::Complete { value, consumed } = parse_command(&bytes, LIMIT).unwrap() else { panic!("incomplete") };
        prop_assert_eq!(consumed, bytes.len());
        prop_assert_eq!(encoded_command(&value), bytes);
    }

    #[test]
    fn every_truncation_is_incomplete_and_asks_for_more_but_never_too_much(
        reply in reply_bytes(), command in command_bytes(),
    ) {
        for cut in 0..reply.len() {
            let parsed = parse_reply(&reply[..cut], LIMIT).unwrap();
            let Parsed::Incomplete { needed } = parsed else { panic!("complete at {cut}: {parsed:?}") };
            prop_assert!(cut < needed && needed <= reply.len(), "{} of {} at {}", needed, reply.len(), cut);
        }
        for cut in 0..command.len() {
            let parsed = parse_command(&command[..cut], LIMIT).unwrap();
            let Parsed::Incomplete { needed } = parsed else { panic!("complete at {cut}: {parsed:?}") };
            prop_assert!(cut < needed && needed <= command.len(), "{} of {} at {}", needed, command.len(), cut);
        }
    }

    #[test]
    fn what_follows_a_reply_does_not_change_it(bytes in reply_bytes(), after in hostile()) {
        let alone = parse_reply(&bytes, LIMIT);
        let joined = [bytes.clone(), after].concat();
        prop_assert_eq!(alone, parse_reply(&joined, LIMIT));
    }

    #[test]
    fn arbitrary_bytes_end_in_a_value_an_error_or_a_bounded_wish_for_more(bytes in hostile()) {
        for parsed in [
            parse_reply(&bytes, LIMIT).map(|parsed| bound(parsed, bytes.len())),
            parse_command(&bytes, LIMIT).map(|parsed| bound(parsed, bytes.len())),
        ].into_iter().flatten() {
            prop_assert!(parsed, "out of bounds");
        }
        let _ = Stats::parse(&bytes);
        let _ = JobStats::parse(&bytes);
        let _ = tube_list(&bytes);
    }

    #[test]
    fn a_verdict_does_not_change_when_more_bytes_come(bytes in hostile(), cut in any::<proptest::sample::Index>()) {
        let part = &bytes[..cut.index(bytes.len() + 1)];
        match parse_reply(part, LIMIT) {
            Ok(Parsed::Incomplete { .. }) => {}
            Ok(complete) => prop_assert_eq!(Ok(complete), parse_reply(&bytes, LIMIT)),
            Err(_) => prop_assert!(parse_reply(&bytes, LIMIT).is_err()),
        }
    }
}

/// A complete value lies within the input; an incomplete one asks for at most a line and a body.
fn bound<T>(parsed: Parsed<T>, length: usize) -> bool {
    match parsed {
        Parsed::Complete { consumed, .. } => consumed <= length,
        Parsed::Incomplete { needed } => length < needed && needed <= MAX_LINE_BYTES + LIMIT + 2,
    }
}
