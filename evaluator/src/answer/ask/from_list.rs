//! Answers from a list: the options and the refusals as the only answers, guided or scored as whole texts.

use std::sync::Arc;

use idk_model::{Message, Prompt};
use idk_questions::AskedQuestion;

use crate::answer::ask::{Heard, MethodRunner, Reply};
use crate::answer::options::{FixedText, ScoredText, likeliest};
use crate::error::EvalError;

impl MethodRunner<'_> {
    /// Whether the answer is one of fixed texts.
    pub(super) fn is_from_list(&self, question: &AskedQuestion) -> bool {
        self.config.answer_by.is_from_list() && !question.shown.is_open()
    }

    /// The texts that are scored as the answer, and the only answers where these come from a list: the options, then the
    /// refusals. None for an open question.
    pub(super) fn fixed_texts<'q>(
        &'q self,
        question: &'q AskedQuestion,
    ) -> impl Iterator<Item = FixedText<'q>> {
        let (options, offset) = (&question.shown.choices, self.refusal_offset());
        let may_refuse = !question.shown.is_open();
        // An option that reads as a refusal is an option.
        let refusals = self.refusals.iter().filter(move |text| may_refuse && !options.contains(text));
        let options = options.iter().map(|text| FixedText { text, is_refusal: false, offset: 0.0 });
        options.chain(refusals.map(move |text| FixedText { text, is_refusal: true, offset }))
    }

    /// Tokens of a text as the whole answer.
    pub(super) fn answer_ids(&self, question: &AskedQuestion, text: &str) -> Result<Vec<u32>, EvalError> {
        Ok(self.answerer.lalm.tokenizer.answer_ids(&self.answer_chat(question), text)?)
    }

    /// A chat that an answer follows; what stands in it changes no token of the answer.
    pub(super) fn answer_chat(&self, question: &AskedQuestion) -> [Message; 1] {
        [Message::user(question.shown.audio.len(), &question.shown.question)]
    }

    /// The prompts with the fixed texts as the only answers. An open question is answered freely.
    pub(super) fn guided(
        &self,
        questions: &[Heard<'_>],
        prompts: Vec<Prompt>,
    ) -> Result<Vec<Prompt>, EvalError> {
        let guided = |(question, prompt): (&Heard<'_>, Prompt)| {
            if !self.is_from_list(question.asked) {
                return Ok(prompt);
            }
            let texts = self.fixed_texts(question.asked).map(|text| (text.text, text.offset));
            let guide = self.answerer.guide(&self.answer_chat(question.asked), texts)?;
            Ok(Prompt { guide: Some(Arc::new(guide)), ..prompt })
        };
        questions.iter().zip(prompts).map(guided).collect()
    }

    /// The log-probability of every fixed text as the answer.
    pub(super) fn score(
        &self,
        questions: &[Heard<'_>],
        prompts: &[Prompt],
    ) -> Result<Vec<Vec<ScoredText>>, EvalError> {
        let ids = |question: &Heard<'_>| -> Result<Vec<Vec<u32>>, EvalError> {
            self.fixed_texts(question.asked).map(|text| self.answer_ids(question.asked, text.text)).collect()
        };
        let ids = questions.iter().map(ids).collect::<Result<Vec<_>, _>>()?;
        let log_probs = self.answerer.log_probs(prompts, &ids)?;
        let mut scored = Vec::with_capacity(questions.len());
        for ((question, ids), log_probs) in questions.iter().zip(&ids).zip(&log_probs) {
            let texts = self.fixed_texts(question.asked).zip(ids).zip(log_probs);
            scored
                .push(texts.map(|((text, ids), log_probs)| ScoredText::new(&text, ids, log_probs)).collect());
        }
        Ok(scored)
    }

    /// The likeliest fixed text of each question. An open question is answered freely.
    pub(super) fn choose(
        &self,
        questions: &[Heard<'_>],
        prompts: &[Prompt],
        scored: &[Vec<ScoredText>],
    ) -> Result<Vec<Reply>, EvalError> {
        let pairs = questions.iter().zip(prompts);
        let open = pairs.filter(|(question, _)| question.asked.shown.is_open());
        let open: Vec<Prompt> = open.map(|(_, prompt)| prompt.clone()).collect();
        let mut said = self.say(&open, self.config.max_new_tokens)?.into_iter();
        let answer = |scored: &Vec<ScoredText>| match likeliest(scored) {
            Some(best) => {
                let (text, log_prob, tokens) = (best.text.clone(), best.log_prob, best.tokens());
                Some(Reply { text, log_prob, tokens })
            }
            None => said.next(),
        };
        let answers: Option<Vec<Reply>> = scored.iter().map(answer).collect();
        answers.ok_or_else(|| EvalError::Misaligned { method: self.method.name().to_owned() })
    }
}
