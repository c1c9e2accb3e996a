//! How each method gets its answers: one pass, or several in which a text of the model becomes part of the next prompt.
//!
//! The recordings of a batch are heard once, before; every pass uses the same features.

pub(crate) mod explicit_option;
mod from_list;
mod length;
pub(crate) mod own_answer;
mod prompt;
pub(crate) mod single;
mod states;
mod task_agent;
#[cfg(test)]
mod tests;
mod think;

use idk_model::{Clip, SamplingConfig};
use idk_questions::{AskedQuestion, Judgement, PromptStyle};

use crate::answer::ask::own_answer::OwnAnswers;
use crate::answer::options::{ScoredText, refusal_margin};
use crate::answer::prompts::Prompts;
use crate::answer::record::Answer;
use crate::backend::{Backend, BackendPrompt, Heard, Reply};
use crate::config::{AnswerBy, EvalConfig};
use crate::error::EvalError;
use crate::method::Method;

/// A question and its recordings.
pub(crate) type Item<'a> = (&'a AskedQuestion, &'a [Clip]);

/// A model in front of a test set: who answers, and how.
#[derive(Clone, Copy)]
pub(crate) struct MethodRunner<'a> {
    pub(crate) backend: &'a Backend<'a>,
    pub(crate) method: Method,
    pub(crate) prompts: &'a Prompts,
    pub(crate) style: PromptStyle,
    /// What may be answered instead of an option where the answer is chosen.
    pub(crate) refusals: &'a [String],
    /// Also computes the log-probability of every option, where the backend can: one more pass over each prompt.
    pub(crate) with_options: bool,
    /// What the model is asked about, for methods that ask about its own answers.
    pub(crate) own_answers: Option<&'a OwnAnswers>,
    pub(crate) config: &'a EvalConfig,
}

impl MethodRunner<'_> {
    /// Answers a batch of questions, in their order.
    ///
    /// # Errors
    /// [`EvalError::Model`], [`EvalError::Server`].
    pub(crate) fn answer(&self, items: &[Item<'_>]) -> Result<Vec<Answer>, EvalError> {
        let heard = self.backend.hear(items)?;
        let questions = heard.as_slice();
        if self.method.asks_about_answer() {
            return self.ask_about(questions);
        }
        let (prompts, steps) = match self.method {
            Method::Mcot | Method::McotFewShot => self.think(questions)?,
            Method::TaskAgent => self.note(questions)?,
            _ => {
                let prompt = |question: &Heard<'_>| self.chat(question, &self.opening(question.asked));
                let prompts = questions.iter().map(prompt).collect::<Result<Vec<_>, _>>()?;
                (prompts, vec![Vec::new(); questions.len()])
            }
        };
        let answer_by = self.config.answer_by;
        let with_options = self.with_options && self.backend.scores_texts();
        let scored = match answer_by == AnswerBy::Options || with_options {
            true => self.score(questions, &prompts)?,
            false => vec![Vec::new(); questions.len()],
        };
        let said = match answer_by {
            AnswerBy::Text => self.say(&prompts, self.config.max_new_tokens)?,
            AnswerBy::Options => self.choose(questions, &prompts, &scored)?,
            AnswerBy::Guided => self.say(&self.guided(questions, prompts)?, self.config.max_new_tokens)?,
        };
        let answers = questions.iter().zip(said).zip(steps).zip(scored);
        Ok(answers
            .map(|(((question, reply), steps), scored)| {
                let Reply { text, log_prob, tokens, letter_log_probs } = reply;
                let options = if with_options { question.asked.shown.choices.len() } else { 0 };
                let letters = letter_log_probs.filter(|_| self.with_options);
                let scores = || scored[..options].iter().map(ScoredText::mean_log_prob).collect();
                Answer {
                    id: question.asked.id().to_owned(),
                    judgement: self.judge(question.asked, &text),
                    text,
                    log_prob,
                    tokens,
                    option_log_probs: letters.unwrap_or_else(scores),
                    refusal_margin: if with_options { refusal_margin(&scored, answer_by) } else { None },
                    steps,
                    by_model: None,
                }
            })
            .collect())
    }

    /// What an answer of this model is.
    pub(crate) fn judge(&self, question: &AskedQuestion, text: &str) -> Judgement {
        match self.is_from_list(question) {
            true => question.judge_chosen(text),
            false if self.method == Method::ExplicitOption => self.judge_with_option(question, text),
            false => question.judge(text),
        }
    }

    /// What is added to the log-probability of a refusal, in nats. The base model is what others are compared with.
    pub(crate) fn refusal_offset(&self) -> f64 {
        if self.method == Method::Base { 0.0 } else { self.config.refusal_offset }
    }

    /// What the model says to each prompt.
    fn say(&self, prompts: &[BackendPrompt], max_new_tokens: usize) -> Result<Vec<Reply>, EvalError> {
        let decoding = SamplingConfig { max_new_tokens, ..self.config.decoding() };
        // Greedy decoding draws nothing: the seed only says that there is one answer.
        let seeds = vec![vec![0]; prompts.len()];
        let said: Vec<Reply> = self.backend.say(prompts, &decoding, &seeds)?.into_iter().flatten().collect();
        if said.len() == prompts.len() {
            return Ok(said);
        }
        Err(EvalError::Misaligned { method: self.method.name().to_owned() })
    }
}
