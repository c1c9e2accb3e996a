//! The prompts of the training-free methods: templates with defaults, each replaced by a file of one's own.

pub(crate) mod template;

use std::collections::BTreeMap;
use std::path::Path;

use crate::answer::prompts::template::PromptTemplate;
use crate::config::PromptFiles;
use crate::error::EvalError;
use crate::method::Method;

/// One of the prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PromptName {
    IdkPrompt,
    Mcot,
    McotFewShot,
    McotAnswer,
    AgentType,
    AgentTranscript,
    AgentCaption,
    AgentAnswer,
    PTrue,
    VerbalisedConfidence,
    SelfVerification,
    ExplicitOption,
}

/// Placeholders of every prompt.
const COMMON: [&str; 4] = ["question", "options", "prompt", "refusal"];

impl PromptName {
    const ALL: [Self; 12] = [
        Self::IdkPrompt,
        Self::Mcot,
        Self::McotFewShot,
        Self::McotAnswer,
        Self::AgentType,
        Self::AgentTranscript,
        Self::AgentCaption,
        Self::AgentAnswer,
        Self::PTrue,
        Self::VerbalisedConfidence,
        Self::SelfVerification,
        Self::ExplicitOption,
    ];

    /// The name of the default's file, and in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IdkPrompt => "idk-prompt",
            Self::Mcot => "mcot",
            Self::McotFewShot => "mcot-few-shot",
            Self::McotAnswer => "mcot-answer",
            Self::AgentType => "agent-type",
            Self::AgentTranscript => "agent-transcript",
            Self::AgentCaption => "agent-caption",
            Self::AgentAnswer => "agent-answer",
            Self::PTrue => "p-true",
            Self::VerbalisedConfidence => "verbalised-confidence",
            Self::SelfVerification => "self-verification",
            Self::ExplicitOption => "explicit-option",
        }
    }

    fn default_text(self) -> &'static str {
        match self {
            Self::IdkPrompt => include_str!("../../../prompts/idk-prompt.txt"),
            Self::Mcot => include_str!("../../../prompts/mcot.txt"),
            Self::McotFewShot => include_str!("../../../prompts/mcot-few-shot.txt"),
            Self::McotAnswer => include_str!("../../../prompts/mcot-answer.txt"),
            Self::AgentType => include_str!("../../../prompts/agent-type.txt"),
            Self::AgentTranscript => include_str!("../../../prompts/agent-transcript.txt"),
            Self::AgentCaption => include_str!("../../../prompts/agent-caption.txt"),
            Self::AgentAnswer => include_str!("../../../prompts/agent-answer.txt"),
            Self::PTrue => include_str!("../../../prompts/p-true.txt"),
            Self::VerbalisedConfidence => include_str!("../../../prompts/verbalised-confidence.txt"),
            Self::SelfVerification => include_str!("../../../prompts/self-verification.txt"),
            Self::ExplicitOption => include_str!("../../../prompts/explicit-option.txt"),
        }
    }

    fn file(self, files: &PromptFiles) -> Option<&Path> {
        let file = match self {
            Self::IdkPrompt => &files.idk_prompt,
            Self::Mcot => &files.mcot,
            Self::McotFewShot => &files.mcot_few_shot,
            Self::McotAnswer => &files.mcot_answer,
            Self::AgentType => &files.agent_type,
            Self::AgentTranscript => &files.agent_transcript,
            Self::AgentCaption => &files.agent_caption,
            Self::AgentAnswer => &files.agent_answer,
            Self::PTrue => &files.p_true,
            Self::VerbalisedConfidence => &files.verbalised_confidence,
            Self::SelfVerification => &files.self_verification,
            Self::ExplicitOption => &files.explicit_option,
        };
        file.as_deref()
    }

    fn placeholders(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Self::McotAnswer => &["reasoning"],
            Self::AgentTranscript | Self::AgentCaption => &["type"],
            Self::AgentAnswer => &["type", "content"],
            Self::PTrue => &["answer", "samples"],
            Self::VerbalisedConfidence | Self::SelfVerification => &["answer"],
            // One text for all questions.
            Self::ExplicitOption => return Vec::new(),
            _ => &[],
        };
        [&COMMON[..], own].concat()
    }

    /// The prompts that a method uses.
    pub(crate) fn of(method: Method) -> &'static [Self] {
        match method {
            Method::IdkPrompt => &[Self::IdkPrompt],
            Method::Mcot => &[Self::Mcot, Self::McotAnswer],
            Method::McotFewShot => &[Self::McotFewShot, Self::McotAnswer],
            Method::TaskAgent => {
                &[Self::AgentType, Self::AgentTranscript, Self::AgentCaption, Self::AgentAnswer]
            }
            Method::PTrue => &[Self::PTrue],
            Method::VerbalisedConfidence => &[Self::VerbalisedConfidence],
            Method::SelfVerification => &[Self::SelfVerification],
            Method::ExplicitOption => &[Self::ExplicitOption],
            _ => &[],
        }
    }
}

impl PromptFiles {
    /// Reads the prompts that are named, and forgets them.
    ///
    /// # Errors
    /// [`EvalError::Common`] for a file that cannot be read, [`EvalError::Template`].
    pub fn check(&self) -> Result<(), EvalError> {
        Prompts::load(self).map(|_| ())
    }
}

/// All prompts, read and checked.
#[derive(Clone, Debug)]
pub(crate) struct Prompts(BTreeMap<PromptName, PromptTemplate>);

impl Prompts {
    /// Reads the files that are named, and takes the defaults for the others.
    ///
    /// # Errors
    /// [`EvalError::Common`] for a file that cannot be read, [`EvalError::Template`].
    pub(crate) fn load(files: &PromptFiles) -> Result<Self, EvalError> {
        let mut templates = BTreeMap::new();
        for name in PromptName::ALL {
            let template = match name.file(files) {
                Some(path) => {
                    PromptTemplate::parse(&idk_common::fs::read_to_string(path)?, &name.placeholders(), path)?
                }
                None => {
                    PromptTemplate::parse(name.default_text(), &name.placeholders(), Path::new(name.name()))?
                }
            };
            templates.insert(name, template);
        }
        Ok(Self(templates))
    }

    /// Fills a prompt; `value` gives the text of each placeholder.
    pub(crate) fn fill<'v>(&self, name: PromptName, value: impl Fn(&str) -> &'v str) -> String {
        self.0.get(&name).map(|template| template.fill(value)).unwrap_or_default()
    }

    /// The option that `explicit-option` adds to every question.
    pub(crate) fn explicit_option(&self) -> String {
        self.fill(PromptName::ExplicitOption, |_| "")
    }

    /// Name and SHA-256 of the prompts of a method.
    pub(crate) fn hashes(&self, method: Method) -> BTreeMap<&'static str, &str> {
        let hash = |name: &PromptName| Some((name.name(), self.0.get(name)?.sha256()));
        PromptName::of(method).iter().filter_map(hash).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_valid_template_and_hashes_name_what_a_method_uses() {
        let prompts = Prompts::load(&PromptFiles::default()).unwrap();
        assert_eq!(prompts.hashes(Method::Mcot).keys().copied().collect::<Vec<_>>(), ["mcot", "mcot-answer"]);
        assert_eq!(prompts.hashes(Method::TaskAgent).len(), 4);
        assert!(prompts.hashes(Method::Adapter).is_empty());
    }

    #[test]
    fn a_file_of_ones_own_replaces_the_default_and_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.txt");
        idk_common::fs::write_atomic(&path, b"{question} Or say {refusal}!").unwrap();
        let files = PromptFiles { idk_prompt: Some(path.clone()), ..PromptFiles::default() };
        let prompts = Prompts::load(&files).unwrap();
        let filled = prompts.fill(PromptName::IdkPrompt, |name| if name == "question" { "Q?" } else { "no" });
        assert_eq!(filled, "Q? Or say no!");
        let default = Prompts::load(&PromptFiles::default()).unwrap();
        assert_ne!(prompts.hashes(Method::IdkPrompt), default.hashes(Method::IdkPrompt));
        assert_eq!(files.without_folders().idk_prompt, Some("mine.txt".into()));
        idk_common::fs::write_atomic(&path, b"{reasoning}").unwrap();
        let error = Prompts::load(&files).unwrap_err().to_string();
        assert!(error.contains("mine.txt") && error.contains("{reasoning}"), "{error}");
    }
}
