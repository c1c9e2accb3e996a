//! A share of answers with its interval.

use serde::{Deserialize, Serialize};

use crate::metrics::counts::share;

/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// How many of a number of answers have a property.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proportion {
    /// Those that have it.
    pub count: usize,
    /// All of them.
    pub of: usize,
    /// The share, in percent; `None` of no answers.
    pub percent: Option<f64>,
    /// Its 95 % interval, in percent ([`wilson_interval`]).
    pub ci95: Option<[f64; 2]>,
}

impl Proportion {
    /// `count` of `of`.
    #[must_use]
    pub fn new(count: usize, of: usize) -> Self {
        let percent = |share: f64| 100.0 * share;
        let ci95 = wilson_interval(count, of).map(|bounds| bounds.map(percent));
        Self { count, of, percent: share(count, of).map(percent), ci95 }
    }
}

/// The 95 % score interval of a share, in `[0, 1]` (Wilson 1927): the shares from which `count` of `of` does not differ
/// significantly. It takes the answers as independent. `None` of no answers.
#[must_use]
pub fn wilson_interval(count: usize, of: usize) -> Option<[f64; 2]> {
    let (p, n) = (share(count, of)?, of as f64);
    let z2 = Z * Z;
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    // Rounding may miss the ends by a bit.
    let low = if count == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if count >= of { 1.0 } else { (middle + half).min(1.0) };
    Some([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_intervals_are_those_of_the_literature() {
        // Newcombe 1998, table I (Statistics in Medicine 17, 857-872), method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
        for (count, of, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let [found_low, found_high] = wilson_interval(count, of).unwrap();
            assert!((found_low - low).abs() < 5e-5 && (found_high - high).abs() < 5e-5, "{count} of {of}");
        }
        assert_eq!(wilson_interval(0, 0), None);
    }

    #[test]
    fn an_interval_ends_where_the_share_is_1_96_standard_errors_away() {
        for of in 1..40_usize {
            for count in 0..=of {
                let [low, high] = wilson_interval(count, of).unwrap();
                let share = count as f64 / of as f64;
                assert!(0.0 <= low && low <= share && share <= high && high <= 1.0);
                for bound in [low, high].into_iter().filter(|bound| *bound > 0.0 && *bound < 1.0) {
                    let error = (bound * (1.0 - bound) / of as f64).sqrt();
                    assert!(((share - bound).abs() / error - 1.959_964).abs() < 1e-5, "{count} of {of}");
                }
                let [other_low, other_high] = wilson_interval(of - count, of).unwrap();
                assert!((other_low + high - 1.0).abs() < 1e-12 && (other_high + low - 1.0).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_proportion_is_in_percent_and_of_nothing_it_is_none() {
        let half = Proportion::new(1, 2);
        assert_eq!((half.count, half.of, half.percent), (1, 2, Some(50.0)));
        assert!(half.ci95.unwrap()[0] < 50.0);
        assert_eq!(Proportion::new(0, 0), Proportion::default());
    }
}
