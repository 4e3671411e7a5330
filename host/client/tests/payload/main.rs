//! The payload module against bodies that PHP wrote: recorded ones, and ones that a `php` here writes on the spot.

mod generated;
mod golden;
mod json_rules;
mod properties;
