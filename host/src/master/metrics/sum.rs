//! A sum of floats that loses nothing: the order of what is added does not matter.
//!
//! A plain sum of the same numbers in another order may be a bit smaller, and a
//! counter that is a bit smaller than before looks as if it had begun anew.
//! Shewchuk's method (Adaptive Precision Floating-Point Arithmetic, 1997): the
//! sum is kept as floats that do not overlap, and rounded when it is asked for.

use serde::{Deserialize, Serialize};

/// An exact sum of finite numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sum {
    /// From the smallest to the largest. No two of them have digits in the same place.
    parts: Vec<f64>,
}

impl Sum {
    /// The sum of one number.
    pub(super) fn of(value: f64) -> Sum {
        let mut sum = Sum::default();
        sum.add(value);
        sum
    }

    /// Adds a number. What would lead beyond the largest float is left out.
    pub(super) fn add(&mut self, value: f64) {
        let mut parts = Vec::with_capacity(self.parts.len() + 1);
        let mut carried = value;
        for part in &self.parts {
            let (large, small) = match carried.abs() < part.abs() {
                true => (*part, carried),
                false => (carried, *part),
            };
            carried = large + small;
            let lost = small - (carried - large);
            if lost != 0.0 {
                parts.push(lost);
            }
        }
        if carried.is_finite() {
            parts.push(carried);
            self.parts = parts;
        }
    }

    /// Adds another sum.
    pub(super) fn add_all(&mut self, other: &Sum) {
        other.parts.iter().for_each(|part| self.add(*part));
    }

    /// The float that is nearest to it.
    pub(super) fn value(&self) -> f64 {
        let mut parts = self.parts.iter().rev().copied();
        let mut value = parts.next().unwrap_or(0.0);
        for part in parts.by_ref() {
            let larger = value;
            value = larger + part;
            let lost = part - (value - larger);
            if lost == 0.0 {
                continue;
            }
            // Where what was lost is exactly half of the last digit, the parts that follow tell where it belongs.
            let next = parts.next().unwrap_or(0.0);
            let rounded = value + lost * 2.0;
            if lost * next > 0.0 && rounded - value == lost * 2.0 {
                value = rounded;
            }
            break;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum.value()
    }

    #[test]
    fn what_a_plain_sum_loses_is_not_lost() {
        for (values, expected) in [
            (vec![], 0.0),
            (vec![0.1, 0.2, 0.3], 0.6),
            (vec![0.3, 0.2, 0.1], 0.6),
            (vec![1e16, 1.0, 1.0], 1e16 + 2.0),
            (vec![1e300, 1.0, -1e300], 1.0),
            // Half of the last digit, and a bit more or less than that.
            (vec![1.0, 2_f64.powi(-53), 2_f64.powi(-110)], 1.0 + f64::EPSILON),
            (vec![1.0, 2_f64.powi(-53), -(2_f64.powi(-110))], 1.0),
            (vec![1.0, 2_f64.powi(-53)], 1.0),
        ] {
            assert_eq!(sum(&values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_sum_stays_finite() {
        assert_eq!(sum(&[f64::MAX, f64::MAX, 1.0]), f64::MAX);
    }

    fn amounts() -> impl Strategy<Value = Vec<f64>> {
        let amount = (0.0..1.0_f64, -60..60_i32).prop_map(|(digits, places)| digits * 2_f64.powi(places));
        prop::collection::vec(amount, 1..30)
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter((values, shuffled) in amounts().prop_flat_map(|values| {
            (Just(values.clone()), Just(values).prop_shuffle())
        })) {
            prop_assert_eq!(sum(&values).to_bits(), sum(&shuffled).to_bits());
        }

        #[test]
        fn adding_what_is_not_negative_never_makes_it_smaller(values in amounts()) {
            for count in 1..values.len() {
                prop_assert!(sum(&values[..count]) <= sum(&values[..=count]));
            }
        }

        #[test]
        fn parts_that_were_added_up_apart_come_to_the_same(values in amounts(), at in 0..30_usize) {
            let (first, second) = values.split_at(at.min(values.len()));
            let mut sums = Sum::default();
            for part in [second, first] {
                let mut sum = Sum::default();
                part.iter().for_each(|value| sum.add(*value));
                sums.add_all(&sum);
            }
            prop_assert_eq!(sums.value().to_bits(), sum(&values).to_bits());
        }

        #[test]
        fn a_sum_survives_being_handed_over(values in amounts()) {
            let mut sum = Sum::default();
            values.iter().for_each(|value| sum.add(*value));
            let text = serde_json::to_string(&sum).expect("it is finite");
            prop_assert_eq!(serde_json::from_str::<Sum>(&text).expect("a sum"), sum);
        }
    }
}
