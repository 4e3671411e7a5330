//! When a change among the plugins is over, and what is to be done about it.
//!
//! Pure: it is told of changes and of what was seen, and reads neither files nor a clock.
//!
//! ```text
//!  calm ──changed──▶ unsettled ──SETTLE, look──▶ seen ──SETTLE, the same look──▶ calm, verdict
//!                      ▲ └─changed─┘               │└─SETTLE, another look─▶ seen
//!                      └───────────changed─────────┘
//! ```
//!
//! So what is acted upon was seen twice, [`SETTLE`] apart, with no change told from [`SETTLE`] before. One look is
//! enough to see that there is nothing to do.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

/// How long nothing may change before a look, and between the two looks that have to be the same.
pub(super) const SETTLE: Duration = Duration::from_millis(500);

/// The plugins at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    /// Path, size in bytes and time of the last write of each file, the lock file's included.
    pub(super) files: Vec<(PathBuf, u64, Option<SystemTime>)>,
    pub(super) content: Content,
}

/// What the plugins are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// The hashes of plugins that can be loaded, as far as that can be told without executing them.
    Whole(BTreeSet<String>),
    /// The end of a file is missing, and why it is thought to be.
    Unfinished(String),
    /// They cannot be loaded, and why.
    Refused(String),
}

impl Content {
    /// Whether the two call for the same. How much of an unfinished file is there makes no difference.
    fn is_like(&self, other: &Content) -> bool {
        matches!((self, other), (Content::Unfinished(_), Content::Unfinished(_))) || self == other
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is not over.
    Unsettled,
    /// It makes no difference.
    Same,
    /// New plugins are there.
    Reload,
    /// A file is unfinished: the operator is told once.
    Wait(String),
    /// What is there cannot be loaded: the operator is told.
    Refuse(String),
}

/// Where a change is on its way.
#[derive(Default)]
pub(super) struct Settling {
    phase: Phase,
    /// What was there when something was done about it last. The same is nothing new, whatever came of it.
    last: Option<Content>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Calm,
    Unsettled {
        look_at: Instant,
    },
    Seen {
        look: Look,
        look_at: Instant,
    },
}

impl Settling {
    /// Something has changed, or may have.
    pub(super) fn changed(&mut self, now: Instant) {
        self.phase = Phase::Unsettled {
            look_at: now + SETTLE,
        };
    }

    /// When a look is due; none while nothing changes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Calm => None,
            Phase::Unsettled { look_at } | Phase::Seen { look_at, .. } => Some(look_at),
        }
    }

    /// A generation was loaded from plugins with these hashes, by whomever.
    pub(super) fn loaded(&mut self, hashes: BTreeSet<String>) {
        self.last = Some(Content::Whole(hashes));
    }

    /// Loading did not even begin: the next change tries again, also where it brings the same.
    pub(super) fn forget(&mut self) {
        self.last = None;
    }

    /// Takes in a look that was due; `serving` are the hashes of the plugins at work.
    pub(super) fn looked(&mut self, look: Look, serving: &BTreeSet<String>, now: Instant) -> Verdict {
        let is_seen_again = matches!(&self.phase, Phase::Seen { look: before, .. } if *before == look);
        let serves = matches!(&look.content, Content::Whole(hashes) if hashes == serving);
        if is_seen_again || serves {
            self.phase = Phase::Calm;
            return self.judge(look.content, serves);
        }
        let look_at = now + SETTLE;
        self.phase = Phase::Seen { look, look_at };
        Verdict::Unsettled
    }

    fn judge(&mut self, content: Content, serves: bool) -> Verdict {
        let is_known = self.last.as_ref().is_some_and(|last| last.is_like(&content));
        self.last = Some(content.clone());
        match content {
            _ if is_known || serves => Verdict::Same,
            Content::Whole(_) => Verdict::Reload,
            Content::Unfinished(error) => Verdict::Wait(error),
            Content::Refused(error) => Verdict::Refuse(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(name: &str) -> BTreeSet<String> {
        BTreeSet::from([name.to_owned()])
    }

    fn whole(name: &str) -> Content {
        Content::Whole(hashes(name))
    }

    fn look(content: &Content) -> Look {
        Look {
            files: Vec::new(),
            content: content.clone(),
        }
    }

    /// Tells of a change and looks twice at what it brought.
    fn settle(settling: &mut Settling, content: &Content, serving: &str) -> Verdict {
        let now = Instant::now();
        settling.changed(now);
        let mut look_again = |after| settling.looked(look(content), &hashes(serving), now + after);
        let verdict = match look_again(SETTLE) {
            Verdict::Unsettled => look_again(2 * SETTLE),
            verdict => {
                assert_eq!(verdict, Verdict::Same, "one look is enough for nothing else");
                verdict
            }
        };
        assert_eq!(settling.deadline(), None, "it is over");
        verdict
    }

    #[test]
    fn what_settles_calls_for_what_it_is_and_nothing_twice() {
        let unfinished = |size: &str| Content::Unfinished(size.to_owned());
        let refused = |why: &str| Content::Refused(why.to_owned());
        // What serves, what is there, what is to be done about it.
        let steps = [
            ("a", whole("a"), Verdict::Same),
            ("a", whole("b"), Verdict::Reload),
            // The reload failed: the same is not tried again, another is.
            ("a", whole("b"), Verdict::Same),
            ("a", whole("c"), Verdict::Reload),
            ("c", whole("c"), Verdict::Same),
            ("c", unfinished("1"), Verdict::Wait("1".to_owned())),
            ("c", unfinished("2"), Verdict::Same),
            ("c", whole("c"), Verdict::Same),
            ("c", unfinished("3"), Verdict::Wait("3".to_owned())),
            ("c", refused("text"), Verdict::Refuse("text".to_owned())),
            ("c", refused("text"), Verdict::Same),
            ("c", refused("none"), Verdict::Refuse("none".to_owned())),
            // What was tried before something else was there is tried again.
            ("c", whole("b"), Verdict::Reload),
            ("c", whole("c"), Verdict::Same),
            ("c", whole("b"), Verdict::Reload),
        ];
        let mut settling = Settling::default();
        for (number, (serving, content, wanted)) in steps.into_iter().enumerate() {
            let verdict = settle(&mut settling, &content, serving);
            assert_eq!(
                verdict, wanted,
                "step {number}: {content:?} while {serving} serves"
            );
        }
    }

    #[test]
    fn what_was_loaded_by_command_is_nothing_new_even_when_an_older_one_serves_again() {
        let mut settling = Settling::default();
        settling.loaded(hashes("b"));
        assert_eq!(settle(&mut settling, &whole("b"), "a"), Verdict::Same);
        settling.forget();
        assert_eq!(settle(&mut settling, &whole("b"), "a"), Verdict::Reload);
    }

    #[test]
    fn a_file_that_was_written_again_with_the_same_content_has_not_settled() {
        let mut settling = Settling::default();
        let now = Instant::now();
        settling.changed(now);
        let written = |size| Look {
            files: vec![("/lib.so".into(), size, None)],
            content: whole("b"),
        };
        for size in [1, 2] {
            let verdict = settling.looked(written(size), &hashes("a"), now + SETTLE);
            assert_eq!(
                (verdict, settling.deadline().is_some()),
                (Verdict::Unsettled, true)
            );
        }
        let verdict = settling.looked(written(2), &hashes("a"), now + 2 * SETTLE);
        assert_eq!(verdict, Verdict::Reload);
    }

    proptest! {
        /// A writer puts contents in place with pauses of any length, each told as a change.
        #[test]
        fn the_last_content_is_loaded_once_and_nothing_that_lasted_too_short(
            writes in prop::collection::vec((0_u8..4, 0_u64..2000), 1..20),
        ) {
            let begun = Instant::now();
            let (mut settling, mut serving) = (Settling::default(), hashes("0"));
            let mut clock = Duration::ZERO;
            for (number, (content, pause)) in writes.iter().enumerate() {
                settling.changed(begun + clock);
                let is_last = number + 1 == writes.len();
                let lasts = if is_last { 10 * SETTLE } else { Duration::from_millis(*pause) };
                let mut reloads = 0;
                while let Some(due) = settling.deadline().filter(|due| *due < begun + clock + lasts) {
                    let there = whole(&content.to_string());
                    if settling.looked(look(&there), &serving, due) == Verdict::Reload {
                        prop_assert!(due >= begun + clock + 2 * SETTLE, "it has not settled");
                        prop_assert_ne!(&serving, &hashes(&content.to_string()));
                        serving = hashes(&content.to_string());
                        reloads += 1;
                    }
                }
                prop_assert!(reloads <= 1);
                if is_last {
                    prop_assert_eq!(&serving, &hashes(&content.to_string()));
                    prop_assert_eq!(settling.deadline(), None);
                }
                clock += lasts;
            }
        }
    }
}
