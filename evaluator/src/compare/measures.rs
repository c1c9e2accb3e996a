//! Measures of doubt for the base model's answers to a set of questions.

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::doubt::meaning::Meaning;
use crate::doubt::samples::SampledAnswers;
use crate::doubt::self_consistency::self_consistency;

/// The self-consistency of every answer of the base model.
pub(crate) fn self_consistencies(prepared: &Prepared, base: &[Answer], samples: &SampledAnswers) -> Vec<f64> {
    let answers = prepared.questions.iter().zip(base);
    answers
        .map(|(question, answer)| {
            let judgement = &answer.judgement;
            let meaning =
                Meaning::of(&question.shown.choices, judgement.choice, judgement.verdict, &answer.text);
            self_consistency(&meaning, samples.get(&answer.id).map_or(&[], Vec::as_slice))
        })
        .collect()
}
