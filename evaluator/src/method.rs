//! The methods that answer or refuse, and the list of those compared in an evaluation.

use serde::{Deserialize, Serialize};

/// A way to answer a question set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// The base model and the plain question: what every other method is compared with.
    Base,
    /// The base model, asked to say that it does not know where it is not sure.
    IdkPrompt,
    /// The base model thinks about the recording first, then answers or refuses (multimodal chain of thought; two
    /// passes as in Kojima et al. 2022, arXiv 2205.11916).
    Mcot,
    /// The same with worked examples before the question (Wei et al. 2022, arXiv 2201.11903).
    McotFewShot,
    /// The base model names the kind of recording, writes a transcript or a caption, and answers with its help.
    TaskAgent,
    /// The base model's answers; refused where the option that it chose is less likely than a threshold fitted on val.
    Threshold,
    /// The base model's answers; refused where the whole answer is less likely than a threshold fitted on val.
    OnePass,
    /// The same by the perplexity of the whole answer: its probability, normalised by its length.
    Perplexity,
    /// The same by the probability of the chosen option among the options.
    OptionProbability,
    /// The base model's answers; refused where fewer of its samples agree with them than a threshold fitted on val.
    SelfConsistency,
    /// The base model's answers; refused where its samples are less likely on average than a threshold fitted on val.
    PredictiveEntropy,
    /// The same with the log-probability of each sample divided by its length.
    LengthNormalisedEntropy,
    /// The base model's answers; refused where its samples mean more different things than a threshold fitted on val:
    /// meanings are weighed by the probability of their answers.
    SemanticEntropy,
    /// The same with meanings weighed by the number of samples.
    DiscreteSemanticEntropy,
    /// The base model's answers; refused where it finds "True" less likely as the verdict on its answer than a threshold
    /// fitted on val. It sees its samples too.
    PTrue,
    /// The base model's answers; refused where it states less confidence in them than a threshold fitted on val.
    VerbalisedConfidence,
    /// The base model's answers; refused where it finds "Yes" less likely than a threshold fitted on val, asked whether the
    /// recording supports its answer.
    SelfVerification,
    /// The base model's answers; refused where a probe of its hidden states finds a wrong answer likelier than a threshold
    /// fitted on val. The probe is fitted on the IDK split.
    Probe,
    /// The base model with one more option, that the question cannot be answered; who chooses it refuses.
    ExplicitOption,
    /// The base model's answers; refused in the sub-categories of which it knows too little.
    Group,
    /// The base model's answers; refused at random.
    Random,
    /// The plain question to the model with a trained adapter.
    Adapter,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Base,
        Self::IdkPrompt,
        Self::Mcot,
        Self::McotFewShot,
        Self::TaskAgent,
        Self::Threshold,
        Self::OnePass,
        Self::Perplexity,
        Self::OptionProbability,
        Self::SelfConsistency,
        Self::PredictiveEntropy,
        Self::LengthNormalisedEntropy,
        Self::SemanticEntropy,
        Self::DiscreteSemanticEntropy,
        Self::PTrue,
        Self::VerbalisedConfidence,
        Self::SelfVerification,
        Self::Probe,
        Self::ExplicitOption,
        Self::Group,
        Self::Random,
        Self::Adapter,
    ];

    /// The name in recipes, file names and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::IdkPrompt => "idk-prompt",
            Self::Mcot => "mcot",
            Self::McotFewShot => "mcot-few-shot",
            Self::TaskAgent => "task-agent",
            Self::Threshold => "threshold",
            Self::OnePass => "one-pass",
            Self::Perplexity => "perplexity",
            Self::OptionProbability => "option-probability",
            Self::SelfConsistency => "self-consistency",
            Self::PredictiveEntropy => "predictive-entropy",
            Self::LengthNormalisedEntropy => "length-normalised-entropy",
            Self::SemanticEntropy => "semantic-entropy",
            Self::DiscreteSemanticEntropy => "discrete-semantic-entropy",
            Self::PTrue => "p-true",
            Self::VerbalisedConfidence => "verbalised-confidence",
            Self::SelfVerification => "self-verification",
            Self::Probe => "probe",
            Self::ExplicitOption => "explicit-option",
            Self::Group => "group",
            Self::Random => "random",
            Self::Adapter => "adapter",
        }
    }

    /// Whether it is a measure of doubt: the base model's answers, refused beyond a threshold that is fitted on val.
    pub fn is_measure(self) -> bool {
        self.needs_samples()
            || self.asks_about_answer()
            || matches!(
                self,
                Self::Threshold | Self::OnePass | Self::Perplexity | Self::OptionProbability | Self::Probe
            )
    }

    /// Whether it is made from samples of the base model.
    pub fn needs_samples(self) -> bool {
        matches!(self, Self::SelfConsistency | Self::PTrue) || self.is_entropy()
    }

    /// Whether it asks the base model about its own answer.
    pub fn asks_about_answer(self) -> bool {
        matches!(self, Self::PTrue | Self::VerbalisedConfidence | Self::SelfVerification)
    }

    /// Whether it is made from the probabilities of a question's options.
    pub(crate) fn needs_options(self) -> bool {
        matches!(self, Self::Threshold | Self::OptionProbability)
    }

    /// Whether it compares how likely given texts are as the answer.
    pub(crate) fn compares_texts(self) -> bool {
        matches!(self, Self::PTrue | Self::SelfVerification)
    }

    /// Whether it is made from log-probabilities of answers or samples.
    pub(crate) fn needs_log_probs(self) -> bool {
        matches!(self, Self::OnePass | Self::Perplexity) || self.needs_samples()
    }

    /// Whether it is higher the less sure the model is; the other measures are lower.
    pub fn grows_with_doubt(self) -> bool {
        matches!(self, Self::Perplexity | Self::Probe) || self.is_entropy()
    }

    fn is_entropy(self) -> bool {
        matches!(
            self,
            Self::PredictiveEntropy
                | Self::LengthNormalisedEntropy
                | Self::SemanticEntropy
                | Self::DiscreteSemanticEntropy
        )
    }

    /// Whether it refuses some of the base model's answers instead of giving answers of its own.
    pub fn is_rule(self) -> bool {
        self.is_measure() || matches!(self, Self::Group | Self::Random)
    }
}

/// The name that a method had in earlier versions, and its name now.
pub const RENAMED_METHOD: (&str, &str) = ("agreement", "self-consistency");

/// One of those that are compared: a method, or one of several adapters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The method's name, or the adapter's own; unique, and part of the name of its file of answers.
    pub name: String,
    /// How it answers.
    pub method: Method,
}

impl From<Method> for Candidate {
    fn from(method: Method) -> Self {
        Self { name: method.name().to_owned(), method }
    }
}

/// Longest name of an adapter.
const MAX_NAME_CHARS: usize = 40;

/// Which names [`is_adapter_name`] takes, in words.
pub const ADAPTER_NAME_RULE: &str =
    "at most 40 letters, digits, `-`, `_` and `.`, no `.` first, and not the name of another method";

/// Whether an adapter may have this name: it becomes part of a file name and a cell of a table.
pub fn is_adapter_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let taken = Method::ALL.iter().any(|method| *method != Method::Adapter && method.name() == name);
    (1..=MAX_NAME_CHARS).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('.') && !taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_methods_name_is_the_one_that_recipes_use() {
        for method in Method::ALL {
            assert_eq!(serde_json::to_string(&method).unwrap(), format!("\"{}\"", method.name()));
        }
    }

    #[test]
    fn the_name_of_an_adapter_is_a_plain_file_name_and_no_methods() {
        for name in ["adapter", "k5", "seed-1.2_x"] {
            assert!(is_adapter_name(name), "{name}");
        }
        for name in ["", "base", "mcot", "a/b", ".hidden", "..", "a b", "é", &"x".repeat(41)] {
            assert!(!is_adapter_name(name), "{name}");
        }
    }
}
