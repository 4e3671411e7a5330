//! Client bytes: a command that parses writes itself and reads back; a verdict holds for every longer input.
#![no_main]

use asynccall_client::protocol::{Parsed, parse_command};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    while let Ok(Parsed::Complete { value, consumed }) = parse_command(rest, LIMIT) {
        for cut in 0..consumed {
            let part = parse_command(&rest[..cut], LIMIT);
            assert!(matches!(part, Ok(Parsed::Incomplete { needed }) if cut < needed && needed <= consumed));
        }
        let mut written = Vec::new();
        value.encode(&mut written);
        let again = parse_command(&written, LIMIT);
        assert!(
            again
                == Ok(Parsed::Complete {
                    value,
                    consumed: written.len()
                })
        );
        rest = &rest[consumed..];
    }
});
