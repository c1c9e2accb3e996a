//! Self-consistency: how many of the base model's samples give the answer that it gives (Wang et al. 2022,
//! arXiv 2203.11171, taken as a measure of doubt).

use std::collections::BTreeMap;

use idk_questions::Verdict;

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;

/// For each question id what each of its samples said, as [`said`] gives it.
pub type SampledAnswers = BTreeMap<String, Vec<Option<String>>>;

/// Samples of the base model on the questions of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// On the questions that are answered.
    pub test: SampledAnswers,
    /// On those that the threshold is fitted on.
    pub val: SampledAnswers,
}

/// What an answer says, comparable between two orders of the options: the text of the option that it chooses, or for an
/// open question its own text without case and outer spaces. `None` if it refuses or chooses none of the options.
pub fn said(choices: &[String], choice: Option<usize>, verdict: Verdict, text: &str) -> Option<String> {
    if verdict == Verdict::Refused {
        return None;
    }
    if choices.is_empty() {
        return Some(text.trim().to_lowercase());
    }
    choice.and_then(|choice| choices.get(choice)).cloned()
}

/// For each answer of the base model the share of that question's samples that say the same, 0 to 1. It is 0 for an
/// answer that chooses no option, and for a question without samples.
pub(crate) fn self_consistency(prepared: &Prepared, base: &[Answer], samples: &SampledAnswers) -> Vec<f64> {
    let shares = prepared.questions.iter().zip(base).map(|(question, answer)| {
        let judgement = &answer.judgement;
        let own = said(&question.shown.choices, judgement.choice, judgement.verdict, &answer.text)?;
        let others = samples.get(&answer.id)?;
        let same = others.iter().filter(|other| other.as_ref() == Some(&own)).count();
        (!others.is_empty()).then(|| same as f64 / others.len() as f64)
    });
    shares.map(|share| share.unwrap_or(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use idk_questions::{PromptStyle, Question, judge};

    use super::*;
    use idk_questions::AskedQuestion;

    #[test]
    fn self_consistency_is_the_share_of_samples_that_say_the_same_in_any_order_of_options() {
        let choices = ["dog", "cat", "rain"].map(str::to_owned).to_vec();
        let rows = [
            // Options, answer, what the samples say, and the share by hand.
            (choices.clone(), "cat", vec![Some("cat"), Some("dog"), Some("cat"), None, Some("cat")], 0.6),
            (choices.clone(), "what?", vec![Some("cat"); 5], 0.0),
            (choices.clone(), "I don't know", vec![None; 5], 0.0),
            (Vec::new(), " A Dog", vec![Some("a dog"), Some("a cat")], 0.5),
            (choices, "dog", vec![], 0.0),
        ];
        let mut prepared = Prepared {
            questions: Vec::new(),
            clips: Vec::new(),
            rejected: Vec::new(),
            cut_audio: 0,
            style: PromptStyle::default(),
            refusals: Vec::new(),
        };
        let (mut base, mut samples, mut expected) = (Vec::new(), SampledAnswers::new(), Vec::new());
        for (index, (choices, text, others, share)) in rows.into_iter().enumerate() {
            let id = format!("q{index}");
            let shown = Question { id: id.clone(), choices, answer: "dog".to_owned(), ..Question::default() };
            base.push(Answer {
                id: id.clone(),
                text: text.to_owned(),
                judgement: judge(text, &shown),
                log_prob: None,
                option_log_probs: Vec::new(),
                refusal_margin: None,
                steps: Vec::new(),
            });
            prepared.questions.push(AskedQuestion { original: shown.clone(), shown });
            samples.insert(id, others.into_iter().map(|other| other.map(str::to_owned)).collect());
            expected.push(share);
        }
        assert_eq!(self_consistency(&prepared, &base, &samples), expected);
        // The same option under another letter is the same answer.
        let turned = ["rain", "cat", "dog"].map(str::to_owned);
        assert_eq!(said(&turned, Some(2), Verdict::Correct, "(C)"), Some("dog".to_owned()));
        assert_eq!(said(&turned, Some(2), Verdict::Refused, "(C)"), None);
    }
}
