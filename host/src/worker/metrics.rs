//! The metrics that plugins have made known in this process, and where their values go.
//!
//! Making one known takes a lock; recording a value takes none, allocates nothing and tells nobody: the value goes
//! into the worker's [`Table`], which the master reads.

use std::{
    collections::BTreeSet,
    sync::{Mutex, OnceLock, PoisonError},
};

use asynccall_abi::host::{MetricDefinition, NO_METRIC};
use tracing::warn;

use crate::ipc::metrics::{Cell, Definition, Kind, MOST_BOUNDS, MOST_METRICS, MOST_TEXT, Refusal, Table};

/// How many metrics are refused by name. Whoever asks for more has been told often enough.
const MOST_TOLD: usize = 64;
/// How much of a name is logged, in characters.
const LOGGED_NAME: usize = 100;

/// The one of this process, where there is a master to read it.
static BOOK: OnceLock<Book> = OnceLock::new();

/// Has what plugins record kept in that table, for the life of the process.
pub(super) fn keep(table: &'static Table) {
    BOOK.get_or_init(|| Book::new(table));
}

/// Makes a metric known. The answer is its number, or [`NO_METRIC`].
pub(super) fn make_known(wished: &MetricDefinition<'_>) -> u64 {
    BOOK.get().map_or(NO_METRIC, |book| book.make_known(wished))
}

/// Records a value of the metric of that number.
pub(super) fn record(number: u64, value: f64) {
    if let Some(book) = BOOK.get() {
        book.record(number, value);
    }
}

/// What the process knows of its metrics.
struct Book {
    table: &'static Table,
    /// By number, from 1 on. Each is written once.
    entries: [OnceLock<Entry>; MOST_METRICS],
    known: Mutex<Known>,
}

/// All that recording needs.
struct Entry {
    kind: Kind,
    bounds: Vec<f64>,
    cell: &'static Cell,
}

#[derive(Default)]
struct Known {
    /// In the order of their numbers.
    definitions: Vec<Definition>,
    /// Those that were refused, by what is logged of them.
    told: BTreeSet<String>,
    is_full: bool,
}

impl Book {
    fn new(table: &'static Table) -> Book {
        Book {
            table,
            entries: [const { OnceLock::new() }; MOST_METRICS],
            known: Mutex::default(),
        }
    }

    fn make_known(&self, wished: &MetricDefinition<'_>) -> u64 {
        let refusal = match definition(wished).and_then(|definition| self.add(definition)) {
            Ok(number) => return number,
            Err(refusal) => refusal,
        };
        let shortened = |text: &str| text.chars().take(LOGGED_NAME).collect::<String>();
        let (plugin, metric) = (shortened(wished.plugin.as_str()), shortened(wished.name.as_str()));
        if self.is_news(&plugin, &metric, &refusal) {
            warn!(plugin, metric, error = %refusal, "metric refused");
        }
        NO_METRIC
    }

    /// Whether a refusal was not told yet.
    fn is_news(&self, plugin: &str, metric: &str, refusal: &Refusal) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if *refusal == Refusal::Full {
            return !std::mem::replace(&mut known.is_full, true);
        }
        known.told.len() < MOST_TOLD && known.told.insert(format!("{plugin} {metric} {refusal}"))
    }

    fn add(&self, definition: Definition) -> Result<u64, Refusal> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, other) in known.definitions.iter().enumerate() {
            definition.agree(other)?;
            if definition.full_name() == other.full_name() && definition.labels == other.labels {
                return Ok(index as u64 + 1);
            }
        }
        let cell = self.table.publish(&definition)?;
        let index = known.definitions.len();
        let entry = self.entries.get(index).ok_or(Refusal::Full)?;
        entry.get_or_init(|| Entry {
            kind: definition.kind,
            bounds: definition.bounds.clone(),
            cell,
        });
        known.definitions.push(definition);
        Ok(index as u64 + 1)
    }

    fn record(&self, number: u64, value: f64) {
        let index = number.checked_sub(1).map(|index| index as usize);
        let entry = index.and_then(|index| self.entries.get(index));
        let Some(entry) = entry.and_then(OnceLock::get) else {
            return;
        };
        if !value.is_finite() {
            return;
        }
        match entry.kind {
            Kind::Counter if value < 0.0 => {}
            Kind::Counter => entry.cell.add(value),
            Kind::Gauge => entry.cell.set(value),
            Kind::Histogram => {
                let bucket = entry.bounds.partition_point(|bound| *bound < value);
                entry.cell.observe(bucket, value);
            }
        }
    }
}

/// What a plugin wishes, checked and as texts of our own.
fn definition(wished: &MetricDefinition<'_>) -> Result<Definition, Refusal> {
    let labels = wished.labels.as_slice();
    let label_bytes = labels.iter().map(|label| label.name.len() + label.value.len());
    let texts = wished.plugin.len() + wished.name.len() + wished.help.len() + label_bytes.sum::<usize>();
    if texts > MOST_TEXT {
        return Err(Refusal::TooLong { found: texts });
    }
    if wished.bounds.len() > MOST_BOUNDS {
        return Err(Refusal::TooManyBounds {
            found: wished.bounds.len(),
        });
    }
    let mut definition = Definition {
        kind: Kind::of_abi(wished.kind)?,
        plugin: wished.plugin.as_str().to_owned(),
        name: wished.name.as_str().to_owned(),
        help: wished.help.as_str().to_owned(),
        labels: Default::default(),
        bounds: wished.bounds.to_vec(),
    };
    for label in labels {
        let name = label.name.as_str().to_owned();
        let value = label.value.as_str().to_owned();
        if definition.labels.insert(name, value).is_some() {
            return Err(Refusal::LabelTwice {
                found: label.name.as_str().to_owned(),
            });
        }
    }
    definition.check()?;
    Ok(definition)
}

#[cfg(test)]
mod tests;
