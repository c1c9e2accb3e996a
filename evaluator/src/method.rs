//! The ways to get an answer out of a model.

use idk_questions::{PromptStyle, Question, prompt_text};
use serde::{Deserialize, Serialize};

/// The sentence that the IDK prompt adds to the question.
pub const IDK_INSTRUCTION: &str = "If you are not sure of the answer, answer \"I don't know\".";

/// A way to answer a question set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// The base model and the plain question: what every other method is compared with.
    Base,
    /// The base model, and [`IDK_INSTRUCTION`] after the question.
    IdkPrompt,
    /// The plain question to the model with a trained adapter.
    Adapter,
}

impl Method {
    /// The name in recipes, file names and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::IdkPrompt => "idk-prompt",
            Self::Adapter => "adapter",
        }
    }

    /// The text that the model is asked, after the recordings.
    pub fn prompt(self, question: &Question, style: PromptStyle) -> String {
        let plain = prompt_text(question, style);
        match self {
            Self::Base | Self::Adapter => plain,
            Self::IdkPrompt => format!("{plain}\n{IDK_INSTRUCTION}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_methods_name_is_the_one_that_recipes_use() {
        for method in [Method::Base, Method::IdkPrompt, Method::Adapter] {
            assert_eq!(serde_json::to_string(&method).unwrap(), format!("\"{}\"", method.name()));
        }
    }

    #[test]
    fn only_the_idk_prompt_changes_the_question() {
        let question = Question { question: "Which animal is heard?".to_owned(), ..Question::default() };
        let text = |method: Method| method.prompt(&question, PromptStyle::Lettered);
        assert_eq!(text(Method::Base), "Which animal is heard?");
        assert_eq!(text(Method::Adapter), text(Method::Base));
        assert_eq!(
            text(Method::IdkPrompt),
            "Which animal is heard?\nIf you are not sure of the answer, answer \"I don't know\"."
        );
    }
}
