//! The base model asked about its own answer: P(True), self-verification, a confidence in words.

use std::collections::BTreeMap;

use idk_model::Message;
use idk_questions::{AskedQuestion, prompt_text};
use serde::Serialize;

use crate::answer::ask::MethodRunner;
use crate::answer::prompts::PromptName;
use crate::answer::record::Answer;
use crate::backend::{AnswerTokens, BackendPrompt, Heard, Reply};
use crate::error::EvalError;
use crate::method::Method;

/// Most tokens of a confidence in words.
pub(super) const REPLY_TOKENS: usize = 16;

/// What the model is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct OwnAnswer {
    /// Its greedy answer.
    pub(crate) answer: String,
    /// Its samples, for a method that shows them.
    pub(crate) samples: Vec<String>,
}

/// By the ids of the questions.
pub(crate) type OwnAnswers = BTreeMap<String, OwnAnswer>;

/// The only replies that a method compares, the approving one first.
fn replies(method: Method) -> Option<[&'static str; 2]> {
    match method {
        Method::PTrue => Some(["True", "False"]),
        Method::SelfVerification => Some(["Yes", "No"]),
        _ => None,
    }
}

impl MethodRunner<'_> {
    /// What the model is asked about for a question.
    pub(crate) fn own_answer(&self, question: &AskedQuestion) -> Option<&OwnAnswer> {
        self.own_answers.and_then(|answers| answers.get(question.id()))
    }

    /// What the model says about its answers. Where two replies are compared, `option_log_probs` are those of both.
    pub(super) fn ask_about(&self, questions: &[Heard<'_>]) -> Result<Vec<Answer>, EvalError> {
        let prompts = questions.iter().map(|question| self.about(question)).collect::<Result<Vec<_>, _>>()?;
        let replies = match replies(self.method) {
            Some(texts) => self.compare_replies(questions, &prompts, texts)?,
            None => self.say(&prompts, REPLY_TOKENS)?.into_iter().map(|reply| (reply, Vec::new())).collect(),
        };
        let answer = |(question, (reply, log_probs)): (&Heard<'_>, (Reply, Vec<f64>))| Answer {
            id: question.asked.id().to_owned(),
            judgement: self.judge(question.asked, &reply.text),
            text: reply.text,
            log_prob: reply.log_prob,
            tokens: reply.tokens,
            option_log_probs: log_probs,
            refusal_margin: None,
            steps: Vec::new(),
            by_model: None,
        };
        Ok(questions.iter().zip(replies).map(answer).collect())
    }

    /// The likelier of two replies to each prompt, and the log-probabilities of both.
    fn compare_replies(
        &self,
        questions: &[Heard<'_>],
        prompts: &[BackendPrompt],
        texts: [&str; 2],
    ) -> Result<Vec<(Reply, Vec<f64>)>, EvalError> {
        let scored = self.backend.score(questions, prompts, &vec![texts.to_vec(); questions.len()])?;
        let likelier = |tokens: Vec<AnswerTokens>| {
            let sum = |tokens: &AnswerTokens| tokens.iter().map(|&(_, value)| f64::from(value)).sum::<f64>();
            let log_probs: Vec<f64> = tokens.iter().map(sum).collect();
            let best = usize::from(log_probs[1] > log_probs[0]);
            let (text, tokens) = (texts[best].to_owned(), tokens[best].len());
            let (log_prob, tokens) = (Some(log_probs[best]), Some(tokens));
            (Reply { text, log_prob, tokens, letter_log_probs: None }, log_probs)
        };
        Ok(scored.into_iter().map(likelier).collect())
    }

    /// The prompt of a question about its answer.
    fn about(&self, question: &Heard<'_>) -> Result<BackendPrompt, EvalError> {
        let missing = || EvalError::Misaligned { method: self.method.name().to_owned() };
        let own = self.own_answer(question.asked).ok_or_else(missing)?;
        if self.method == Method::PTrue {
            let text = |samples: &str| self.about_text(question.asked, &own.answer, samples);
            return self.fitting(question, &own.samples.join("\n"), text);
        }
        let turns = self.turns(question.asked, &own.answer);
        self.backend.chat(question, turns.to_vec())
    }

    /// The question, the model's answer, and what it is asked about that.
    pub(super) fn turns(&self, question: &AskedQuestion, answer: &str) -> [Message; 3] {
        let asked = prompt_text(&question.shown, self.style);
        [
            Message::user(question.shown.audio.len(), &asked),
            Message::assistant(answer),
            Message::user(0, &self.about_text(question, answer, "")),
        ]
    }

    /// The text that asks about an answer.
    pub(super) fn about_text(&self, question: &AskedQuestion, answer: &str, samples: &str) -> String {
        let name = match self.method {
            Method::PTrue => PromptName::PTrue,
            Method::SelfVerification => PromptName::SelfVerification,
            _ => PromptName::VerbalisedConfidence,
        };
        self.fill(name, question, &[("answer", answer), ("samples", samples)])
    }
}
