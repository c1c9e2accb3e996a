//! The methods without a model: the base model's answers, some of them replaced by the refusal.

use std::collections::{BTreeMap, BTreeSet};

use idk_questions::Verdict;
use idk_questions::metrics::{Criterion, ThresholdFit, fit_threshold, random_refuser};
use serde::{Deserialize, Serialize};

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::compare::groups::sub_category_name;
use crate::compare::measures::Measured;
use crate::error::EvalError;
use crate::method::Method;

/// What a rule refused by, as stored in the results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule")]
pub enum Rule {
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
    /// Refuses where a measure of doubt is beyond a threshold.
    #[serde(untagged)]
    Fitted {
        /// The measure.
        rule: Method,
        /// The threshold on val, in the measure's own unit, and what it did there. Answers below it are refused; above it where
        /// the measure [grows with doubt](Method::grows_with_doubt).
        #[serde(flatten)]
        fit: ThresholdFit,
        /// The same as a probability, where the measure is a log-probability.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        probability: Option<f64>,
    },
}

impl Rule {
    /// Fits the threshold of a measure of doubt on the base model's answers to val.
    ///
    /// # Errors
    /// [`EvalError::Questions`] (never for as many values as answers).
    pub(crate) fn fitted(
        measured: &Measured,
        val: &[Answer],
        criterion: Criterion,
    ) -> Result<Self, EvalError> {
        let verdicts: Vec<Verdict> = val.iter().map(|answer| answer.judgement.verdict).collect();
        let fit = fit_threshold(&verdicts, &measured.sureness(), criterion)?;
        let rule = measured.method;
        let is_log_prob = matches!(rule, Method::Threshold | Method::OnePass);
        let probability = fit.threshold.filter(|_| is_log_prob).map(f64::exp);
        let in_its_unit = |least: f64| if rule.grows_with_doubt() { -least } else { least };
        let fit = ThresholdFit { threshold: fit.threshold.map(in_its_unit), ..fit };
        Ok(Self::Fitted { rule, fit, probability })
    }
}

/// The rule that refuses the sub-categories of which the base model knows less than `below`. Sub-categories without a
/// known share are answered.
pub(crate) fn group_rule(prepared: &Prepared, known_share: &BTreeMap<String, f64>, below: f64) -> Rule {
    let groups = prepared.questions.iter().map(|question| sub_category_name(&question.original));
    let refused = groups.filter(|group| known_share.get(group).is_some_and(|share| *share < below)).collect();
    Rule::Group { known_share_below: below, refused }
}

/// The answers after a rule, in the same order. `measured`: what a fitted rule goes by.
///
/// # Errors
/// [`EvalError::Questions`] (never for answers to the prepared questions).
pub(crate) fn apply(
    rule: &Rule,
    prepared: &Prepared,
    base: &[Answer],
    measured: Option<&Measured>,
    seed: u64,
) -> Result<Vec<Answer>, EvalError> {
    let is_refused: Vec<bool> = match rule {
        Rule::Fitted { rule, fit, .. } => {
            let least = fit.threshold.map(|value| if rule.grows_with_doubt() { -value } else { value });
            let sureness = measured.map(Measured::sureness).unwrap_or_default();
            let below =
                |sureness: Option<&f64>| least.is_some_and(|least| sureness.is_some_and(|it| *it < least));
            (0..base.len()).map(|index| below(sureness.get(index))).collect()
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
    use serde_json::json;

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
                tokens: None,
                option_log_probs: vec![log_prob],
                refusal_margin: None,
                steps: Vec::new(),
                by_model: None,
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

    fn refused_by(rule: &Rule, measured: Option<&Measured>) -> Vec<usize> {
        let (prepared, base) = case();
        let after = apply(rule, &prepared, &base, measured, 5).unwrap();
        assert!(after.iter().zip(&base).all(|(after, before)| after.id == before.id));
        (0..4).filter(|&index| after[index].judgement.verdict == Verdict::Refused).collect()
    }

    fn refused(rule: &Rule) -> Vec<usize> {
        refused_by(rule, None)
    }

    /// A measure fitted on the four answers: the rule, its threshold, and which of the four it refuses.
    fn fitted(measured: &Measured) -> (Rule, Option<f64>, Vec<usize>) {
        let rule = Rule::fitted(measured, &case().1, Criterion::Youden).unwrap();
        let Rule::Fitted { fit, .. } = &rule else { panic!("{rule:?}") };
        let threshold = fit.threshold;
        let refused = refused_by(&rule, Some(measured));
        (rule, threshold, refused)
    }

    #[test]
    fn a_fitted_threshold_refuses_what_is_below_it_unreadable_answers_included() {
        let (prepared, base) = case();
        let (rule, threshold, refused) = fitted(&Measured::new(Method::Threshold, &prepared, &base, None));
        assert_eq!((threshold, refused), (Some(-1.6), vec![2, 3]));
        let json = serde_json::to_value(&rule).unwrap();
        assert_eq!(
            [&json["rule"], &json["criterion"], &json["n"], &json["gained"], &json["lost"]],
            [&json!("threshold"), &json!("youden"), &json!(4), &json!(2), &json!(0)]
        );
        assert!((json["probability"].as_f64().unwrap() - 0.2019).abs() < 1e-4);
        assert_eq!(serde_json::from_value::<Rule>(json).unwrap(), rule);
    }

    #[test]
    fn one_pass_refuses_answers_that_are_unlikely_as_a_whole_whether_or_not_they_name_an_option() {
        let (prepared, base) = case();
        let (rule, threshold, refused) = fitted(&Measured::new(Method::OnePass, &prepared, &base, None));
        assert_eq!((threshold, refused), (Some(-2.5), vec![2, 3]));
        let json = serde_json::to_value(&rule).unwrap();
        assert_eq!((&json["rule"], &json["probability"]), (&json!("one-pass"), &json!((-2.5_f64).exp())));
        assert_eq!(serde_json::from_value::<Rule>(json).unwrap(), rule);
    }

    #[test]
    fn a_share_is_refused_below_its_threshold_and_an_entropy_above() {
        // On val the wrong answers have 3 of 5 and none, the right ones all and 4 of 5: half-way is 0.7.
        let shares = Measured {
            method: Method::SelfConsistency,
            values: [1.0, 0.8, 0.6, 0.0].map(Some).to_vec(),
            replies: None,
        };
        let (rule, threshold, refused) = fitted(&shares);
        assert!((threshold.unwrap() - 0.7).abs() < 1e-12, "{rule:?}");
        assert_eq!(refused, [2, 3]);
        let json = serde_json::to_value(&rule).unwrap();
        assert_eq!((&json["rule"], json.get("probability")), (&json!("self-consistency"), None));
        // The third answer has no entropy: it is as doubtful as can be.
        let values = vec![Some(0.0), Some(0.5), None, Some(1.0)];
        let (rule, threshold, refused) =
            fitted(&Measured { method: Method::SemanticEntropy, values, replies: None });
        assert_eq!((threshold, refused), (Some(0.75), vec![2, 3]));
        assert_eq!(serde_json::from_value::<Rule>(serde_json::to_value(&rule).unwrap()).unwrap(), rule);
    }

    #[test]
    fn a_measure_that_says_nothing_refuses_nothing_and_says_why() {
        let flat = Measured { method: Method::Perplexity, values: vec![Some(2.0); 4], replies: None };
        let (rule, threshold, refused) = fitted(&flat);
        assert_eq!((threshold, refused), (None, Vec::new()));
        let json = serde_json::to_value(&rule).unwrap();
        assert_eq!(json["reason"], "no threshold gains more than it loses");
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
    fn random_refuses_as_many_as_it_was_told() {
        for refusals in 0..=4 {
            assert_eq!(refused(&Rule::Random { refusals, like: None }).len(), refusals);
        }
    }
}
