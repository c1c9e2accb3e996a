//! Measures of doubt for the base model's answers to a set of questions.

use idk_questions::Question;

use crate::answer::prepare::Prepared;
use crate::answer::record::{Answer, Step};
use crate::doubt::answer_probability::perplexity;
use crate::doubt::meaning::Meaning;
use crate::doubt::option_probability::option_probability;
use crate::doubt::own_words::{approval, stated_confidence};
use crate::doubt::predictive_entropy::{length_normalised_entropy, predictive_entropy};
use crate::doubt::samples::{SampledAnswer, SampledAnswers};
use crate::doubt::self_consistency::self_consistency;
use crate::doubt::semantic_entropy::{discrete_semantic_entropy, semantic_entropy};
use crate::method::Method;

/// The values of a measure, one for each question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// Which measure.
    pub(crate) method: Method,
    /// In the measure's own unit. `None` where it has no value: that counts as the most doubtful.
    pub(crate) values: Vec<Option<f64>>,
    /// What the model said, where it was asked about its own answers.
    pub(crate) replies: Option<Vec<String>>,
}

impl Measured {
    /// Measures the base model's answers to the prepared questions. `samples`: of the same questions.
    pub(crate) fn new(
        method: Method,
        prepared: &Prepared,
        base: &[Answer],
        samples: Option<&SampledAnswers>,
    ) -> Self {
        let value = |(question, answer): (_, &Answer)| {
            let samples = samples.and_then(|samples| samples.get(&answer.id));
            value(method, question, answer, samples.map_or(&[], Vec::as_slice))
        };
        let shown = prepared.questions.iter().map(|question| &question.shown);
        let values = shown.zip(base).map(value).map(|value| value.filter(|value| value.is_finite()));
        Self { method, values: values.collect(), replies: None }
    }

    /// The same from what the model said about its own answers.
    pub(crate) fn of_replies(method: Method, replies: &[Answer]) -> Self {
        let values = replies.iter().map(|reply| of_reply(method, reply)).collect();
        let replies = replies.iter().map(|reply| reply.text.clone()).collect();
        Self { method, values, replies: Some(replies) }
    }

    /// How near a method that answers by itself was to refusing each question.
    pub(crate) fn of_margins(method: Method, answers: &[Answer]) -> Self {
        let values = answers.iter().map(|answer| answer.refusal_margin).collect();
        Self { method, values, replies: None }
    }

    /// The answers with what the model said about each as a step.
    pub(crate) fn with_replies(&self, mut answers: Vec<Answer>) -> Vec<Answer> {
        let replies = self.replies.iter().flatten();
        for (answer, reply) in answers.iter_mut().zip(replies) {
            answer.steps.push(Step::new(self.method.name(), reply));
        }
        answers
    }

    /// How sure the model is of each answer: the higher, the surer.
    pub(crate) fn sureness(&self) -> Vec<f64> {
        let sure = |value: &Option<f64>| match value {
            None => f64::NEG_INFINITY,
            Some(value) if self.method.grows_with_doubt() => -value,
            Some(value) => *value,
        };
        self.values.iter().map(sure).collect()
    }
}

/// The value of a measure for one answer of the base model.
fn value(method: Method, shown: &Question, answer: &Answer, samples: &[SampledAnswer]) -> Option<f64> {
    let judgement = &answer.judgement;
    let meaning = || Meaning::of(&shown.choices, judgement.choice, judgement.verdict, &answer.text);
    match method {
        Method::Threshold => Some(answer.confidence()),
        Method::OnePass => answer.log_prob,
        Method::Perplexity => perplexity(answer.log_prob?, answer.tokens?),
        Method::OptionProbability => option_probability(&answer.option_log_probs, judgement.choice),
        Method::SelfConsistency => Some(self_consistency(&meaning(), samples)),
        Method::PredictiveEntropy => predictive_entropy(samples),
        Method::LengthNormalisedEntropy => length_normalised_entropy(samples),
        Method::SemanticEntropy => semantic_entropy(samples),
        Method::DiscreteSemanticEntropy => discrete_semantic_entropy(samples),
        _ => None,
    }
}

/// The value of a measure that the model was asked for.
fn of_reply(method: Method, reply: &Answer) -> Option<f64> {
    match (method, reply.option_log_probs.as_slice()) {
        (Method::VerbalisedConfidence, _) => stated_confidence(&reply.text),
        (_, &[yes, no]) => approval([yes, no]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use idk_questions::{AskedQuestion, Judgement, PromptStyle, Verdict};

    use super::*;
    use crate::doubt::samples::tests::sample;

    fn case() -> (Prepared, Vec<Answer>, SampledAnswers) {
        let question = |id: &str| {
            let choices = ["dog", "cat"].map(str::to_owned).to_vec();
            let shown =
                Question { id: id.to_owned(), choices, answer: "dog".to_owned(), ..Question::default() };
            AskedQuestion::new(shown, None)
        };
        let answer = |id: &str, text: &str, judgement: Judgement| Answer {
            id: id.to_owned(),
            text: text.to_owned(),
            judgement,
            log_prob: Some(0.25_f64.ln()),
            tokens: Some(2),
            option_log_probs: vec![0.5_f64.ln(), 0.125_f64.ln()],
            refusal_margin: None,
            steps: Vec::new(),
            by_model: None,
        };
        let chosen = Judgement { verdict: Verdict::Correct, choice: Some(0), unparsed: false };
        let samples = vec![sample("dog", "dog", 0.25, 2), sample("cat", "cat", 0.25, 2)];
        (
            Prepared {
                questions: ["a", "b"].map(question).to_vec(),
                clips: Vec::new(),
                rejected: Vec::new(),
                cut_audio: 0,
                style: PromptStyle::default(),
                refusals: Vec::new(),
            },
            vec![answer("a", "(A)", chosen), answer("b", "what?", Judgement::UNPARSED)],
            BTreeMap::from([("a".to_owned(), samples)]),
        )
    }

    #[test]
    fn every_measure_has_the_value_computed_by_hand_and_none_where_there_is_nothing_to_measure() {
        let (prepared, base, samples) = case();
        let ln = f64::ln;
        for (method, expected) in [
            (Method::Threshold, [Some(ln(0.5)), None]),
            (Method::OnePass, [Some(ln(0.25)); 2]),
            // The mean of two tokens is 1/2.
            (Method::Perplexity, [Some(2.0); 2]),
            (Method::OptionProbability, [Some(0.8), None]),
            (Method::SelfConsistency, [Some(0.5), Some(0.0)]),
            (Method::PredictiveEntropy, [Some(ln(4.0)), None]),
            (Method::LengthNormalisedEntropy, [Some(ln(2.0)), None]),
            (Method::SemanticEntropy, [Some(ln(2.0)), None]),
            (Method::DiscreteSemanticEntropy, [Some(ln(2.0)), None]),
        ] {
            let found = Measured::new(method, &prepared, &base, Some(&samples)).values;
            let same = |(found, expected): (&Option<f64>, Option<f64>)| match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
                (found, expected) => *found == expected,
            };
            assert!(found.iter().zip(expected).all(same), "{method:?}: {found:?} {expected:?}");
        }
    }

    #[test]
    fn a_reply_about_an_answer_is_a_share_of_two_or_a_number() {
        let (_, base, _) = case();
        let reply = |text: &str, log_probs: Vec<f64>| Answer {
            text: text.to_owned(),
            option_log_probs: log_probs,
            ..base[0].clone()
        };
        let replies = [reply("Yes", vec![0.3_f64.ln(), 0.1_f64.ln()]), reply("70", Vec::new())];
        for method in Method::ALL.into_iter().filter(|method| method.asks_about_answer()) {
            let values = Measured::of_replies(method, &replies).values;
            match method {
                Method::VerbalisedConfidence => assert_eq!(values, [None, Some(70.0)]),
                _ => assert!((values[0].unwrap() - 0.75).abs() < 1e-12 && values[1].is_none(), "{values:?}"),
            }
        }
    }

    #[test]
    fn every_measure_is_in_the_table_of_the_test_above_and_sureness_falls_with_doubt() {
        let (prepared, base, samples) = case();
        // The others need a model.
        let asked =
            |method: &Method| method.is_measure() && !method.asks_about_answer() && *method != Method::Probe;
        for method in Method::ALL.into_iter().filter(asked) {
            let measured = Measured::new(method, &prepared, &base, Some(&samples));
            let value = measured.values[0].unwrap_or_else(|| panic!("{method:?} has no value"));
            let sureness = if method.grows_with_doubt() { -value } else { value };
            assert_eq!(measured.sureness()[0], sureness, "{method:?}");
        }
        let missing =
            Measured { method: Method::SemanticEntropy, values: vec![None, Some(0.5)], replies: None };
        assert_eq!(missing.sureness(), [f64::NEG_INFINITY, -0.5]);
    }
}
