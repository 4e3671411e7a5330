//! The jobs of a storm: what they ask of the `diary` plugin, and how often each kind comes.

use serde::Serialize;
use serde_json::{Value, json};

use super::dice::Dice;

/// What a job does on its first attempts. What each means: see the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Deed {
    Work,
    Panic,
    Fail,
    Retry,
    Bury,
    Abort,
    Overflow,
    Exit,
    Hang,
    Dawdle,
    Leak,
}

impl Deed {
    /// Whether it takes its worker down at once.
    pub(super) fn is_deadly(self) -> bool {
        matches!(self, Deed::Abort | Deed::Overflow | Deed::Exit)
    }
}

/// A job before it is put.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) number: u64,
    pub(super) deed: Deed,
    faults: u64,
    ms: u64,
    mib: u64,
    pub(super) at_most_once: bool,
}

/// Kinds of work: how often of a thousand, and how long it takes in milliseconds, from and to. The last two outlast
/// half of the time to run, and all of it.
const WORK: [(u64, (u64, u64)); 4] = [
    (500, (0, 1)),
    (480, (1, 30)),
    (12, (2000, 2500)),
    (8, (3200, 3600)),
];

/// How often each deed comes, of a thousand jobs.
const DEEDS: [(u64, Deed); 11] = [
    (850, Deed::Work),
    (30, Deed::Panic),
    (30, Deed::Fail),
    (40, Deed::Retry),
    (12, Deed::Bury),
    (9, Deed::Abort),
    (7, Deed::Overflow),
    (7, Deed::Exit),
    (3, Deed::Hang),
    (3, Deed::Dawdle),
    (9, Deed::Leak),
];

impl Task {
    /// The job of that number.
    pub(super) fn roll(number: u64, dice: &mut Dice) -> Task {
        let deed = dice.weighted(&DEEDS);
        let (from, to) = dice.weighted(&WORK);
        let worked = dice.within(from..to);
        let (faults, never_does_better) = (dice.within(1..3), dice.happens(200));
        let mib = dice.weighted(&[(2, 40), (1, 120)]);
        let at_most_once = dice.happens(40);
        Task {
            number,
            deed,
            faults: match deed {
                Deed::Work => 0,
                // Each attempt takes a slot away for seconds.
                Deed::Hang | Deed::Dawdle | Deed::Leak => 1,
                // Whoever asks for another try is given one for ever.
                Deed::Retry => faults,
                // It has to end buried.
                _ if never_does_better => 1000,
                _ => faults,
            },
            ms: if deed == Deed::Leak { 800 } else { worked },
            mib,
            at_most_once: at_most_once && deed == Deed::Work,
        }
    }

    /// Its body.
    pub(super) fn body(&self) -> String {
        let mut body = json!({"number": self.number, "deed": self.deed});
        let mut set = |key: &str, value: Value, is_set: bool| {
            if is_set {
                body[key] = value;
            }
        };
        set("faults", self.faults.into(), self.faults > 0);
        set("ms", self.ms.into(), self.ms > 0);
        set("mib", self.mib.into(), self.deed == Deed::Leak);
        set("noRetry", true.into(), self.at_most_once);
        body.to_string()
    }
}

/// The number in a job's body.
pub(super) fn number(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(body).ok()?["number"].as_u64()
}

#[test]
fn a_body_carries_its_number() {
    let mut dice = Dice::new(1);
    for task in (0..1000).map(|number| Task::roll(number, &mut dice)) {
        assert_eq!(number(task.body().as_bytes()), Some(task.number));
    }
}
