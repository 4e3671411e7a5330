//! Server bytes: a reply that parses writes itself and reads back; a verdict holds for every longer input.
#![no_main]

use asynccall_client::protocol::{JobStats, Parsed, Reply, Stats, parse_reply, tube_list};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    while let Ok(Parsed::Complete { value, consumed }) = parse_reply(rest, LIMIT) {
        for cut in 0..consumed {
            let part = parse_reply(&rest[..cut], LIMIT);
            assert!(matches!(part, Ok(Parsed::Incomplete { needed }) if cut < needed && needed <= consumed));
        }
        let mut written = Vec::new();
        value.encode(&mut written);
        let again = parse_reply(&written, LIMIT);
        assert!(
            again
                == Ok(Parsed::Complete {
                    value: value.clone(),
                    consumed: written.len()
                })
        );
        if let Reply::Ok(body) = value {
            read_statistics(body);
        }
        rest = &rest[consumed..];
    }
    read_statistics(input);
});

fn read_statistics(body: &[u8]) {
    let _ = Stats::parse(body);
    let _ = JobStats::parse(body);
    let _ = tube_list(body);
}
