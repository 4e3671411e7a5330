//! Chance that can be had again: everything random in a storm comes from one number.

use std::ops::Range;

/// A stream of numbers (SplitMix64; Steele, Lea and Flood, 2014): nothing secret hangs on it.
pub(super) struct Dice(u64);

impl Dice {
    /// The stream of a seed.
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A stream of its own for another thread, so that the threads' order of asking changes nothing.
    pub(super) fn split(&mut self) -> Dice {
        Dice(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of a range that is not empty. The small numbers asked for here make the modulo's bias irrelevant.
    pub(super) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// Whether something happens that happens `of_thousand` times in a thousand.
    pub(super) fn happens(&mut self, of_thousand: u64) -> bool {
        self.within(0..1000) < of_thousand
    }

    /// One of several by their weights.
    pub(super) fn weighted<T: Copy>(&mut self, several: &[(u64, T)]) -> T {
        let mut left = self.within(0..several.iter().map(|(weight, _)| weight).sum());
        for (weight, thing) in several {
            if left < *weight {
                return *thing;
            }
            left -= weight;
        }
        unreachable!("the number is below the sum of the weights")
    }
}

#[test]
fn the_same_seed_gives_the_same_storm_and_another_seed_another() {
    let numbers = |seed| {
        let mut dice = Dice::new(seed);
        let mut split = dice.split();
        (0..8)
            .map(|_| dice.within(0..1000) * 1000 + split.within(0..1000))
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(7), numbers(7));
    assert_ne!(numbers(7), numbers(8));
}
