//! `plugin …`: one module for each command.

mod list;
mod lock;
mod new;

use crate::{
    cli::{Plugin, Search},
    config::{self, Config, Purpose},
    master::Failure,
};

/// `plugin …`: what to print.
pub fn plugin(typed: Plugin) -> Result<String, Failure> {
    match typed {
        Plugin::New(typed) => new::new(typed),
        Plugin::List(typed) => list::list(typed),
        Plugin::Lock(typed) => lock::lock(typed),
    }
}

/// The settings that say where plugins are; there may be none to load.
fn settings(search: Search) -> Result<Config, Failure> {
    let resolved = config::load_for(Purpose::Producer, &super::sources(search.0)?);
    match resolved {
        Ok(resolved) => Ok(resolved.config),
        Err(errors) => Err(Failure::new(errors.exit(), errors.to_string())),
    }
}
