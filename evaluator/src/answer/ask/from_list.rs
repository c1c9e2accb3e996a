//! Answers from a list: the options and the refusals as the only answers, guided or scored as whole texts.

use idk_questions::AskedQuestion;

use crate::answer::ask::MethodRunner;
use crate::answer::options::{FixedText, ScoredText, likeliest};
use crate::backend::{BackendPrompt, Heard, Reply};
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

    /// The prompts with the fixed texts as the only answers. An open question is answered freely.
    pub(super) fn guided(
        &self,
        questions: &[Heard<'_>],
        prompts: Vec<BackendPrompt>,
    ) -> Result<Vec<BackendPrompt>, EvalError> {
        let guided = |(question, prompt): (&Heard<'_>, BackendPrompt)| {
            let texts: Vec<(&str, f64)> =
                self.fixed_texts(question.asked).map(|text| (text.text, text.offset)).collect();
            if texts.is_empty() { Ok(prompt) } else { self.backend.guided(question.asked, prompt, &texts) }
        };
        questions.iter().zip(prompts).map(guided).collect()
    }

    /// The log-probability of every fixed text as the answer.
    pub(super) fn score(
        &self,
        questions: &[Heard<'_>],
        prompts: &[BackendPrompt],
    ) -> Result<Vec<Vec<ScoredText>>, EvalError> {
        let texts: Vec<Vec<&str>> = questions
            .iter()
            .map(|question| self.fixed_texts(question.asked).map(|text| text.text).collect())
            .collect();
        let tokens = self.backend.score(questions, prompts, &texts)?;
        let scored = |(question, tokens): (&Heard<'_>, Vec<Vec<(u32, f32)>>)| {
            let texts = self.fixed_texts(question.asked).zip(tokens);
            texts.map(|(text, tokens)| ScoredText::new(&text, tokens)).collect()
        };
        Ok(questions.iter().zip(tokens).map(scored).collect())
    }

    /// The likeliest fixed text of each question. An open question is answered freely.
    pub(super) fn choose(
        &self,
        questions: &[Heard<'_>],
        prompts: &[BackendPrompt],
        scored: &[Vec<ScoredText>],
    ) -> Result<Vec<Reply>, EvalError> {
        let pairs = questions.iter().zip(prompts);
        let open = pairs.filter(|(question, _)| question.asked.shown.is_open());
        let open: Vec<BackendPrompt> = open.map(|(_, prompt)| prompt.clone()).collect();
        let mut said = self.say(&open, self.config.max_new_tokens)?.into_iter();
        let answer = |scored: &Vec<ScoredText>| match likeliest(scored) {
            Some(best) => {
                let (text, log_prob, tokens) = (best.text.clone(), Some(best.log_prob), Some(best.tokens()));
                Some(Reply { text, log_prob, tokens, letter_log_probs: None })
            }
            None => said.next(),
        };
        let answers: Option<Vec<Reply>> = scored.iter().map(answer).collect();
        answers.ok_or_else(|| EvalError::Misaligned { method: self.method.name().to_owned() })
    }
}
