//! Numbers of the plugin's own that appear among those of the host.
//!
//! A metric is a `static`; the host hears of it when its first value is recorded. Recording costs about as much as an
//! atomic addition. Without a host, or with one older than plugin-abi 1.2, it does nothing.
//!
//! ```
//! use plugin_api::{metrics::{Counter, Gauge, Histogram}, prelude::*};
//!
//! static SENT: Counter = Counter::new("mails_sent", "Mails that a server has taken");
//! static SENT_HTML: Counter =
//!     Counter::new("mails_by_form", "Mails that a server has taken, by form").labels(&[("form", "html")]);
//! static OPEN: Gauge = Gauge::new("connections_open", "Connections to the mail server");
//! static SIZES: Histogram = Histogram::new("mail_bytes", "Sizes of mails", &[1e3, 1e4, 1e5, 1e6]);
//!
//! fn sent(mail: &str) {
//!     SENT.add(1.0);
//!     SENT_HTML.add(1.0);
//!     OPEN.set(1.0);
//!     SIZES.observe(mail.len() as f64);
//! }
//! # struct Mailer;
//! # impl Handler for Mailer {
//! #     type Config = ();
//! #     type Payload = String;
//! #     fn new((): ()) -> Result<Self> { Ok(Mailer) }
//! #     fn execute(&self, _: &Job, mail: String) -> Result { sent(&mail); Ok(().into()) }
//! # }
//! # use plugin_api::testing::{Harness, metric};
//! # fn main() -> Result<()> {
//! # let harness = Harness::<Mailer>::new(json!({}))?;
//! # harness.run(json!("hello"));
//! # harness.run(json!("you"));
//! # assert_eq!(metric("mails_sent", &[]), [1.0, 1.0]);
//! # assert_eq!(metric("mails_by_form", &[("form", "html")]), [1.0, 1.0]);
//! # assert_eq!(metric("mail_bytes", &[]), [5.0, 3.0]);
//! # Ok(())
//! # }
//! ```
//!
//! Names are those of Prometheus: letters, digits and `_`, no digit first. The host puts the plugin's name before them:
//! `mails_sent` of the package `my-mailer` is `my_mailer_mails_sent`. It adds the label `pool`, so labels of one's own
//! have another name (and are not called `le`). Labels are fixed in the code, so nobody can fill the host's memory with
//! the values of jobs.
//!
//! All metrics of one name are of one kind, and have the same bounds and the same names of labels. A worker keeps 128 of
//! them, each set of labels being one, with at most 32 bounds and 2 KiB of texts. What the host does not keep it says once
//! in its log, and recording it does nothing. It is silent where a handler runs outside of a worker, as in `plugin run` and
//! `call --force-sync`: there is nobody to read metrics, and they are dropped.

use std::sync::OnceLock;

use asynccall_abi::{
    abi_stable::std_types::{RSlice, RStr},
    host::{MetricDefinition, MetricKind, MetricLabel, NO_METRIC},
};

use crate::host;

/// Names and values that tell metrics of one name apart.
pub type Labels = &'static [(&'static str, &'static str)];

/// A sum that only grows.
#[derive(Debug)]
pub struct Counter(Metric);

/// A value that goes up and down. What the host shows is the sum of all workers' values.
#[derive(Debug)]
pub struct Gauge(Metric);

/// How often values lay below each of some bounds, and their sum.
#[derive(Debug)]
pub struct Histogram(Metric);

impl Counter {
    /// A counter without labels.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Counter(Metric::new(MetricKind::COUNTER, name, help, &[]))
    }

    /// With labels, which tell it apart from others of its name.
    #[must_use]
    pub const fn labels(mut self, labels: Labels) -> Self {
        self.0.labels = labels;
        self
    }

    /// Adds to it. Negative values are dropped, and so is what is no finite number.
    pub fn add(&self, value: f64) {
        self.0.record(value);
    }
}

impl Gauge {
    /// A gauge without labels.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Gauge(Metric::new(MetricKind::GAUGE, name, help, &[]))
    }

    /// With labels, which tell it apart from others of its name.
    #[must_use]
    pub const fn labels(mut self, labels: Labels) -> Self {
        self.0.labels = labels;
        self
    }

    /// Gives it another value. What is no finite number is dropped.
    pub fn set(&self, value: f64) {
        self.0.record(value);
    }
}

impl Histogram {
    /// A histogram without labels. `bounds` are the upper bounds of its buckets, ascending; beyond the last there is
    /// one more.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str, bounds: &'static [f64]) -> Self {
        Histogram(Metric::new(MetricKind::HISTOGRAM, name, help, bounds))
    }

    /// With labels, which tell it apart from others of its name.
    #[must_use]
    pub const fn labels(mut self, labels: Labels) -> Self {
        self.0.labels = labels;
        self
    }

    /// Counts one value. What is no finite number is dropped.
    pub fn observe(&self, value: f64) {
        self.0.record(value);
    }
}

/// What the three kinds have in common.
#[derive(Debug)]
struct Metric {
    kind: MetricKind,
    name: &'static str,
    help: &'static str,
    labels: Labels,
    bounds: &'static [f64],
    /// What the host calls it, once it was asked.
    known: OnceLock<u64>,
}

impl Metric {
    const fn new(kind: MetricKind, name: &'static str, help: &'static str, bounds: &'static [f64]) -> Self {
        Metric {
            kind,
            name,
            help,
            labels: &[],
            bounds,
            known: OnceLock::new(),
        }
    }

    fn record(&self, value: f64) {
        // Before the host is there, and with one that keeps no metrics, there is nothing to be remembered.
        let Some(host) = host::connection() else { return };
        let Some(record) = host.api.record() else { return };
        let metric = *self.known.get_or_init(|| self.make_known(host));
        if metric != NO_METRIC {
            record(metric, value);
        }
    }

    fn make_known(&self, host: host::Connection) -> u64 {
        let Some(metric) = host.api.metric() else {
            return NO_METRIC;
        };
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|&(name, value)| MetricLabel {
                name: RStr::from_str(name),
                value: RStr::from_str(value),
            })
            .collect();
        metric(&MetricDefinition {
            kind: self.kind,
            plugin: RStr::from_str(host.plugin),
            name: RStr::from_str(self.name),
            help: RStr::from_str(self.help),
            labels: RSlice::from_slice(&labels),
            bounds: RSlice::from_slice(self.bounds),
        })
    }
}
