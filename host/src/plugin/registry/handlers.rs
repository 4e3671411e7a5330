//! Handler names across several plugins, from their manifests.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use crate::plugin::{PluginError, PluginInfo, nearby::nearest};

/// Which plugin has which handler.
#[derive(Clone, Debug, Default)]
pub struct Handlers(BTreeMap<String, Arc<PluginInfo>>);

impl Handlers {
    /// Enters the handlers of all plugins. The first plugin keeps a name that several have; each other one is an error.
    pub(super) fn collect(plugins: impl IntoIterator<Item = Arc<PluginInfo>>) -> (Self, Vec<PluginError>) {
        let mut handlers = BTreeMap::new();
        let mut duplicates = Vec::new();
        for plugin in plugins {
            for handler in &plugin.manifest.handlers {
                match handlers.entry(handler.name.clone()) {
                    Entry::Vacant(entry) => {
                        entry.insert(Arc::clone(&plugin));
                    }
                    Entry::Occupied(entry) => duplicates.push(PluginError::Duplicate {
                        handler: handler.name.clone(),
                        first: PluginInfo::clone(entry.get()).path,
                        second: plugin.path.clone(),
                    }),
                }
            }
        }
        (Handlers(handlers), duplicates)
    }

    /// The handler that a pool means: the one that it names, or the only one that there is.
    pub fn choose(&self, wanted: Option<&str>) -> Result<&str, PluginError> {
        match wanted {
            Some(wanted) => match self.0.get_key_value(wanted) {
                Some((name, _)) => Ok(name),
                None => Err(self.missing(wanted)),
            },
            None => {
                let mut names = self.names();
                match (names.next(), names.next()) {
                    (Some(only), None) => Ok(only),
                    _ => Err(PluginError::NoneChosen { known: self.known() }),
                }
            }
        }
    }

    /// The plugin that has the handler.
    pub fn plugin(&self, handler: &str) -> Option<&Arc<PluginInfo>> {
        self.0.get(handler)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn missing(&self, wanted: &str) -> PluginError {
        PluginError::NoSuchHandler {
            wanted: wanted.to_owned(),
            known: self.known(),
            nearest: nearest(wanted, self.names()),
        }
    }

    fn known(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}
