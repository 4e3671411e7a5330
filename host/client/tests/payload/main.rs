//! The payload module against bodies that PHP wrote: recorded ones, and ones that a `php` here writes on the spot.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod generated;
mod golden;
mod json_rules;
mod properties;
