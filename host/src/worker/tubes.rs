//! The pool's tubes: what to watch, and which logical tube a wire name stands for.

use asynccall_client::tube::{TubeMap, TubeName, TubeNaming, TubeNamingError};

use crate::{config::Pool, observe::log};

/// The tubes of one pool.
pub(super) struct Tubes {
    naming: TubeNaming,
    map: TubeMap,
    names: Vec<&'static str>,
}

impl Tubes {
    /// The tubes that the pool names. The error says which name cannot be used.
    pub(super) fn of(pool: &Pool) -> Result<Tubes, String> {
        let map = TubeMap::new(pool.tube_naming, pool.tubes.iter().map(String::as_str))
            .map_err(|error| crate::observe::line::chain(&error))?;
        let names = map.tubes().iter().map(|tube| log::keep_name(tube.name()));
        let names = names.collect();
        let naming = pool.tube_naming;
        Ok(Tubes { naming, map, names })
    }

    /// The names to watch.
    pub(super) fn wire(&self) -> impl Iterator<Item = &TubeName> {
        self.map.wire()
    }

    /// The name among those to watch that leads to this one.
    pub(super) fn wire_index(&self, wire: &str) -> Option<usize> {
        self.wire().position(|name| name.as_str() == wire)
    }

    /// The only name to watch, if there is only one.
    pub(super) fn only_wire(&self) -> Option<&TubeName> {
        let mut all = self.wire();
        all.next().filter(|_| all.next().is_none())
    }

    /// Where jobs for a logical tube are put, one of the pool's or another: under the name that people use, where that is
    /// watched.
    pub(super) fn to_put(&self, name: &str) -> Result<TubeName, TubeNamingError> {
        let tube = self.naming.resolve(name)?;
        // It has one at least, the plain one first.
        tube.wire().first().cloned().ok_or(TubeNamingError::Empty)
    }

    /// The index of the only logical tube, if there is only one.
    pub(super) fn only(&self) -> Option<usize> {
        (self.names.len() == 1).then_some(0)
    }

    /// The index of the logical tube that a wire name stands for.
    pub(super) fn index(&self, wire: &str) -> Option<usize> {
        let logical = self.map.logical(wire)?;
        self.names.iter().position(|name| *name == logical)
    }

    /// A logical tube's name.
    pub(super) fn name(&self, index: usize) -> &'static str {
        self.names.get(index).copied().unwrap_or(log::UNKNOWN)
    }
}
