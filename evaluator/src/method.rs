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
    /// The base model's answers; refused where fewer of its samples agree with them than a threshold fitted on val.
    SelfConsistency,
    /// The base model's answers; refused in the sub-categories of which it knows too little.
    Group,
    /// The base model's answers; refused at random.
    Random,
    /// The plain question to the model with a trained adapter.
    Adapter,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Base,
        Self::IdkPrompt,
        Self::Mcot,
        Self::McotFewShot,
        Self::TaskAgent,
        Self::Threshold,
        Self::OnePass,
        Self::SelfConsistency,
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
            Self::SelfConsistency => "self-consistency",
            Self::Group => "group",
            Self::Random => "random",
            Self::Adapter => "adapter",
        }
    }

    /// Whether it is fitted on val.
    pub fn is_fitted(self) -> bool {
        matches!(self, Self::Threshold | Self::OnePass | Self::SelfConsistency)
    }

    /// Whether it runs no model but refuses some of the base model's answers.
    pub fn is_rule(self) -> bool {
        matches!(self, Self::Threshold | Self::OnePass | Self::SelfConsistency | Self::Group | Self::Random)
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
