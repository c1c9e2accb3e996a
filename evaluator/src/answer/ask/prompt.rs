//! The prompts of a question: its recordings, then the text that a method asks with.

use idk_questions::{AskedQuestion, REFUSAL, prompt_text};

use crate::answer::ask::MethodRunner;
use crate::answer::prompts::PromptName;
use crate::backend::{BackendPrompt, Heard};
use crate::error::EvalError;
use crate::method::Method;

impl MethodRunner<'_> {
    /// The text of the first prompt.
    pub(super) fn opening(&self, question: &AskedQuestion) -> String {
        match self.method {
            Method::IdkPrompt => self.fill(PromptName::IdkPrompt, question, &[]),
            Method::Mcot => self.fill(PromptName::Mcot, question, &[]),
            Method::McotFewShot => self.fill(PromptName::McotFewShot, question, &[]),
            Method::TaskAgent => self.fill(PromptName::AgentType, question, &[]),
            Method::ExplicitOption => prompt_text(&self.with_option(question).shown, self.style),
            _ => prompt_text(&question.shown, self.style),
        }
    }

    pub(super) fn fill(&self, name: PromptName, question: &AskedQuestion, own: &[(&str, &str)]) -> String {
        let plain = prompt_text(&question.shown, self.style);
        let options = plain.strip_prefix(&question.shown.question).unwrap_or("").trim_start_matches('\n');
        self.prompts.fill(name, |placeholder| match placeholder {
            "question" => &question.shown.question,
            "options" => options,
            "prompt" => &plain,
            "refusal" => REFUSAL,
            other => own.iter().find(|(name, _)| *name == other).map_or("", |(_, value)| *value),
        })
    }

    /// The chat of a question, ready for the model: its recordings, then `text`.
    pub(super) fn chat(&self, question: &Heard<'_>, text: &str) -> Result<BackendPrompt, EvalError> {
        self.backend.prompt(question, text)
    }
}
