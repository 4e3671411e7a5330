//! What plugins have recorded, summed up over workers.
//!
//! Counters and histograms of workers that are gone are kept, so that none of
//! them ever goes back; of gauges only that they were there, and their values
//! are those of living workers. Sums are exact ([`Sum`]): their rounded value depends neither on the order of the workers
//! nor on who of them is gone by now.
//!
//! Plugins change: one name may stand for a counter in the last generation and
//! for a gauge in this one. Then the newest worker is believed, and what has
//! another form is not shown.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{children::Id, processes::Process};
use crate::{
    ipc::metrics::{Definition, Kind, Reading, Table},
    observe::status,
};

mod sum;

use sum::Sum;

/// How many sets of labels are kept of workers that are gone.
const MOST_KEPT: usize = 4096;

/// What one metric has come to, in one worker or in several ones of a pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recorded {
    /// The newest incarnation of a worker that has recorded it.
    worker: u64,
    pool: String,
    definition: Definition,
    total: Total,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Total {
    /// Of a counter or a gauge.
    Value(Sum),
    Histogram {
        buckets: Vec<u64>,
        sum: Sum,
    },
    /// Of a gauge whose workers are gone: there is nothing to be shown, but its name stands for a gauge since.
    Gone,
}

impl Process {
    /// What its plugins have recorded so far.
    pub(super) fn recorded(&self, id: Id) -> impl Iterator<Item = Recorded> {
        let all = self.metrics.iter().flat_map(Table::read);
        all.map(move |(definition, reading)| Recorded::new(id.0, &self.pool, definition, reading))
    }
}

impl Recorded {
    fn new(worker: u64, pool: &str, definition: Definition, reading: Reading) -> Recorded {
        let total = match reading {
            Reading::Counter(value) | Reading::Gauge(value) => Total::Value(Sum::of(value)),
            Reading::Histogram { buckets, sum } => Total::Histogram {
                buckets,
                sum: Sum::of(sum),
            },
        };
        Recorded {
            worker,
            pool: pool.to_owned(),
            definition,
            total,
        }
    }

    /// What is left of it when its worker is gone.
    fn ended(self) -> Recorded {
        let total = match self.definition.kind {
            Kind::Gauge => Total::Gone,
            Kind::Counter | Kind::Histogram => self.total,
        };
        Recorded { total, ..self }
    }

    /// Whether both are the same metric of the same pool.
    fn is_like(&self, other: &Recorded) -> bool {
        let (mine, others) = (&self.definition, &other.definition);
        mine.name == others.name
            && self.pool == other.pool
            && mine.labels == others.labels
            && mine.has_form_of(others)
    }

    fn add(&mut self, other: &Recorded) {
        self.worker = self.worker.max(other.worker);
        match (&mut self.total, &other.total) {
            (Total::Value(sum), Total::Value(others)) => sum.add_all(others),
            (
                Total::Histogram { buckets, sum },
                Total::Histogram {
                    buckets: others,
                    sum: other,
                },
            ) => {
                for (bucket, count) in buckets.iter_mut().zip(others) {
                    *bucket = bucket.saturating_add(*count);
                }
                sum.add_all(other);
            }
            (gone @ Total::Gone, other) => *gone = other.clone(),
            // What is gone adds nothing, and else the total has the form of the definition, in which both agree.
            _ => {}
        }
    }
}

/// What workers that are gone have recorded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Legacy {
    all: Vec<Recorded>,
    was_full: bool,
}

impl Legacy {
    /// Keeps what workers that are gone leave.
    pub(super) fn keep(&mut self, recorded: impl IntoIterator<Item = Recorded>) {
        for recorded in recorded.into_iter().map(Recorded::ended) {
            if let Some(known) = self.all.iter_mut().find(|known| known.is_like(&recorded)) {
                known.add(&recorded);
            } else if self.all.len() < MOST_KEPT {
                self.all.push(recorded);
            } else if !self.was_full && !matches!(recorded.total, Total::Gone) {
                self.was_full = true;
                warn!(
                    metric = recorded.definition.full_name(),
                    pool = recorded.pool,
                    "metrics of workers that are gone are kept for {MOST_KEPT} sets of labels, and this is one more: it begins anew"
                );
            }
        }
    }

    /// What the status shows, with that of living workers.
    pub(super) fn shown(&self, living: &[Recorded]) -> Vec<status::Metric> {
        let mut by_name: BTreeMap<String, Vec<&Recorded>> = BTreeMap::new();
        for recorded in self.all.iter().chain(living) {
            let name = recorded.definition.full_name();
            by_name.entry(name).or_default().push(recorded);
        }
        let newest = by_name.values().filter_map(|all| newest(all));
        let names = believed(newest.collect());
        let believed = by_name.into_iter().filter(|(name, _)| names.contains(name));
        believed.filter_map(|(name, all)| metric(name, &all)).collect()
    }
}

/// The one that tells what all of that name are.
fn newest<'a>(all: &[&'a Recorded]) -> Option<&'a Recorded> {
    all.iter().copied().max_by_key(|recorded| recorded.worker)
}

/// The names of metrics whose numbers are not listed by a name of newer ones'.
fn believed(mut newest: Vec<&Recorded>) -> BTreeSet<String> {
    newest.sort_by_key(|recorded| std::cmp::Reverse(recorded.worker));
    let (mut names, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for recorded in newest {
        let listed: Vec<String> = recorded.definition.listed_as().collect();
        if listed.iter().all(|name| !taken.contains(name)) {
            taken.extend(listed);
            names.insert(recorded.definition.full_name());
        }
    }
    names
}

fn metric(name: String, all: &[&Recorded]) -> Option<status::Metric> {
    let form = &newest(all)?.definition;
    let mut series: BTreeMap<(&str, &BTreeMap<String, String>), Recorded> = BTreeMap::new();
    for recorded in all
        .iter()
        .filter(|recorded| recorded.definition.has_form_of(form))
    {
        let key = (recorded.pool.as_str(), &recorded.definition.labels);
        series
            .entry(key)
            .and_modify(|sum| sum.add(recorded))
            .or_insert_with(|| (*recorded).clone());
    }
    let series: Vec<_> = series.into_values().filter_map(shown).collect();
    (!series.is_empty()).then(|| status::Metric {
        name,
        kind: form.kind,
        help: form.help.clone(),
        plugin: form.plugin.clone(),
        series,
    })
}

fn shown(recorded: Recorded) -> Option<status::Series> {
    let numbers = match recorded.total {
        Total::Gone => return None,
        Total::Value(sum) => status::Numbers::Value { value: sum.value() },
        Total::Histogram { buckets, sum } => {
            let mut count = 0_u64;
            let mut cumulative = buckets.iter().map(|bucket| {
                count = count.saturating_add(*bucket);
                count
            });
            let bounds = recorded.definition.bounds.iter();
            let buckets: Vec<_> = bounds
                .zip(cumulative.by_ref())
                .map(|(le, count)| status::Bucket { le: *le, count })
                .collect();
            let above = cumulative.last();
            status::Numbers::Histogram {
                count: above.unwrap_or(0),
                sum: sum.value(),
                buckets,
            }
        }
    };
    Some(status::Series {
        pool: recorded.pool,
        labels: recorded.definition.labels,
        numbers,
    })
}

#[cfg(test)]
mod tests;
