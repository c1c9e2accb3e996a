//! The methods without a model: the base model's answers, some of them replaced by the refusal.

use std::collections::{BTreeMap, BTreeSet};

use idk_questions::Verdict;
use idk_questions::metrics::{Criterion, ThresholdFit, fit_threshold, random_refuser};
use serde::{Deserialize, Serialize};

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::compare::groups::sub_category_name;
use crate::error::EvalError;

/// What a rule refused by, as stored in the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule")]
pub enum Rule {
    /// Refuses where the length-normalised log-probability of the chosen option is below a threshold.
    Threshold {
        /// The threshold on val, in nats a token, and what it did there.
        #[serde(flatten)]
        fit: ThresholdFit,
        /// The same as a probability.
        probability: Option<f64>,
    },
    /// Refuses where the log-probability of the whole answer is below a threshold.
    OnePass {
        /// The threshold on val, in nats, and what it did there.
        #[serde(flatten)]
        fit: ThresholdFit,
        /// The same as a probability.
        probability: Option<f64>,
    },
    /// Refuses where too few samples give the same answer.
    SelfConsistency {
        /// The threshold on val, a share of the samples, and what it did there.
        #[serde(flatten)]
        fit: ThresholdFit,
    },
    /// Refuses whole sub-categories.
    Group {
        /// Those of which the base model knows less than this share.
        known_share_below: f64,
        /// The sub-categories of the test set that it refused, `task/sub-category`.
        refused: BTreeSet<String>,
    },
    /// Refuses at random.
    Random {
        /// Questions refused in all.
        refusals: usize,
        /// Whose refusal rate that is; `null` if the recipe gave a rate.
        like: Option<String>,
    },
}

/// Fits the threshold of `threshold` on the base model's answers to val.
///
/// # Errors
/// [`EvalError::Questions`] (never for answers of this program).
pub(crate) fn fit_on_val(val: &[Answer], criterion: Criterion) -> Result<Rule, EvalError> {
    let fit = fit(val, Answer::confidence, criterion)?;
    Ok(Rule::Threshold { probability: fit.threshold.map(f64::exp), fit })
}

/// Fits the threshold of `one-pass` on the base model's answers to val.
///
/// # Errors
/// [`EvalError::Questions`] (never for answers of this program).
pub(crate) fn fit_one_pass(val: &[Answer], criterion: Criterion) -> Result<Rule, EvalError> {
    let fit = fit(val, Answer::one_pass, criterion)?;
    Ok(Rule::OnePass { probability: fit.threshold.map(f64::exp), fit })
}

fn fit(
    val: &[Answer],
    sureness: fn(&Answer) -> f64,
    criterion: Criterion,
) -> Result<ThresholdFit, EvalError> {
    let verdicts: Vec<Verdict> = val.iter().map(|answer| answer.judgement.verdict).collect();
    let sureness: Vec<f64> = val.iter().map(sureness).collect();
    Ok(fit_threshold(&verdicts, &sureness, criterion)?)
}

/// Fits the threshold on the share of samples that agree with the base model's answers to val.
///
/// # Errors
/// [`EvalError::Questions`] (never for as many shares as answers).
pub(crate) fn fit_self_consistency(
    val: &[Answer],
    shares: &[f64],
    criterion: Criterion,
) -> Result<Rule, EvalError> {
    let verdicts: Vec<Verdict> = val.iter().map(|answer| answer.judgement.verdict).collect();
    Ok(Rule::SelfConsistency { fit: fit_threshold(&verdicts, shares, criterion)? })
}

/// The rule that refuses the sub-categories of which the base model knows less than `below`. Sub-categories without a
/// known share are answered.
pub(crate) fn group_rule(prepared: &Prepared, known_share: &BTreeMap<String, f64>, below: f64) -> Rule {
    let groups = prepared.questions.iter().map(|question| sub_category_name(&question.original));
    let refused = groups.filter(|group| known_share.get(group).is_some_and(|share| *share < below)).collect();
    Rule::Group { known_share_below: below, refused }
}

/// The answers after a rule, in the same order. `self_consistency`: the share of samples that agree with each answer; none if
/// nothing was sampled.
///
/// # Errors
/// [`EvalError::Questions`] (never for answers to the prepared questions).
pub(crate) fn apply(
    rule: &Rule,
    prepared: &Prepared,
    base: &[Answer],
    self_consistency: Option<&[f64]>,
    seed: u64,
) -> Result<Vec<Answer>, EvalError> {
    let is_refused: Vec<bool> = match rule {
        Rule::Threshold { fit, .. } => {
            let below = |answer: &Answer| fit.threshold.is_some_and(|least| answer.confidence() < least);
            base.iter().map(below).collect()
        }
        Rule::OnePass { fit, .. } => {
            let below = |answer: &Answer| fit.threshold.is_some_and(|least| answer.one_pass() < least);
            base.iter().map(below).collect()
        }
        Rule::SelfConsistency { fit } => {
            let shares = self_consistency.unwrap_or_default();
            let below = |index: usize| {
                let share = shares.get(index).copied().unwrap_or(0.0);
                fit.threshold.is_some_and(|least| share < least)
            };
            (0..base.len()).map(below).collect()
        }
        Rule::Group { refused, .. } => {
            let questions = prepared.questions.iter();
            questions.map(|question| refused.contains(&sub_category_name(&question.original))).collect()
        }
        Rule::Random { refusals, .. } => {
            let verdicts: Vec<Verdict> = base.iter().map(|answer| answer.judgement.verdict).collect();
            let ids: Vec<String> = base.iter().map(|answer| answer.id.clone()).collect();
            let after = random_refuser(&verdicts, &ids, *refusals, seed)?;
            after.into_iter().map(|verdict| verdict == Verdict::Refused).collect()
        }
    };
    let answers = base.iter().zip(is_refused);
    Ok(answers.map(|(answer, refused)| if refused { answer.refused() } else { answer.clone() }).collect())
}

#[cfg(test)]
mod tests {
    use idk_questions::{Judgement, PromptStyle, Question};

    use super::*;
    use idk_questions::AskedQuestion;

    /// Four answers, each a nat less likely as a whole than the one before: two sure and right in `easy`, one unsure and wrong and one unreadable in `hard`.
    fn case() -> (Prepared, Vec<Answer>) {
        let rows = [
            ("easy", Verdict::Correct, Some(0), -0.1),
            ("easy", Verdict::Correct, Some(0), -0.2),
            ("hard", Verdict::Wrong, Some(0), -3.0),
            ("hard", Verdict::Wrong, None, -0.1),
        ];
        let mut questions = Vec::new();
        let mut answers = Vec::new();
        for (index, (group, verdict, choice, log_prob)) in rows.into_iter().enumerate() {
            let question = Question {
                id: format!("q{index}"),
                task: "sound".to_owned(),
                sub_category: group.to_owned(),
                ..Question::default()
            };
            questions.push(AskedQuestion { shown: question.clone(), original: question });
            answers.push(Answer {
                id: format!("q{index}"),
                text: format!("text {index}"),
                judgement: Judgement { verdict, choice, unparsed: choice.is_none() },
                log_prob: Some(-1.0 - index as f64),
                option_log_probs: vec![log_prob],
                refusal_margin: None,
                steps: Vec::new(),
            });
        }
        let prepared = Prepared {
            questions,
            clips: Vec::new(),
            rejected: Vec::new(),
            cut_audio: 0,
            style: PromptStyle::default(),
            refusals: Vec::new(),
        };
        (prepared, answers)
    }

    fn refused(rule: &Rule) -> Vec<usize> {
        let (prepared, base) = case();
        let after = apply(rule, &prepared, &base, Some(&[1.0, 0.8, 0.6, 0.0]), 5).unwrap();
        assert!(after.iter().zip(&base).all(|(after, before)| after.id == before.id));
        (0..4).filter(|&index| after[index].judgement.verdict == Verdict::Refused).collect()
    }

    #[test]
    fn a_fitted_threshold_refuses_what_is_below_it_unreadable_answers_included() {
        let rule = fit_on_val(&case().1, Criterion::Youden).unwrap();
        let Rule::Threshold { fit, probability } = &rule else { panic!("{rule:?}") };
        assert_eq!((fit.threshold, fit.gained, fit.lost), (Some(-1.6), 2, 0));
        assert!((probability.unwrap() - 0.2019).abs() < 1e-4);
        assert_eq!(refused(&rule), [2, 3]);
        let json = serde_json::to_value(&rule).unwrap();
        assert_eq!(
            (&json["rule"], &json["criterion"], &json["n"]),
            (&"threshold".into(), &"youden".into(), &4.into())
        );
        assert_eq!(serde_json::from_value::<Rule>(json).unwrap(), rule);
    }

    #[test]
    fn one_pass_refuses_answers_that_are_unlikely_as_a_whole_whether_or_not_they_name_an_option() {
        let rule = fit_one_pass(&case().1, Criterion::Youden).unwrap();
        let Rule::OnePass { fit, probability } = &rule else { panic!("{rule:?}") };
        assert_eq!((fit.threshold, *probability), (Some(-2.5), Some((-2.5_f64).exp())));
        assert_eq!(refused(&rule), [2, 3]);
        let json = serde_json::to_value(&rule).unwrap();
        assert_eq!(json["rule"], "one-pass");
        assert_eq!(serde_json::from_value::<Rule>(json).unwrap(), rule);
    }

    #[test]
    fn whole_groups_are_refused_by_their_known_share_and_unknown_groups_answered() {
        let prepared = case().0;
        let known = BTreeMap::from([("sound/hard".to_owned(), 0.4), ("sound/other".to_owned(), 0.0)]);
        let rule = group_rule(&prepared, &known, 0.5);
        assert_eq!(refused(&rule), [2, 3]);
        assert_eq!(serde_json::to_value(&rule).unwrap()["refused"], serde_json::json!(["sound/hard"]));
        assert_eq!(refused(&group_rule(&prepared, &known, 0.4)), [] as [usize; 0]);
    }

    #[test]
    fn answers_that_few_samples_agree_with_are_refused_below_the_share_fitted_on_val() {
        // On val the wrong answers have 3 of 5 and none, the right ones all and 4 of 5: half-way is 0.7.
        let rule = fit_self_consistency(&case().1, &[1.0, 0.8, 0.6, 0.0], Criterion::Youden).unwrap();
        let Rule::SelfConsistency { fit } = &rule else { panic!("{rule:?}") };
        assert!((fit.threshold.unwrap() - 0.7).abs() < 1e-12, "{fit:?}");
        assert_eq!(refused(&rule), [2, 3]);
        assert_eq!(serde_json::to_value(&rule).unwrap()["rule"], "self-consistency");
    }

    #[test]
    fn random_refuses_as_many_as_it_was_told() {
        for refusals in 0..=4 {
            assert_eq!(refused(&Rule::Random { refusals, like: None }).len(), refusals);
        }
    }
}
