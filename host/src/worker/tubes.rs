//! The pool's tubes: what to watch, and which logical tube a wire name stands for.

use std::sync::Arc;

use asynccall_client::tube::{TubeMap, TubeName};

use crate::config::Pool;

/// The tubes of one pool.
pub(super) struct Tubes {
    map: TubeMap,
    names: Vec<Arc<str>>,
}

impl Tubes {
    /// The tubes that the pool names. The error says which name cannot be used.
    pub(super) fn of(pool: &Pool) -> Result<Tubes, String> {
        let map = TubeMap::new(pool.tube_naming, pool.tubes.iter().map(String::as_str))
            .map_err(|error| crate::observe::line::chain(&error))?;
        let names = map.tubes().iter().map(|tube| Arc::from(tube.name())).collect();
        Ok(Tubes { map, names })
    }

    /// The names to watch.
    pub(super) fn wire(&self) -> impl Iterator<Item = &TubeName> {
        self.map.wire()
    }

    /// The index of the only logical tube, if there is only one.
    pub(super) fn only(&self) -> Option<usize> {
        (self.names.len() == 1).then_some(0)
    }

    /// The index of the logical tube that a wire name stands for.
    pub(super) fn index(&self, wire: &str) -> Option<usize> {
        let logical = self.map.logical(wire)?;
        self.names.iter().position(|name| **name == *logical)
    }

    /// A logical tube's name.
    pub(super) fn name(&self, index: usize) -> Arc<str> {
        self.names.get(index).cloned().unwrap_or_else(|| Arc::from("-"))
    }

    /// The same, borrowed.
    pub(super) fn name_str(&self, index: usize) -> &str {
        self.names.get(index).map_or("-", |name| name)
    }
}
