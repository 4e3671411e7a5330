//! What a metric is, and which definitions there cannot be. Pure.
//!
//! The same is asked twice: when a plugin makes a metric known, and when the
//! master reads what a worker has written down.

use std::collections::BTreeMap;

use asynccall_abi::host::MetricKind;
use serde::{Deserialize, Serialize};

use super::{MOST_METRICS, MOST_TEXT};

/// How many bounds a histogram may have.
pub const MOST_BOUNDS: usize = 32;

/// What names of the host's own metrics begin with.
const HOST_PREFIX: &str = "asynccall_host_";

/// Labels that the host gives: where a metric comes from, and the bound of a bucket.
const HOST_LABELS: [&str; 2] = ["pool", "le"];

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// How values spread over buckets.
    Histogram,
}

impl Kind {
    /// What plugins call by that number.
    ///
    /// # Errors
    /// There is none of that number.
    pub fn of_abi(kind: MetricKind) -> Result<Kind, Refusal> {
        match kind {
            MetricKind::COUNTER => Ok(Kind::Counter),
            MetricKind::GAUGE => Ok(Kind::Gauge),
            MetricKind::HISTOGRAM => Ok(Kind::Histogram),
            MetricKind(found) => Err(Refusal::UnknownKind { found }),
        }
    }

    /// As people and Prometheus write it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }

    /// What is put behind the name of a metric of this kind where its numbers are listed.
    fn suffixes(self) -> &'static [&'static str] {
        match self {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Histogram => &["", "_bucket", "_sum", "_count"],
        }
    }
}

/// A metric, as a plugin defines it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// What it counts.
    pub kind: Kind,
    /// The package name of its plugin.
    pub plugin: String,
    /// Its name within the plugin.
    pub name: String,
    /// What it is, in one line.
    pub help: String,
    /// What tells it apart from others of its name.
    pub labels: BTreeMap<String, String>,
    /// Upper bounds of a histogram's buckets, finite and ascending.
    pub bounds: Vec<f64>,
}

/// Why a metric is not kept.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Its kind has no meaning here.
    #[error("its kind {found} is none of 0 (counter), 1 (gauge) and 2 (histogram)")]
    UnknownKind {
        /// What was found.
        found: u8,
    },
    /// It cannot be called so.
    #[error("`{found}` is no name of a metric\n  hint: letters, digits and `_`, no digit first")]
    Name {
        /// What was found.
        found: String,
    },
    /// It would stand among the host's own.
    #[error("names with `{HOST_PREFIX}` are the host's own")]
    HostName,
    /// A label cannot be called so.
    #[error("`{found}` is no name of a label\n  hint: letters, digits and `_`, no digit and no `__` first")]
    LabelName {
        /// What was found.
        found: String,
    },
    /// The host gives this label.
    #[error("the label `{found}` is the host's own")]
    HostLabel {
        /// What was found.
        found: String,
    },
    /// A label stands there twice.
    #[error("the label `{found}` is there twice")]
    LabelTwice {
        /// What was found.
        found: String,
    },
    /// A text would not stay in its line.
    #[error("{place} has control characters: {found:?}")]
    ControlCharacter {
        /// Where they are.
        place: &'static str,
        /// The text.
        found: String,
    },
    /// Buckets are for histograms.
    #[error("a {} has no bounds, this one has {found}", kind.word())]
    BoundsOf {
        /// What it counts.
        kind: Kind,
        /// How many there are.
        found: usize,
    },
    /// Too many buckets.
    #[error("it has {found} bounds, at most {MOST_BOUNDS} are kept")]
    TooManyBounds {
        /// How many there are.
        found: usize,
    },
    /// Buckets that overlap, or have no end.
    #[error("its bounds are not finite and ascending: {found:?}")]
    Bounds {
        /// What was found.
        found: Vec<f64>,
    },
    /// It has more texts than there is room for.
    #[error("its plugin, name, help, labels and bounds have {found} bytes, at most {MOST_TEXT} are kept")]
    TooLong {
        /// How many bytes.
        found: usize,
    },
    /// There is no room for a further one.
    #[error(
        "a worker keeps {MOST_METRICS} metrics, and there are as many; further ones are refused silently"
    )]
    Full,
    /// One of that name is something else.
    #[error("there is one of that name {known}, this one is {found}")]
    OtherForm {
        /// What the other one is.
        known: String,
        /// What this one is.
        found: String,
    },
    /// Its numbers would be listed by a name of another's.
    #[error("its numbers would be called as those of `{other}` are")]
    Clash {
        /// The other one.
        other: String,
    },
}

impl Definition {
    /// The name among those of all plugins.
    pub fn full_name(&self) -> String {
        format!("{}_{}", self.plugin.replace('-', "_"), self.name)
    }

    /// Finds what is wrong with it alone.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<(), Refusal> {
        let found = &self.name;
        if !is_name(found) || !is_name(&self.full_name()) {
            return Err(Refusal::Name {
                found: if is_name(found) {
                    self.full_name()
                } else {
                    found.clone()
                },
            });
        }
        if self.listed_as().any(|name| name.starts_with(HOST_PREFIX)) {
            return Err(Refusal::HostName);
        }
        in_one_line("its help", &self.help)?;
        for (name, value) in &self.labels {
            if !is_name(name) || name.starts_with("__") {
                return Err(Refusal::LabelName { found: name.clone() });
            }
            if HOST_LABELS.contains(&name.as_str()) {
                return Err(Refusal::HostLabel { found: name.clone() });
            }
            in_one_line("the value of a label", value)?;
        }
        self.check_bounds()
    }

    fn check_bounds(&self) -> Result<(), Refusal> {
        let found = self.bounds.len();
        if self.kind != Kind::Histogram && found > 0 {
            return Err(Refusal::BoundsOf {
                kind: self.kind,
                found,
            });
        }
        if found > MOST_BOUNDS {
            return Err(Refusal::TooManyBounds { found });
        }
        let finite = self.bounds.iter().all(|bound| bound.is_finite());
        let ascending = self.bounds.is_sorted_by(|lower, upper| lower < upper);
        match finite && ascending {
            true => Ok(()),
            false => Err(Refusal::Bounds {
                found: self.bounds.clone(),
            }),
        }
    }

    /// The names that its numbers are listed by, its own among them.
    pub fn listed_as(&self) -> impl Iterator<Item = String> {
        let name = self.full_name();
        let suffixes = self.kind.suffixes().iter();
        suffixes.map(move |suffix| format!("{name}{suffix}"))
    }

    /// Finds out whether it can stand beside another one.
    ///
    /// # Errors
    /// It has the other's name, or that of one of its numbers, and is something else.
    pub fn agree(&self, other: &Definition) -> Result<(), Refusal> {
        if self.full_name() != other.full_name() {
            let others: Vec<String> = other.listed_as().collect();
            return match self.listed_as().any(|name| others.contains(&name)) {
                true => Err(Refusal::Clash {
                    other: other.full_name(),
                }),
                false => Ok(()),
            };
        }
        match self.has_form_of(other) {
            true => Ok(()),
            false => Err(Refusal::OtherForm {
                known: other.form(),
                found: self.form(),
            }),
        }
    }

    /// Whether the two are sets of labels of one metric.
    pub fn has_form_of(&self, other: &Definition) -> bool {
        self.kind == other.kind
            && self.plugin == other.plugin
            && self.bounds == other.bounds
            && self.labels.keys().eq(other.labels.keys())
    }

    /// Everything that all metrics of one name have in common, for people.
    fn form(&self) -> String {
        let labels: Vec<&str> = self.labels.keys().map(String::as_str).collect();
        let mut form = format!("a {} of `{}`", self.kind.word(), self.plugin);
        if !labels.is_empty() {
            form += &format!(" with the labels `{}`", labels.join("`, `"));
        }
        if self.kind == Kind::Histogram {
            form += &format!(" with the bounds {:?}", self.bounds);
        }
        form
    }
}

/// The grammar of Prometheus (<https://prometheus.io/docs/concepts/data_model/>) without the colon, which is for rules.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    bytes.next().is_some_and(is_letter) && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

fn in_one_line(place: &'static str, text: &str) -> Result<(), Refusal> {
    match text.contains(char::is_control) {
        true => Err(Refusal::ControlCharacter {
            place,
            found: text.to_owned(),
        }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
