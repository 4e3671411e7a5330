//! What the workers of a pool are for: where their jobs come from, and who executes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config;

/// Where the jobs of a worker come from, and who executes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// The queue server, as `host:port` or `unix:PATH`.
    pub(crate) server: String,
    /// The logical tubes, in the order in which the scoreboard counts them.
    pub(crate) tubes: Vec<String>,
    /// The handler of each tube.
    handlers: Vec<String>,
}

impl Assignment {
    /// The assignment of a pool whose tubes have these handlers.
    pub(crate) fn of(pool: &config::Pool, handlers: &[String]) -> Assignment {
        Assignment {
            server: pool.queue.to_string(),
            tubes: pool.tubes.clone(),
            handlers: handlers.to_vec(),
        }
    }

    /// The name of a tube.
    pub(super) fn tube(&self, index: Option<usize>) -> Option<&str> {
        self.tubes.get(index?).map(String::as_str)
    }

    /// The handler of the jobs of a tube. With one handler for all, the tube need not be known.
    pub(super) fn handler(&self, tube: Option<usize>) -> Option<&str> {
        let first = self.handlers.first()?;
        let handler = match self.handlers.iter().all(|name| name == first) {
            true => first,
            false => self.handlers.get(tube?)?,
        };
        Some(handler)
    }

    /// The handler of each tube, by name.
    pub(crate) fn by_tube(&self) -> BTreeMap<String, String> {
        let pairs = self.tubes.iter().zip(&self.handlers);
        pairs
            .map(|(tube, handler)| (tube.clone(), handler.clone()))
            .collect()
    }
}
