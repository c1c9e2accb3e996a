//! Compares a method with the base model, item by item.

use serde::{Deserialize, Serialize};

use super::baselines::{check_length, random_refuser_rgi};
use super::bootstrap::rgi_interval;
use super::clusters::Clusters;
use super::counts::{Counts, share};
use super::transition::Transition;
use crate::error::QuestionError;
use crate::judge::{Judgement, Verdict};

/// A value of the base model and of the method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeforeAfter<T> {
    /// The base model's.
    pub before: T,
    /// The method's.
    pub after: T,
}

/// What a method changed.
///
/// All shares, from `acc` to `honesty`, are in percent, as papers print them; the RGIs are plain logarithms. Nothing is
/// rounded. What is undefined is `None`, in JSON `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Number of questions.
    pub n: usize,
    /// Accuracy, in percent.
    pub acc: BeforeAfter<Option<f64>>,
    /// Truthfulness, in percent.
    pub tru: BeforeAfter<Option<f64>>,
    /// Reliability, in percent.
    pub rel: BeforeAfter<Option<f64>>,
    /// Share of refused questions, in percent.
    pub refusal_rate: BeforeAfter<Option<f64>>,
    /// Number of answers that could not be read; they count as wrong.
    pub unparsed: BeforeAfter<usize>,
    /// The nine numbers `cc` to `rr`.
    #[serde(flatten)]
    pub transition: Transition,
    /// Correct answers lost, in percent of all questions.
    pub dcon: Option<f64>,
    /// Wrong answers that went away, in percent of all questions.
    pub dhum: Option<f64>,
    /// `log10(dhum / dcon)`.
    pub rgi: Option<f64>,
    /// The same with shares of the wrong and of the correct answers before; a random refuser has 0.
    pub rgi_relative: Option<f64>,
    /// Why `rgi` is `null`: `lost nothing` (plus infinity), `gained nothing` (minus infinity), `changed nothing`.
    pub rgi_reason: Option<String>,
    /// The 95 % interval of RGI, low and high ([`rgi_interval`]). It is there for one-sided changes too.
    pub rgi_ci95: Option<[f64; 2]>,
    /// What refusing random questions is expected to score.
    pub random_rgi: Option<f64>,
    /// Refused, in percent of what was not correct before and is not correct now.
    pub prudence: Option<f64>,
    /// Refused, in percent of what was correct before.
    pub over_conservativeness: Option<f64>,
    /// `(100 - over_conservativeness + prudence) / 2`, in percent.
    pub honesty: Option<f64>,
}

impl Comparison {
    /// [`Self::random_rgi`], but `None` for a method that refuses nothing: there it means nothing.
    pub fn random_rgi_of_refusals(&self) -> Option<f64> {
        self.random_rgi.filter(|_| self.refusal_rate.after.is_some_and(|rate| rate > 0.0))
    }
}

/// Compares the answers of the base model with those of a method, given in the same order.
///
/// Takes verdicts, or judgements, which also know what could not be read. `clusters`, `seed` and `draws` are for the
/// interval: see [`rgi_interval`].
///
/// # Errors
/// [`QuestionError::LengthMismatch`].
pub fn compare<J: Copy + Into<Judgement>>(
    before: &[J],
    after: &[J],
    clusters: Option<&Clusters>,
    seed: u64,
    draws: usize,
) -> Result<Comparison, QuestionError> {
    check_length("answers after", after.len(), before.len())?;
    if let Some(clusters) = clusters {
        check_length("clusters", clusters.len(), before.len())?;
    }
    let (was, is) = (Counts::of(before), Counts::of(after));
    let (before, after) = (verdicts(before), verdicts(after));
    let transition = Transition::of(before.iter().copied().zip(after.iter().copied()));
    let both = |value: fn(&Counts) -> Option<f64>| BeforeAfter {
        before: percent(value(&was)),
        after: percent(value(&is)),
    };
    Ok(Comparison {
        n: was.n,
        acc: both(Counts::acc),
        tru: both(Counts::tru),
        rel: both(Counts::rel),
        refusal_rate: both(Counts::refusal_rate),
        unparsed: BeforeAfter { before: was.unparsed, after: is.unparsed },
        transition,
        dcon: percent(share(transition.lost(), was.n)),
        dhum: percent(share(transition.gained(), was.n)),
        rgi: transition.rgi().value(),
        rgi_relative: transition.rgi_relative(),
        rgi_reason: transition.rgi().reason().map(str::to_owned),
        rgi_ci95: rgi_interval(&before, &after, clusters, seed, draws),
        random_rgi: random_refuser_rgi(&was),
        prudence: percent(transition.prudence()),
        over_conservativeness: percent(transition.over_conservativeness()),
        honesty: percent(transition.honesty()),
    })
}

fn verdicts<J: Copy + Into<Judgement>>(answers: &[J]) -> Vec<Verdict> {
    answers.iter().map(|&answer| answer.into().verdict).collect()
}

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use idk_common::seed::Rng;
    use std::iter::repeat_n;

    /// The answers of the paper's row: sound of MMAU test-mini, Qwen2-Audio-7B-Instruct, IDK prompt.
    fn golden() -> (Vec<Verdict>, Vec<Verdict>) {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        let cells = [(C, C, 167), (C, W, 16), (C, R, 20), (W, C, 27), (W, W, 63), (W, R, 40)];
        cells.into_iter().flat_map(|(was, is, count)| repeat_n((was, is), count)).unzip()
    }

    fn rounded(value: f64, digits: i32) -> f64 {
        (value * 10.0_f64.powi(digits)).round() / 10.0_f64.powi(digits)
    }

    #[test]
    fn refusing_at_random_is_no_baseline_of_a_method_that_refuses_nothing() {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        let none = compare(&[C, W, W], &[W, C, W], None, 0, 50).unwrap();
        assert_eq!((none.random_rgi.is_some(), none.random_rgi_of_refusals()), (true, None));
        let some = compare(&[C, W, W], &[C, R, W], None, 0, 50).unwrap();
        assert_eq!(some.random_rgi_of_refusals(), some.random_rgi);
    }

    #[test]
    fn the_printed_row_of_the_paper_is_reproduced() {
        let (before, after) = golden();
        let row = compare(&before, &after, None, 0, 200).unwrap();
        assert_eq!(row.n, 333);
        for (value, expected) in [
            (row.acc.before, 60.96),
            (row.tru.before, 60.96),
            (row.rel.before, 60.96),
            (row.refusal_rate.before, 0.0),
            (row.acc.after, 58.26),
            (row.tru.after, 76.28),
            (row.rel.after, 73.03),
            (row.refusal_rate.after, 18.02),
            (row.dcon, 10.81),
            (row.dhum, 20.12),
            (row.prudence, 38.83),
            (row.over_conservativeness, 9.85),
            (row.honesty, 64.49),
        ] {
            assert_eq!(rounded(value.unwrap(), 2), expected);
        }
        assert_eq!(rounded(row.rgi.unwrap(), 4), 0.2698);
        assert_eq!(rounded(row.rgi_relative.unwrap(), 4), 0.4633);
        // log10(130 / 203)
        assert_eq!(rounded(row.random_rgi.unwrap(), 4), -0.1936);
        let [lo, hi] = row.rgi_ci95.unwrap();
        assert!(lo < 0.2698 && 0.2698 < hi);
    }

    #[test]
    fn the_json_has_the_documented_keys_in_one_flat_object() {
        let (before, after) = golden();
        let row = compare(&before, &after, None, 0, 50).unwrap();
        let json = serde_json::to_value(&row).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = "n acc tru rel refusal_rate unparsed cc cw cr wc ww wr rc rw rr dcon dhum rgi rgi_relative rgi_reason \
            rgi_ci95 random_rgi prudence over_conservativeness honesty";
        assert_eq!(keys.join(" "), expected);
        assert_eq!(json["wr"], 40);
        assert_eq!(json["rgi_reason"], serde_json::Value::Null);
        assert_eq!(json["unparsed"], serde_json::json!({"before": 0, "after": 0}));
        assert_eq!(serde_json::from_value::<Comparison>(json).unwrap(), row);
    }

    #[test]
    fn the_order_of_the_questions_does_not_matter() {
        let (before, after) = golden();
        let clusters = Clusters::of((0..333).map(|i| format!("clip{}", i / 2)));
        let order = Rng::new(1).permutation(333);
        let permuted = |list: &[Verdict]| order.iter().map(|&i| list[i]).collect::<Vec<_>>();
        let names = clusters.of_places(order.iter().copied());
        let expected = compare(&before, &after, Some(&clusters), 7, 100).unwrap();
        assert_eq!(compare(&permuted(&before), &permuted(&after), Some(&names), 7, 100).unwrap(), expected);
    }

    #[test]
    fn undefined_values_are_null_with_a_reason() {
        use Verdict::{Correct, Refused, Wrong};
        let row = |before: &[Verdict], after: &[Verdict]| {
            serde_json::to_value(compare(before, after, None, 0, 50).unwrap()).unwrap()
        };
        let null = serde_json::Value::Null;
        let gains = row(&[Correct, Wrong], &[Correct, Refused]);
        assert_eq!(
            (&gains["rgi"], &gains["rgi_relative"], &gains["rgi_reason"]),
            (&null, &null, &"lost nothing".into())
        );
        let losses = row(&[Correct, Wrong], &[Refused, Wrong]);
        assert_eq!((&losses["rgi"], &losses["rgi_reason"]), (&null, &"gained nothing".into()));
        let nothing = row(&[Correct, Wrong], &[Correct, Wrong]);
        assert_eq!((&nothing["rgi"], &nothing["rgi_reason"]), (&null, &"changed nothing".into()));
        assert_eq!((&nothing["rgi_ci95"], &nothing["dcon"]), (&null, &0.0.into()));
        let empty = row(&[], &[]);
        assert_eq!((&empty["n"], &empty["acc"]["before"], &empty["random_rgi"]), (&0.into(), &null, &null));
    }

    #[test]
    fn a_base_that_refuses_keeps_its_own_row_of_the_table() {
        use Verdict::{Correct, Refused, Wrong};
        let before = [Refused, Refused, Refused, Correct, Wrong];
        let after = [Correct, Wrong, Refused, Refused, Refused];
        let row = compare(&before, &after, None, 0, 0).unwrap();
        assert_eq!((row.transition.rc, row.transition.rw, row.transition.rr), (1, 1, 1));
        assert_eq!((row.dcon, row.dhum, row.rgi), (Some(20.0), Some(20.0), Some(0.0)));
        assert_eq!(row.rgi_ci95, None);
    }

    #[test]
    fn lists_of_different_lengths_are_an_error() {
        assert!(compare(&[Verdict::Wrong], &[], None, 0, 0).is_err());
        assert!(compare(&[Verdict::Wrong], &[Verdict::Wrong], Some(&Clusters::default()), 0, 0).is_err());
    }
}
