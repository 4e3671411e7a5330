//! Any body through every entry point of the payload module: no panic, no limit exceeded, and what was read is written alike.
#![no_main]

use asynccall_client::payload::{Flag, Limits, RetryFields, may_ask_for_no_retry, php, validated_json_view};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let limits = Limits {
        output: 1 << 16,
        ..Limits::default()
    };
    let mut scratch = Vec::new();
    if let Ok(view) = validated_json_view(body, &limits, &mut scratch) {
        assert!(view.json.len() <= limits.output.max(body.len()));
    }
    if let Ok(fields) = RetryFields::read(body, &limits) {
        assert!(fields.no_retry != Some(Flag::True) || may_ask_for_no_retry(body));
    }
    if let Ok(document) = php::parse(body, &limits) {
        let mut written = Vec::new();
        php::write(document.root(), &mut written);
        let again = php::parse(&written, &limits).expect("what was written is readable");
        assert_eq!(again.root(), document.root());
    }
});
