//! The confidence below which a model should rather refuse, fitted on answers whose verdicts are known.

use serde::{Deserialize, Serialize};

use super::baselines::check_length;
use super::counts::Counts;
use crate::error::QuestionError;
use crate::judge::Verdict;

/// What a threshold is to make as large as possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The share of the wrong answers that it refuses less the share of the correct ones (Youden 1950).
    #[default]
    Youden,
    /// RGI with 0.5 added to both counts. It rewards refusing few questions with hardly a loss.
    Rgi,
}

/// A threshold and what it does to the answers that it was fitted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdFit {
    /// What was maximised.
    pub criterion: Criterion,
    /// Answers of a confidence below it are refused. `None`: none is.
    pub threshold: Option<f64>,
    /// Why `threshold` is `null`: `no threshold gains more than it loses`.
    pub reason: Option<String>,
    /// The value of the criterion, 0 where nothing is refused.
    pub value: f64,
    /// Answers that it was fitted on.
    pub n: usize,
    /// Correct answers that it refuses.
    pub lost: usize,
    /// Wrong answers that it refuses.
    pub gained: usize,
}

/// Fits a threshold on the `confidence` of answers; NaN counts as the least sure. What `before` refuses does not count.
///
/// Every value between two neighbouring confidences is tried; of equally good ones the lowest is taken. The threshold
/// lies half-way between its neighbours.
///
/// # Errors
/// [`QuestionError::LengthMismatch`].
pub fn fit_threshold(
    before: &[Verdict],
    confidence: &[f64],
    criterion: Criterion,
) -> Result<ThresholdFit, QuestionError> {
    check_length("confidence", confidence.len(), before.len())?;
    let rank = |value: f64| if value.is_nan() { f64::NEG_INFINITY } else { value };
    let mut items: Vec<(f64, bool)> = before
        .iter()
        .zip(confidence)
        .filter(|(verdict, _)| **verdict != Verdict::Refused)
        .map(|(verdict, &value)| (rank(value), *verdict == Verdict::Correct))
        .collect();
    items.sort_by(|one, other| one.0.total_cmp(&other.0));
    let counts = Counts::of(before);
    let mut best = ThresholdFit {
        criterion,
        threshold: None,
        reason: Some("no threshold gains more than it loses".to_owned()),
        value: 0.0,
        n: before.len(),
        lost: 0,
        gained: 0,
    };
    let (mut lost, mut gained) = (0, 0);
    let mut groups = items.chunk_by(|one, other| one.0 == other.0).peekable();
    while let (Some(tied), Some(next)) = (groups.next(), groups.peek()) {
        let right = tied.iter().filter(|item| item.1).count();
        lost += right;
        gained += tied.len() - right;
        let value = value_of(criterion, &counts, lost, gained);
        if value > best.value {
            let threshold = Some(between(tied[0].0, next[0].0));
            best = ThresholdFit { threshold, reason: None, value, lost, gained, ..best };
        }
    }
    Ok(best)
}

fn value_of(criterion: Criterion, counts: &Counts, lost: usize, gained: usize) -> f64 {
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    match criterion {
        Criterion::Youden => share(gained, counts.wrong) - share(lost, counts.correct),
        Criterion::Rgi => ((gained as f64 + 0.5) / (lost as f64 + 0.5)).log10(),
    }
}

/// A value above `low` and not above `high`.
fn between(low: f64, high: f64) -> f64 {
    let middle = low / 2.0 + high / 2.0;
    if middle.is_finite() && middle > low { middle } else { high }
}

#[cfg(test)]
mod tests {
    use idk_common::seed::Rng;

    use super::*;
    use Verdict::{Correct as C, Refused as R, Wrong as W};

    #[test]
    fn the_threshold_is_the_best_of_all_by_hand() {
        // From the least sure: w w c w | c w c c. Refusing four: 3 of 4 wrong less 1 of 4 correct = 0.5; two give 0.5 too.
        let before = [W, W, C, W, C, W, C, C];
        let confidence = [-8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0];
        let fit = fit_threshold(&before, &confidence, Criterion::Youden).unwrap();
        assert_eq!((fit.threshold, fit.lost, fit.gained, fit.value), (Some(-6.5), 0, 2, 0.5));
        // log10(2.5 / 0.5) for two; log10(3.5 / 1.5) for four.
        let fit = fit_threshold(&before, &confidence, Criterion::Rgi).unwrap();
        assert_eq!((fit.threshold, fit.value), (Some(-6.5), 5.0_f64.log10()));
        let more = [W, W, W, C, W, W, C, C];
        let fit = fit_threshold(&more, &confidence, Criterion::Youden).unwrap();
        assert_eq!((fit.threshold, fit.lost, fit.gained), (Some(-2.5), 1, 5));
    }

    #[test]
    fn unreadable_answers_can_be_refused_and_refusals_do_not_count() {
        let before = [W, R, C, C, W];
        let confidence = [f64::NEG_INFINITY, f64::NEG_INFINITY, -0.2, -0.1, f64::NAN];
        let fit = fit_threshold(&before, &confidence, Criterion::Youden).unwrap();
        assert_eq!((fit.threshold, fit.lost, fit.gained, fit.n), (Some(-0.2), 0, 2, 5));
    }

    #[test]
    fn where_doubt_says_nothing_there_is_no_threshold_but_a_reason() {
        for (before, confidence) in
            [(vec![C, W], vec![-2.0, -1.0]), (vec![W, C], vec![-1.0, -1.0]), (vec![], vec![])]
        {
            for criterion in [Criterion::Youden, Criterion::Rgi] {
                let fit = fit_threshold(&before, &confidence, criterion).unwrap();
                assert_eq!((fit.threshold, fit.value), (None, 0.0), "{fit:?}");
                assert!(fit.reason.is_some());
            }
        }
        assert!(fit_threshold(&[C], &[], Criterion::Rgi).is_err());
    }

    #[test]
    fn the_order_of_the_questions_does_not_matter() {
        let mut rng = Rng::new(9);
        let before: Vec<Verdict> = (0..120).map(|_| [C, W, R][rng.below(3)]).collect();
        let confidence: Vec<f64> = (0..120).map(|_| -(rng.below(30) as f64)).collect();
        let fit = fit_threshold(&before, &confidence, Criterion::Youden).unwrap();
        let order = rng.permutation(120);
        let shuffled: Vec<Verdict> = order.iter().map(|&i| before[i]).collect();
        let values: Vec<f64> = order.iter().map(|&i| confidence[i]).collect();
        assert_eq!(fit_threshold(&shuffled, &values, Criterion::Youden).unwrap(), fit);
    }

    #[test]
    fn a_threshold_between_neighbours_lets_only_the_upper_one_pass() {
        let next = f64::from_bits(1.0_f64.to_bits() + 1);
        for (low, high) in [(1.0, next), (-3.0, -1.0), (f64::NEG_INFINITY, -0.5), (-f64::MAX, f64::MAX)] {
            let found = between(low, high);
            assert!(low < found && found <= high, "{low} {high} {found}");
        }
    }
}
