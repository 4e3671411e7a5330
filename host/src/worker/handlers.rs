//! The handlers of a worker's pool: one instance of each, and which one executes the jobs of which tube.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    config::HandlerConfig,
    observe::log,
    plugin::{PluginError, PluginErrors, library::Handler, registry::Registry},
};

/// A handler with its name.
pub(super) struct Made {
    pub(super) name: &'static str,
    pub(super) handler: Handler,
    /// How often it wants a tick.
    pub(super) tick_every: Option<Duration>,
}

/// The handlers of a pool.
pub(super) struct Handlers {
    /// Each once, in the order of the first tube of each.
    made: Vec<Made>,
    /// By tube: the index in `made`.
    of_tube: Vec<usize>,
    /// All names, for a log line about the worker.
    names: String,
}

impl Handlers {
    /// Whether the configurations of these handlers fit their schemas, where they have some; what is wrong with all
    /// of them.
    pub(super) fn check(
        registry: &Registry,
        configs: &BTreeMap<String, HandlerConfig>,
    ) -> Result<(), PluginErrors> {
        let checked = configs
            .iter()
            .map(|(name, config)| registry.check(name, config.value()));
        let errors: Vec<PluginError> = checked.filter_map(Result::err).collect();
        PluginErrors::or(errors, ())
    }

    /// Makes the handlers that are named in `of_tube`, one for each tube of the pool.
    pub(super) fn create(
        registry: &Registry,
        of_tube: &[String],
        configs: &BTreeMap<String, HandlerConfig>,
    ) -> Result<Handlers, PluginError> {
        let mut made: Vec<Made> = Vec::new();
        let mut indices = Vec::new();
        for name in of_tube {
            let known = made.iter().position(|made| made.name == name);
            indices.push(known.unwrap_or(made.len()));
            if known.is_none() {
                let config = configs.get(name).cloned().unwrap_or_default();
                made.push(Made {
                    name: log::keep_name(name),
                    handler: registry.create(name, config.value())?,
                    tick_every: None,
                });
            }
        }
        let names: Vec<&str> = made.iter().map(|made| made.name).collect();
        Ok(Handlers {
            names: names.join(","),
            made,
            of_tube: indices,
        })
    }

    /// Has each of them check itself, and asks how often it wants to tick.
    pub(super) fn self_check(&mut self) -> Result<(), PluginError> {
        self.made.iter_mut().try_for_each(|made| {
            made.handler.self_check()?;
            made.tick_every = made.handler.tick_every();
            Ok(())
        })
    }

    /// All of them, each once.
    pub(super) fn all(&self) -> &[Made] {
        &self.made
    }

    /// Whether a job's tube has to be known to find its handler.
    pub(super) fn depend_on_tube(&self) -> bool {
        self.made.len() > 1
    }

    /// The handler of the jobs of a tube; `None` where that depends on the tube and the tube is not known.
    pub(super) fn of(&self, tube: Option<usize>) -> Option<&Made> {
        match self.made.as_slice() {
            [only] => Some(only),
            several => several.get(*self.of_tube.get(tube?)?),
        }
    }

    /// The names of all, with commas between.
    pub(super) fn names(&self) -> &str {
        &self.names
    }
}
