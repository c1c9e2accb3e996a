//! Samples of the base model on the questions of an evaluation.

use std::collections::BTreeMap;

use crate::doubt::meaning::Meaning;

/// One sampled answer of the base model.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledAnswer {
    /// What the model said.
    pub text: String,
    /// What that means.
    pub meaning: Meaning,
    /// Log-probability of the text and its end at temperature 1, in nats. `None` from a server that does not give it.
    pub log_prob: Option<f64>,
    /// Tokens of the text, its end included. `None` where nobody counted them.
    pub tokens: Option<usize>,
}

/// For each question id its samples.
pub type SampledAnswers = BTreeMap<String, Vec<SampledAnswer>>;

/// Samples of the base model on the questions of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// On the questions that are answered.
    pub test: SampledAnswers,
    /// On those that thresholds are fitted on.
    pub val: SampledAnswers,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A sample that means `option` (`refused` and `?...` as such), of this probability and length.
    pub(crate) fn sample(text: &str, option: &str, probability: f64, tokens: usize) -> SampledAnswer {
        let meaning = match option {
            "refused" => Meaning::Refused,
            other => match other.strip_prefix('?') {
                Some(text) => Meaning::Unreadable(text.to_owned()),
                None => Meaning::Said(other.to_owned()),
            },
        };
        SampledAnswer {
            text: text.to_owned(),
            meaning,
            log_prob: Some(probability.ln()),
            tokens: Some(tokens),
        }
    }
}
