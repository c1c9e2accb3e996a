//! The interval of RGI: paired percentile bootstrap over questions (Efron and Tibshirani 1993, chapter 13).

use std::collections::BTreeMap;

use idk_common::seed::{Rng, derive_seed};
use rayon::prelude::*;

use crate::judge::Verdict;

/// Draws of a bootstrap unless told otherwise.
pub const DEFAULT_DRAWS: usize = 2000;

/// What one resampled unit contributes: correct answers lost, wrong answers gone.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Unit {
    lost: u64,
    gained: u64,
}

/// The 95 % interval of RGI.
///
/// Every draw takes as many questions as there are, with replacement, each with its answers before and after. With
/// `clusters` (one name per question) whole clusters are drawn instead, for questions that share a clip. 0.5 is added
/// to both counts of a draw, so that RGI is defined in every draw; the interval is thus slightly drawn towards 0 in
/// small sets. It depends on neither the order of the questions nor the number of threads.
///
/// `None` if no answer changed in a way that counts, if there are fewer than two units, or no draws.
/// Lists of different lengths count as far as the shortest goes.
#[must_use]
pub fn rgi_interval(
    before: &[Verdict],
    after: &[Verdict],
    clusters: Option<&[String]>,
    seed: u64,
    draws: usize,
) -> Option<[f64; 2]> {
    let units = units(before, after, clusters);
    if units.len() < 2 || draws == 0 || units.iter().all(|unit| *unit == Unit::default()) {
        return None;
    }
    let mut values: Vec<f64> =
        (0..draws).into_par_iter().map(|draw| resampled_rgi(&units, seed, draw)).collect();
    values.sort_by(f64::total_cmp);
    Some([percentile(&values, 0.025), percentile(&values, 0.975)])
}

/// The units to draw from, sorted, so that the order of the questions does not matter.
fn units(before: &[Verdict], after: &[Verdict], clusters: Option<&[String]>) -> Vec<Unit> {
    let items = before.iter().zip(after).map(|(&before, &after)| Unit {
        lost: u64::from(before == Verdict::Correct && after != Verdict::Correct),
        gained: u64::from(before == Verdict::Wrong && after != Verdict::Wrong),
    });
    let mut units: Vec<Unit> = match clusters {
        None => items.collect(),
        Some(names) => {
            let mut by_name: BTreeMap<&str, Unit> = BTreeMap::new();
            for (item, name) in items.zip(names) {
                let unit = by_name.entry(name).or_default();
                unit.lost += item.lost;
                unit.gained += item.gained;
            }
            by_name.into_values().collect()
        }
    };
    units.sort_unstable();
    units
}

fn resampled_rgi(units: &[Unit], seed: u64, draw: usize) -> f64 {
    let mut rng = Rng::new(derive_seed(seed, "bootstrap", &[&draw.to_string()]));
    let mut sum = Unit::default();
    for _ in 0..units.len() {
        let unit = units[rng.below(units.len())];
        sum.lost += unit.lost;
        sum.gained += unit.gained;
    }
    ((sum.gained as f64 + 0.5) / (sum.lost as f64 + 0.5)).log10()
}

/// Linear interpolation between the two nearest of the sorted values.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Correct, Refused, Wrong};

    /// `lost` items correct -> refused, `gained` wrong -> refused, `same` unchanged.
    fn answers(lost: usize, gained: usize, same: usize) -> (Vec<Verdict>, Vec<Verdict>) {
        let before = [vec![Correct; lost], vec![Wrong; gained], vec![Correct; same]].concat();
        let after = [vec![Refused; lost + gained], vec![Correct; same]].concat();
        (before, after)
    }

    #[test]
    fn the_interval_agrees_with_the_delta_method() {
        // For a multinomial, log10(gained / lost) has the standard error sqrt(1 / gained + 1 / lost) / ln 10.
        let (before, after) = answers(80, 160, 760);
        let [lo, hi] = rgi_interval(&before, &after, None, 1, 4000).unwrap();
        let (mean, error) = (2.0_f64.log10(), (1.0 / 160.0 + 1.0 / 80.0_f64).sqrt() / 10.0_f64.ln());
        assert!((lo - (mean - 1.96 * error)).abs() < 0.01, "{lo}");
        assert!((hi - (mean + 1.96 * error)).abs() < 0.01, "{hi}");
    }

    #[test]
    fn the_interval_is_the_same_for_any_order_and_any_number_of_threads() {
        let (before, after) = answers(9, 21, 70);
        let once = rgi_interval(&before, &after, None, 5, 500);
        let mut order: Vec<usize> = (0..before.len()).collect();
        Rng::new(3).shuffle(&mut order);
        let permuted = |list: &[Verdict]| order.iter().map(|&i| list[i]).collect::<Vec<_>>();
        assert_eq!(rgi_interval(&permuted(&before), &permuted(&after), None, 5, 500), once);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| rgi_interval(&before, &after, None, 5, 500)), once);
        }
        assert_ne!(rgi_interval(&before, &after, None, 6, 500), once);
    }

    #[test]
    fn copies_of_a_clip_do_not_narrow_the_interval() {
        let (before, after) = answers(10, 25, 65);
        let width = |interval: Option<[f64; 2]>| interval.map(|[lo, hi]| hi - lo).unwrap();
        let single = width(rgi_interval(&before, &after, None, 1, 1000));
        let (before, after) = (before.repeat(4), after.repeat(4));
        let clusters: Vec<String> = (0..400).map(|i| format!("clip{}", i % 100)).collect();
        let naive = width(rgi_interval(&before, &after, None, 1, 1000));
        let clustered = width(rgi_interval(&before, &after, Some(&clusters), 1, 1000));
        assert!(naive < 0.6 * single, "{naive} {single}");
        assert!((clustered / single - 1.0).abs() < 0.15, "{clustered} {single}");
    }

    #[test]
    fn one_sided_changes_have_a_finite_interval_and_no_change_has_none() {
        let (before, after) = answers(0, 10, 90);
        let [lo, hi] = rgi_interval(&before, &after, None, 1, 500).unwrap();
        assert!(lo > 0.0 && hi.is_finite());
        let (before, after) = answers(0, 0, 90);
        assert_eq!(rgi_interval(&before, &after, None, 1, 500), None);
        assert_eq!(rgi_interval(&[], &[], None, 1, 500), None);
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentile(&[0.0, 1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
        assert!((percentile(&[0.0, 10.0], 0.025) - 0.25).abs() < 1e-12);
    }
}
