//! What plugins have recorded, as the status has it.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter, Write},
};

use serde::{Deserialize, Serialize};

use crate::ipc::metrics::Kind;

/// One metric, for all pools and sets of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name among those of all plugins, such as `my_mailer_mails_sent`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: Kind,
    /// What it is, in one line; may be empty.
    pub help: String,
    /// The package name of its plugin.
    pub plugin: String,
    /// Its numbers.
    pub series: Vec<Series>,
}

/// What a metric has come to in one pool, with one set of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The pool.
    pub pool: String,
    /// The labels that the plugin gives it.
    pub labels: BTreeMap<String, String>,
    /// Its numbers.
    #[serde(flatten)]
    pub numbers: Numbers,
}

/// The numbers of a [`Series`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Numbers {
    /// Of a histogram.
    Histogram {
        /// How many values it has seen.
        count: u64,
        /// Their sum.
        sum: f64,
        /// By bound, ascending.
        buckets: Vec<Bucket>,
    },
    /// Of a counter or a gauge.
    Value {
        /// What it has come to.
        value: f64,
    },
}

/// How many values of a histogram were not above a bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// The bound.
    pub le: f64,
    /// How many.
    pub count: u64,
}

/// The form for people: a line for each series.
impl Display for Metric {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for series in &self.series {
            write!(f, "metric {}", self.name)?;
            write_labels(f, series.labels())?;
            match &series.numbers {
                Numbers::Value { value } => writeln!(f, " {value}")?,
                Numbers::Histogram { count, sum, .. } => writeln!(f, " count {count} sum {sum}")?,
            }
        }
        Ok(())
    }
}

impl Series {
    /// All labels, the pool's first.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        std::iter::once(("pool", self.pool.as_str())).chain(own)
    }
}

/// Writes `{name="value",…}`, and nothing where there are no labels.
pub(super) fn write_labels<'a>(
    out: &mut impl Write,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) -> fmt::Result {
    let mut before = '{';
    for (name, value) in labels {
        write!(out, "{before}{name}=\"")?;
        for character in value.chars() {
            match character {
                '\\' => out.write_str("\\\\")?,
                '"' => out.write_str("\\\"")?,
                '\n' => out.write_str("\\n")?,
                other => out.write_char(other)?,
            }
        }
        out.write_char('"')?;
        before = ',';
    }
    match before {
        '{' => Ok(()),
        _ => out.write_char('}'),
    }
}
