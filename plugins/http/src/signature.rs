//! The signature of a request: HMAC-SHA256 over the time and the body, by a secret that both sides know. Pure.
//!
//! The time is signed too, so that a receiver can refuse a request that somebody recorded and sends again much later.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The value of `X-Signature`: `t=` and the Unix time in seconds, `v1=` and HMAC-SHA256 of `TIME.BODY` in lower hex.
pub(crate) fn sign(secret: &[u8], time: u64, body: &[u8]) -> String {
    // A key may have any length (RFC 2104, section 3), so there is nothing to fail here but the type.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        return String::new();
    };
    mac.update(time.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("t={time},v1={}", hex(&mac.finalize().into_bytes()))
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::sign;

    #[test]
    fn the_signature_is_what_openssl_computes() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac shared-secret
        assert_eq!(
            sign(b"shared-secret", 1_700_000_000, br#"{"a":1}"#),
            "t=1700000000,v1=46dcf16b2bf0ae1e3497a93b80e02f1016a6f7d969acd0bed37a30172a73d715"
        );
    }

    #[test]
    fn a_secret_longer_than_a_block_and_an_empty_body_are_signed() {
        // printf '0.' | openssl dgst -sha256 -hmac "$(printf 'k%.0s' $(seq 100))"
        assert_eq!(
            sign(&[b'k'; 100], 0, b""),
            "t=0,v1=243c2f8200e1d4ee892e7a7ded377a65e2beb1c64b997c54b8b0f516216d4b0f"
        );
    }
}
