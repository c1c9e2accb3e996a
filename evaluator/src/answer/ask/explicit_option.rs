//! One more option: that the question cannot be answered. Who chooses it refuses.

use std::borrow::Cow;

use idk_questions::{AskedQuestion, Judgement};

use crate::answer::ask::MethodRunner;
use crate::answer::prompts::Prompts;
use crate::method::Method;

/// What a method may answer instead of an option where the answer comes from a list: the option that is added, or the
/// `refusals` of the others.
pub(crate) fn refusals_of<'a>(
    method: Method,
    prompts: &Prompts,
    refusals: &'a [String],
) -> Cow<'a, [String]> {
    match method {
        Method::ExplicitOption => Cow::Owned(vec![prompts.explicit_option()]),
        _ => Cow::Borrowed(refusals),
    }
}

impl MethodRunner<'_> {
    /// The question with the option, last, so that every other option keeps its letter. An open question stays as it is.
    pub(super) fn with_option(&self, question: &AskedQuestion) -> AskedQuestion {
        let mut extended = question.clone();
        let option = self.prompts.explicit_option();
        if !extended.shown.is_open() && !extended.shown.choices.contains(&option) {
            extended.shown.choices.push(option);
        }
        extended
    }

    /// What an answer to the question with the option is.
    pub(super) fn judge_with_option(&self, question: &AskedQuestion, text: &str) -> Judgement {
        let judgement = self.with_option(question).judge(text);
        match judgement.choice {
            Some(choice) if choice >= question.shown.choices.len() => Judgement::REFUSED,
            _ => judgement,
        }
    }
}
