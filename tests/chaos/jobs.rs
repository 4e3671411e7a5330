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

/// What most jobs do, by weight.
const PLAIN: [(u64, Deed); 5] = [
    (890, Deed::Work),
    (30, Deed::Panic),
    (30, Deed::Fail),
    (40, Deed::Retry),
    (10, Deed::Bury),
];

/// What a job does that takes a worker, or a slot for seconds, by weight. `Work` is here for the time that it takes.
const ROUGH: [(u64, Deed); 7] = [
    (50, Deed::Work),
    (12, Deed::Abort),
    (8, Deed::Overflow),
    (8, Deed::Exit),
    (5, Deed::Hang),
    (5, Deed::Dawdle),
    (12, Deed::Leak),
];

/// How long work takes in milliseconds, from and to, by weight.
const PLAIN_WORK: [(u64, (u64, u64)); 2] = [(1, (0, 1)), (1, (1, 30))];
/// Longer than half of the time to run, and longer than all of it.
const ROUGH_WORK: [(u64, (u64, u64)); 2] = [(3, (2000, 2500)), (2, (3200, 3600))];

impl Task {
    /// The job of that number. Of a million jobs, `rough` are such as take a worker, or a slot for seconds.
    pub(super) fn roll(number: u64, rough: u64, dice: &mut Dice) -> Task {
        let is_rough = dice.within(0..1_000_000) < rough;
        let (deed, (from, to)) = match is_rough {
            true => (dice.weighted(&ROUGH), dice.weighted(&ROUGH_WORK)),
            false => (dice.weighted(&PLAIN), dice.weighted(&PLAIN_WORK)),
        };
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
            ms: match (deed, is_rough) {
                (Deed::Leak, _) => 800,
                // What misbehaves at first works for a moment at last.
                (Deed::Work, _) | (_, false) => worked,
                (_, true) => 1,
            },
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
    for task in (0..1000).map(|number| Task::roll(number, 500_000, &mut dice)) {
        assert_eq!(number(task.body().as_bytes()), Some(task.number));
    }
}
