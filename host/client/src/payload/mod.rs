//! Job payloads.
