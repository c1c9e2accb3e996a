//! The intervals of RGI and F1: percentile bootstrap over questions (Efron and Tibshirani 1993, chapter 13).

use idk_common::seed::{Rng, derive_seed};
use rayon::prelude::*;

use super::clusters::Clusters;
use crate::judge::Verdict;

/// Draws of a bootstrap unless told otherwise.
pub const DEFAULT_DRAWS: usize = 2000;

/// The 95 % interval of RGI.
///
/// Every draw takes as many questions as there are, with replacement, each with its answers before and after. With
/// `clusters` whole clusters are drawn instead, for questions that share a clip. 0.5 is added
/// to both counts of a draw, so that RGI is defined in every draw; the interval is thus slightly drawn towards 0 in
/// small sets. It depends on neither the order of the questions nor the number of threads.
///
/// `None` if no answer changed in a way that counts, if there are fewer than two units, or no draws.
/// Lists of different lengths count as far as the shortest goes.
#[must_use]
pub fn rgi_interval(
    before: &[Verdict],
    after: &[Verdict],
    clusters: Option<&Clusters>,
    seed: u64,
    draws: usize,
) -> Option<[f64; 2]> {
    // What a question contributes: a correct answer lost, a wrong answer gone.
    let items = before.iter().zip(after).map(|(&before, &after)| {
        let lost = before == Verdict::Correct && after != Verdict::Correct;
        let gained = before == Verdict::Wrong && after != Verdict::Wrong;
        [u64::from(lost), u64::from(gained)]
    });
    let units = units(items, clusters);
    if units.iter().all(|unit| *unit == [0, 0]) {
        return None;
    }
    let rgi = |[lost, gained]: [u64; 2]| Some(((gained as f64 + 0.5) / (lost as f64 + 0.5)).log10());
    interval(&units, seed, draws, rgi)
}

/// The units to draw from, questions or clusters, each with the sum of what its questions contribute; sorted, so that the
/// order of the questions does not matter.
pub(super) fn units<const K: usize>(
    items: impl Iterator<Item = [u64; K]>,
    clusters: Option<&Clusters>,
) -> Vec<[u64; K]> {
    let mut units: Vec<[u64; K]> = match clusters {
        None => items.collect(),
        Some(clusters) => clusters.sums(items),
    };
    units.sort_unstable();
    units
}

fn add<const K: usize>(sum: &mut [u64; K], unit: &[u64; K]) {
    sum.iter_mut().zip(unit).for_each(|(sum, part)| *sum += part);
}

/// The 95 % percentile interval of a statistic of the sums of the units. Draws in which it is not defined do not count.
///
/// `None` with fewer than two units, without draws, and where no draw defines the statistic.
pub(super) fn interval<const K: usize>(
    units: &[[u64; K]],
    seed: u64,
    draws: usize,
    statistic: impl Fn([u64; K]) -> Option<f64> + Sync,
) -> Option<[f64; 2]> {
    if units.len() < 2 {
        return None;
    }
    let levels = Levels::of(units);
    let drawn = (0..draws.div_ceil(2)).into_par_iter().flat_map_iter(|pair| {
        let first = 2 * pair;
        let sums = match &levels {
            Some(levels) => {
                let value = |unit: usize| &levels.values[usize::from(levels.of_unit[unit])];
                resampled(units.len(), value, seed, [first, first + 1])
            }
            None => resampled(units.len(), |unit| &units[unit], seed, [first, first + 1]),
        };
        sums.into_iter().take(draws - first).map(&statistic)
    });
    let mut values: Vec<f64> = drawn.flatten().collect();
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| [percentile(&values, 0.025), percentile(&values, 0.975)])
}

/// The sums of two draws of as many units as there are, with replacement. The random numbers of one draw wait for each other,
/// those of two do not: measured to save a sixth.
fn resampled<'a, const K: usize>(
    units: usize,
    value: impl Fn(usize) -> &'a [u64; K],
    seed: u64,
    draws: [usize; 2],
) -> [[u64; K]; 2] {
    let rng = |draw: usize| Rng::new(derive_seed(seed, "bootstrap", &[&draw.to_string()]));
    let [mut one, mut other] = draws.map(rng);
    let (mut sum, mut other_sum) = ([0; K], [0; K]);
    for _ in 0..units {
        add(&mut sum, value(one.below(units)));
        add(&mut other_sum, value(other.below(units)));
    }
    [sum, other_sum]
}

/// Units as one byte each, so that the table of a million of them stays in the processor's cache.
struct Levels<const K: usize> {
    /// The different values.
    values: Vec<[u64; K]>,
    /// Which of them each unit has.
    of_unit: Vec<u8>,
}

impl<const K: usize> Levels<K> {
    /// Those of sorted units; `None` if they have more than 256 different values.
    fn of(units: &[[u64; K]]) -> Option<Self> {
        let mut values: Vec<[u64; K]> = Vec::new();
        let mut of_unit = Vec::with_capacity(units.len());
        for unit in units {
            if values.last() != Some(unit) {
                values.push(*unit);
            }
            of_unit.push(u8::try_from(values.len() - 1).ok()?);
        }
        Some(Self { values, of_unit })
    }
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
        let clusters = Clusters::of((0..400).map(|i| format!("clip{}", i % 100)));
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
    fn the_interval_is_the_one_computed_elsewhere_so_that_stored_results_stay() {
        // Python, from the papers of the generator and with `hashlib`: 500 draws, unit by unit, with seed 1.
        let (before, after) = answers(8, 16, 76);
        let close = |found: Option<[f64; 2]>, expected: [f64; 2]| {
            found.unwrap().iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12)
        };
        assert!(close(
            rgi_interval(&before, &after, None, 1, 500),
            [-0.046_006_161_322_659_28, 0.729_849_874_484_374_4]
        ));
        let clusters = Clusters::of((0..100).map(|question| format!("clip{}", question % 40)));
        assert!(close(
            rgi_interval(&before, &after, Some(&clusters), 1, 500),
            [-0.043_465_693_781_090_3, 0.708_884_810_020_214_6]
        ));
    }

    #[test]
    fn units_of_more_values_than_a_byte_has_are_drawn_as_those_of_few() {
        let few: Vec<[u64; 2]> = (0..256).map(|value| [value, 1]).collect();
        let many: Vec<[u64; 2]> = (0..300).map(|value| [value, 1]).collect();
        assert!(Levels::of(&many).is_none());
        let levels = Levels::of(&few).unwrap();
        assert!(
            few.iter().zip(&levels.of_unit).all(|(unit, &level)| levels.values[usize::from(level)] == *unit)
        );
        let share = |[sum, units]: [u64; 2]| Some(sum as f64 / units as f64);
        for units in [few, many] {
            // Odd: the last draw has no other.
            let mut drawn: Vec<f64> = (0..201)
                .filter_map(|draw| {
                    let mut rng = Rng::new(derive_seed(3, "bootstrap", &[&draw.to_string()]));
                    let mut sum = [0; 2];
                    units.iter().for_each(|_| add(&mut sum, &units[rng.below(units.len())]));
                    share(sum)
                })
                .collect();
            drawn.sort_by(f64::total_cmp);
            let found = interval(&units, 3, 201, share).unwrap();
            assert_eq!(found, [percentile(&drawn, 0.025), percentile(&drawn, 0.975)]);
        }
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentile(&[0.0, 1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
        assert!((percentile(&[0.0, 10.0], 0.025) - 0.25).abs() < 1e-12);
    }
}
