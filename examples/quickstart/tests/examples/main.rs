//! The examples do what they say, on real parts.

mod configuration;
mod handler;
mod producers;
mod quickstart;
mod stage;
