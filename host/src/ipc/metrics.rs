//! The metrics of one worker's plugins, in memory that its master reads.
//!
//! Each worker has a table of its own ([`Table`]): what one scribbles on is nobody
//! else's, and the master takes nothing for granted that it finds there. Only
//! the worker writes. A cell is filled first and published then, so a worker
//! that dies in the middle leaves no half of a metric; from then on its texts
//! stay what they are, and each of its numbers is an atomic of its own.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use super::mapping::Mapping;

mod definition;

pub use definition::{Definition, Kind, MOST_BOUNDS, Refusal};

/// How many metrics there is room for; each set of labels of a name is one.
pub const MOST_METRICS: usize = 128;

/// What a gauge has that was never set: no number, so that nobody reads one.
const UNSET: f64 = f64::NAN;

/// How many bytes plugin, name, help, labels and bounds of a metric may have, as JSON.
pub const MOST_TEXT: usize = 2048;

/// The memory, as both processes see it. Any bytes are valid for it.
#[repr(C, align(128))]
pub(super) struct Memory {
    /// Cells before this index are whole.
    published: AtomicU32,
    cells: [Cell; MOST_METRICS],
}

/// One metric.
#[repr(C, align(128))]
pub struct Cell {
    /// Of `buckets`, how often a value fell into each; all other kinds leave them alone.
    buckets: [AtomicU64; MOST_BOUNDS + 1],
    /// The bits of a number: what a counter has come to, what a gauge shows, the sum of what a histogram has seen.
    value: AtomicU64,
    text_length: AtomicU32,
    /// The [`Definition`] as JSON.
    text: [AtomicU8; MOST_TEXT],
}

/// What a metric has come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// The sum of what a counter was given.
    Counter(f64),
    /// What a gauge was given last.
    Gauge(f64),
    /// What a histogram has seen.
    Histogram {
        /// How many values fell between each bound and the one before it, and behind the last one.
        buckets: Vec<u64>,
        /// Their sum.
        sum: f64,
    },
}

impl Cell {
    /// Adds to a counter. A sum that is no finite number any more stays what it was.
    pub fn add(&self, value: f64) {
        let add = |bits| {
            let sum = f64::from_bits(bits) + value;
            sum.is_finite().then(|| sum.to_bits())
        };
        // It fails only where there is nothing to be stored.
        let _ = self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Sets a gauge.
    pub fn set(&self, value: f64) {
        self.value.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Counts a value of a histogram that falls into that bucket.
    pub fn observe(&self, bucket: usize, value: f64) {
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
            self.add(value);
        }
    }

    fn define(&self, text: &[u8]) {
        for (cell, byte) in self.text.iter().zip(text) {
            cell.store(*byte, Ordering::Relaxed);
        }
        self.text_length.store(text.len() as u32, Ordering::Relaxed);
    }

    /// The metric and what it has come to; nothing where it is a gauge that was never set, or where that is not what a
    /// worker of this binary writes.
    fn read(&self) -> Option<(Definition, Reading)> {
        let text = self
            .text
            .get(..self.text_length.load(Ordering::Relaxed) as usize)?;
        let text: Vec<u8> = text.iter().map(|byte| byte.load(Ordering::Relaxed)).collect();
        let definition: Definition = serde_json::from_slice(&text).ok()?;
        definition.check().ok()?;
        let value = f64::from_bits(self.value.load(Ordering::Relaxed));
        let reading = match definition.kind {
            _ if !value.is_finite() => return None,
            Kind::Counter if value < 0.0 => return None,
            Kind::Counter => Reading::Counter(value),
            Kind::Gauge => Reading::Gauge(value),
            Kind::Histogram => Reading::Histogram {
                buckets: self
                    .buckets
                    .get(..=definition.bounds.len())?
                    .iter()
                    .map(|bucket| bucket.load(Ordering::Relaxed))
                    .collect(),
                sum: value,
            },
        };
        Some((definition, reading))
    }
}

/// The table of one worker.
pub struct Table {
    memory: Mapping<Memory>,
}

impl Table {
    /// Creates an empty one.
    pub fn create() -> io::Result<Self> {
        let memory = Mapping::create()?;
        Ok(Table { memory })
    }

    /// Maps one that another process created.
    pub fn open(descriptor: OwnedFd) -> io::Result<Self> {
        let memory = Mapping::open(descriptor)?;
        Ok(Table { memory })
    }

    /// Adds a metric, and answers with its cell. The caller is the only one who does so, one metric at a time.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn publish(&self, definition: &Definition) -> Result<&Cell, Refusal> {
        let text = serde_json::to_vec(definition).unwrap_or_default();
        if text.len() > MOST_TEXT {
            return Err(Refusal::TooLong { found: text.len() });
        }
        let published = self.memory.published.load(Ordering::Relaxed);
        let Some(cell) = self.memory.cells.get(published as usize) else {
            return Err(Refusal::Full);
        };
        cell.define(&text);
        if definition.kind == Kind::Gauge {
            cell.set(UNSET);
        }
        // Behind all that was written to the cell, for whoever loads it with `Acquire`.
        self.memory.published.store(published + 1, Ordering::Release);
        Ok(cell)
    }

    /// Every metric, and what it has come to.
    pub fn read(&self) -> impl Iterator<Item = (Definition, Reading)> {
        let published = self.memory.published.load(Ordering::Acquire) as usize;
        self.memory.cells.iter().take(published).filter_map(Cell::read)
    }
}

impl AsFd for Table {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

#[cfg(test)]
mod tests;
