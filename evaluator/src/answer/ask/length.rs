//! How many positions a question takes, and a note cut to what is left of them.

use idk_model::{Clip, Message};
use idk_questions::AskedQuestion;

use crate::answer::ask::own_answer::REPLY_TOKENS;
use crate::answer::ask::task_agent::TYPE_TOKENS;
use crate::answer::ask::{Item, MethodRunner};
use crate::answer::prompts::PromptName;
use crate::answer::record::Answer;
use crate::backend::{Backend, BackendPrompt, Heard};
use crate::error::EvalError;
use crate::method::Method;

impl MethodRunner<'_> {
    /// Tokens of the first prompt; 0 where batches need not be of similar length.
    pub(crate) fn opening_tokens(&self, (question, clips): Item<'_>) -> Result<usize, EvalError> {
        match self.backend {
            Backend::Local(_) => self.tokens(clips, &self.opening(question)),
            Backend::Served(_) => Ok(0),
        }
    }

    /// Tokens of the prompt of a text; 0 without a tokenizer.
    pub(super) fn tokens(&self, clips: &[Clip], text: &str) -> Result<usize, EvalError> {
        self.tokens_of(clips, &[Message::user(clips.len(), text)])
    }

    /// Tokens of the prompt of several turns; 0 without a tokenizer.
    fn tokens_of(&self, clips: &[Clip], turns: &[Message]) -> Result<usize, EvalError> {
        Ok(self.backend.prompt_tokens(clips, turns)?.unwrap_or_default())
    }

    /// The most positions that the question takes: every prompt without the texts that the model has yet to make, and
    /// what may follow it. Those texts are cut to what is left.
    pub(crate) fn positions(&self, (question, clips): Item<'_>) -> Result<usize, EvalError> {
        let answer = self.longest_answer(question)?;
        let thought = self.config.max_step_tokens;
        let agent = [("type", "speech"), ("content", "")];
        let mut prompts = vec![(self.opening(question), answer)];
        match self.method {
            Method::Mcot | Method::McotFewShot => {
                prompts[0].1 = thought;
                prompts.push((self.fill(PromptName::McotAnswer, question, &[("reasoning", "")]), answer));
            }
            Method::TaskAgent => {
                prompts[0].1 = TYPE_TOKENS;
                for name in [PromptName::AgentTranscript, PromptName::AgentCaption] {
                    prompts.push((self.fill(name, question, &agent), thought));
                }
                prompts.push((self.fill(PromptName::AgentAnswer, question, &agent), answer));
            }
            _ => {}
        }
        let mut most = 0;
        if self.method.asks_about_answer() {
            let about = match self.method {
                Method::PTrue => self.tokens(clips, &self.about_text(question, "", ""))?,
                _ => self.tokens_of(clips, &self.turns(question, ""))?,
            };
            // The model's own answer is not known yet.
            most = about + self.config.max_new_tokens + answer.max(REPLY_TOKENS);
        }
        for (text, new_tokens) in prompts {
            most = most.max(self.tokens(clips, &text)? + new_tokens);
        }
        Ok(most)
    }

    /// Counts the tokens of an answer that was stored without them, where there is a tokenizer.
    pub(crate) fn count_tokens(
        &self,
        question: &AskedQuestion,
        answer: &mut Answer,
    ) -> Result<(), EvalError> {
        if answer.tokens.is_none() {
            answer.tokens = self.backend.answer_ids(question, &answer.text)?.map(|ids| ids.len());
        }
        Ok(())
    }

    /// Tokens of the longest answer that is generated or scored.
    pub(super) fn longest_answer(&self, question: &AskedQuestion) -> Result<usize, EvalError> {
        let mut longest = self.config.max_new_tokens;
        for text in self.fixed_texts(question) {
            longest = longest.max(self.backend.answer_ids(question, text.text)?.map_or(0, |ids| ids.len()));
        }
        Ok(longest)
    }

    /// The last prompt with as much of the model's own `note` as the model's positions hold; all of it where they are not
    /// known.
    pub(super) fn fitting(
        &self,
        question: &Heard<'_>,
        note: &str,
        text: impl Fn(&str) -> String,
    ) -> Result<BackendPrompt, EvalError> {
        let answer = self.longest_answer(question.asked)?;
        let positions = self.backend.lalm().map(|lalm| lalm.config.text.max_position_embeddings);
        let mut chars = note.chars().count();
        loop {
            let kept: String = note.chars().take(chars).collect();
            let prompt = self.chat(question, &text(&kept))?;
            let fits = match (positions, prompt.tokens()) {
                (Some(most), Some(tokens)) => tokens + answer <= most,
                _ => true,
            };
            if chars == 0 || fits {
                return Ok(prompt);
            }
            chars = chars * 3 / 4;
        }
    }
}
