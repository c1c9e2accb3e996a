//! One answer of a model, and what the model said on the way to it.

use idk_questions::{Judgement, REFUSAL, Verdict};
use serde::{Deserialize, Serialize};

/// A text that a method of several steps made before its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is: `reasoning`, `type`, `transcript`, `caption`; `base` for an answer that a rule replaced; the name of a measure
    /// of doubt for what the model said about its answer.
    pub step: String,
    /// The text.
    pub text: String,
}

impl Step {
    pub(crate) fn new(step: &str, text: &str) -> Self {
        Self { step: step.to_owned(), text: text.to_owned() }
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The question's id.
    pub id: String,
    /// What the model said.
    pub text: String,
    /// What that is; `choice` counts the options as they were shown.
    pub judgement: Judgement,
    /// Log-probability of the text and its end, in nats. `None` where a rule put the refusal.
    pub log_prob: Option<f64>,
    /// Tokens of the text and its end. `None` where a rule put the refusal, and where nobody counted them.
    pub tokens: Option<usize>,
    /// For each option as it was shown: mean log-probability of its tokens (end included) as the answer, in nats. From a
    /// server with `server_log_probs = "letters"` that of its letter. Empty if it was not asked for or is not known, and for
    /// open questions.
    pub option_log_probs: Vec<f64>,
    /// How much likelier the likeliest option is than the likeliest refusal, each as the whole answer: a difference of
    /// log-probabilities, in nats. It is the [`refusal_offset`](crate::EvalConfig::refusal_offset) above which `answer_by = "options"`
    /// refuses; of a guided answer, the offset above which decoding refuses. `None` where refusals are not scored.
    pub refusal_margin: Option<f64>,
    /// What came before the answer, in order.
    pub steps: Vec<Step>,
    /// What a judge model says of it, where one was asked: `judgement` is then its verdict, if that can be read.
    pub by_model: Option<ModelJudgement>,
}

/// Two verdicts on an answer to an open question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelJudgement {
    /// That of a judge model; `None` for a reply that is no verdict.
    pub verdict: Option<Verdict>,
    /// That of the exact rule.
    pub rule: Verdict,
}

impl Answer {
    /// How sure the model was of its answer: the length-normalised log-probability of the option that it chose.
    /// Negative infinity for an answer that chooses none.
    pub fn confidence(&self) -> f64 {
        let chosen = self.judgement.choice.and_then(|choice| self.option_log_probs.get(choice));
        chosen.copied().unwrap_or(f64::NEG_INFINITY)
    }

    /// How likely the model found its whole answer: the log-probability of the text and its end, summed over the tokens.
    /// Negative infinity where no model made the answer.
    pub fn one_pass(&self) -> f64 {
        self.log_prob.unwrap_or(f64::NEG_INFINITY)
    }

    /// The likeliest option (the first of equals) and its length-normalised log-probability: what the model would say
    /// if it had to choose. `None` without option probabilities.
    pub fn likeliest_option(&self) -> Option<(usize, f64)> {
        let options = self.option_log_probs.iter().copied().enumerate();
        options.reduce(|best, next| if next.1.total_cmp(&best.1).is_gt() { next } else { best })
    }

    /// The answer that a rule puts in this one's place: the refusal.
    pub(crate) fn refused(&self) -> Self {
        if self.judgement.verdict == Verdict::Refused {
            return self.clone();
        }
        Self {
            text: REFUSAL.to_owned(),
            judgement: Judgement::REFUSED,
            log_prob: None,
            tokens: None,
            steps: vec![Step::new("base", &self.text)],
            by_model: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use idk_questions::{Question, judge};

    use super::*;

    fn answer(text: &str) -> Answer {
        let choices = ["cat", "dog"].map(str::to_owned).to_vec();
        let question = Question { choices, answer: "dog".to_owned(), ..Question::default() };
        Answer {
            id: "q".to_owned(),
            text: text.to_owned(),
            judgement: judge(text, &question),
            log_prob: Some(-0.5),
            tokens: Some(2),
            option_log_probs: vec![-0.25, -2.0],
            refusal_margin: None,
            steps: Vec::new(),
            by_model: None,
        }
    }

    #[test]
    fn an_answer_that_chooses_no_option_is_the_least_sure() {
        assert_eq!(answer("what?").confidence(), f64::NEG_INFINITY);
        assert_eq!(answer("I don't know").confidence(), f64::NEG_INFINITY);
        assert_eq!(answer("dog").confidence(), -2.0);
    }

    #[test]
    fn the_likeliest_option_need_not_be_the_one_that_was_said() {
        assert_eq!(answer("dog").likeliest_option(), Some((0, -0.25)));
        let tie = Answer { option_log_probs: vec![-1.0, -1.0], ..answer("dog") };
        assert_eq!(tie.likeliest_option(), Some((0, -1.0)));
        assert_eq!(Answer { option_log_probs: Vec::new(), ..tie }.likeliest_option(), None);
    }

    #[test]
    fn a_rule_keeps_the_answer_that_it_replaces_and_leaves_refusals_alone() {
        let replaced = answer("dog").refused();
        assert_eq!((replaced.text.as_str(), replaced.judgement), (REFUSAL, Judgement::REFUSED));
        assert_eq!((replaced.log_prob, &replaced.steps[0]), (None, &Step::new("base", "dog")));
        assert_eq!(answer("I don't know").refused(), answer("I don't know"));
    }
}
