//! Records what its payload asks for, in metrics of every kind. For tests.

use std::{path::PathBuf, thread};

use plugin_api::{
    metrics::{Counter, Gauge, Histogram},
    prelude::*,
};

static MAILS: Counter = Counter::new("mails", "Mails \\ by form").labels(&[("form", "plain")]);
static MAILS_HTML: Counter = Counter::new("mails", "Mails \\ by form").labels(&[("form", "\"html\"")]);
static OPEN: Gauge = Gauge::new("connections_open", "");
static SECONDS: Histogram = Histogram::new("seconds", "How long it took", &[0.1, 1.0]);
/// Not called as names of metrics are.
static MISNAMED: Counter = Counter::new("no-good", "");
/// There is one of that name with other bounds.
static OTHER_BOUNDS: Histogram = Histogram::new("seconds", "How long it took", &[0.5]);

struct Tally;

/// What to record.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wishes {
    /// Added to both counters, to the second one twice.
    mails: f64,
    /// Shown by the gauge.
    open: Option<f64>,
    /// Seen by the histogram.
    seconds: Vec<f64>,
    /// Recorded in metrics that are refused.
    refused: Option<f64>,
    /// How many further counters are counted up, each of a name of its own.
    many: usize,
    /// Then it works on until there is something at that path.
    until: Option<PathBuf>,
}

impl Handler for Tally {
    type Config = ();
    type Payload = Wishes;

    fn new((): ()) -> Result<Self> {
        Ok(Tally)
    }

    fn execute(&self, _: &Job, wishes: Wishes) -> Result {
        MAILS.add(wishes.mails);
        MAILS_HTML.add(wishes.mails);
        MAILS_HTML.add(wishes.mails);
        if let Some(open) = wishes.open {
            OPEN.set(open);
        }
        for seconds in wishes.seconds {
            SECONDS.observe(seconds);
        }
        if let Some(value) = wishes.refused {
            MISNAMED.add(value);
            OTHER_BOUNDS.observe(value);
        }
        for nr in 0..wishes.many {
            // Names live for ever, as those in a `static` do.
            Counter::new(format!("one_of_many_{nr}").leak(), "").add(1.0);
        }
        while wishes.until.as_ref().is_some_and(|path| !path.exists()) {
            thread::sleep(Duration::from_millis(5));
        }
        Ok(().into())
    }
}

export_plugin!(Tally);
