//! The status as a page for Prometheus: the host's own numbers and those of its plugins. Pure.
//!
//! Text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>), which node_exporter's textfile
//! collector takes too. Every line ends with a line feed.

use std::fmt::{Display, Write};

use super::{
    metrics::{Metric, Numbers, write_labels},
    status::{Pool, Status, Worker},
};
use crate::ipc::metrics::Kind;

/// States of a worker, as [`Worker::state`] has them.
const WORKER_STATES: [&str; 3] = ["starting", "ready", "quiet"];
/// States of a slot, as [`super::status::Slot::state`] has them.
const SLOT_STATES: [&str; 6] = ["free", "away", "idle", "running", "settling", "paused"];

/// The whole page.
pub fn exposition(status: &Status) -> String {
    let mut page = Page::default();
    page.daemon(status);
    page.pools(&status.pools);
    for metric in &status.metrics {
        page.metric(metric);
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn daemon(&mut self, status: &Status) {
        let name = "asynccall_host_info";
        self.family(name, Kind::Gauge, "The daemon's version; always 1.");
        self.sample(name, [("version", status.version.as_str())], 1);
        let name = "asynccall_host_uptime_seconds";
        self.family(name, Kind::Gauge, "Seconds since the daemon was started.");
        self.sample(name, [], status.uptime_s);
        let name = "asynccall_host_generation";
        self.family(
            name,
            Kind::Gauge,
            "The generation that serves; 0 before there is one.",
        );
        self.sample(name, [], status.generation);
        let name = "asynccall_host_jobs_settled_total";
        self.family(name, Kind::Counter, "Jobs settled since the daemon was started.");
        let totals = &status.totals;
        for (settlement, count) in [
            ("delete", totals.done),
            ("release", totals.released),
            ("bury", totals.buried),
        ] {
            self.sample(name, [("settlement", settlement)], count);
        }
        let name = "asynccall_host_jobs_failed_total";
        self.family(
            name,
            Kind::Counter,
            "Jobs whose handler failed, panicked or ran too long.",
        );
        self.sample(name, [], totals.failed);
        let name = "asynccall_host_jobs_crashed_total";
        self.family(name, Kind::Counter, "Jobs whose worker died.");
        self.sample(name, [], totals.crashed);
    }

    fn pools(&mut self, pools: &[Pool]) {
        let name = "asynccall_host_workers";
        self.family(name, Kind::Gauge, "Worker processes, by state.");
        for pool in pools {
            for state in WORKER_STATES {
                let workers = pool.workers.iter().filter(|worker| worker.state == state);
                self.sample(
                    name,
                    [("pool", pool.name.as_str()), ("state", state)],
                    workers.count(),
                );
            }
        }
        let name = "asynccall_host_workers_waiting";
        self.family(
            name,
            Kind::Gauge,
            "Workers that died and are not started again yet.",
        );
        for pool in pools {
            self.sample(name, [("pool", pool.name.as_str())], pool.waiting.len());
        }
        let name = "asynccall_host_slots";
        self.family(name, Kind::Gauge, "Slots of workers, by what they do.");
        for pool in pools {
            let slots = |worker: &'_ Worker, state| {
                let slots = worker.slots.iter().filter(|slot| slot.state == state);
                slots.count()
            };
            for state in SLOT_STATES {
                let count: usize = pool.workers.iter().map(|worker| slots(worker, state)).sum();
                self.sample(name, [("pool", pool.name.as_str()), ("state", state)], count);
            }
        }
        let name = "asynccall_host_breaker_open";
        self.family(
            name,
            Kind::Gauge,
            "1 while the pool's tubes rest or a job is tried.",
        );
        for pool in pools {
            if let Some(breaker) = &pool.breaker {
                let open = u8::from(breaker.state != "closed");
                self.sample(name, [("pool", pool.name.as_str())], open);
            }
        }
    }

    fn metric(&mut self, metric: &Metric) {
        let name = metric.name.as_str();
        self.family(name, metric.kind, &metric.help);
        for series in &metric.series {
            match &series.numbers {
                Numbers::Value { value } => self.sample(name, series.labels(), value),
                Numbers::Histogram { count, sum, buckets } => {
                    let bucket = format!("{name}_bucket");
                    let finite = buckets.iter().map(|bucket| (bucket.le.to_string(), bucket.count));
                    for (le, count) in finite.chain([("+Inf".to_owned(), *count)]) {
                        self.sample(&bucket, series.labels().chain([("le", le.as_str())]), count);
                    }
                    self.sample(&format!("{name}_sum"), series.labels(), sum);
                    self.sample(&format!("{name}_count"), series.labels(), count);
                }
            }
        }
    }

    /// What stands above the samples of a name.
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        if !help.is_empty() {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            self.line(format_args!("# HELP {name} {help}"));
        }
        self.line(format_args!("# TYPE {name} {}", kind.word()));
    }

    fn sample<'a>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: impl Display,
    ) {
        self.text.push_str(name);
        // Writing to a text cannot fail.
        let _ = write_labels(&mut self.text, labels.into_iter());
        self.line(format_args!(" {value}"));
    }

    fn line(&mut self, text: impl Display) {
        // As above.
        let _ = writeln!(self.text, "{text}");
    }
}

#[cfg(test)]
mod tests;
