//! The three things that an answer can be.

use serde::{Deserialize, Serialize};

use crate::question::Question;

/// What an answer is: exactly one of the three.
///
/// To a question without a right answer a refusal is the right reply ([`crate::metrics::Abstention`]); its verdict stays
/// `refused`, and every other reply is `wrong`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It says the right thing.
    Correct,
    /// It says something else, or nothing that can be read.
    Wrong,
    /// It says that the model does not know.
    Refused,
}

/// A verdict with what led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The option that the answer names, as an index into `Question::choices`; `None` for refusals in words, unreadable
    /// answers and open questions.
    pub choice: Option<usize>,
    /// The answer could not be read, or names several options. It then counts as wrong.
    pub unparsed: bool,
}

impl Judgement {
    /// A refusal.
    pub const REFUSED: Self = Self { verdict: Verdict::Refused, choice: None, unparsed: false };
    /// An answer that cannot be read.
    pub const UNPARSED: Self = Self { verdict: Verdict::Wrong, choice: None, unparsed: true };

    /// The option `choice`: right, wrong, or the one that refuses.
    pub(crate) fn of_choice(choice: usize, question: &Question) -> Self {
        let text = question.choices.get(choice).map(String::as_str).unwrap_or_default();
        let verdict = match () {
            () if !text.is_empty() && text == question.refusal_option => Verdict::Refused,
            () if question.is_answerable() && text == question.answer => Verdict::Correct,
            () => Verdict::Wrong,
        };
        Self { verdict, choice: Some(choice), unparsed: false }
    }
}

/// A verdict from elsewhere; it counts as read.
impl From<Verdict> for Judgement {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, choice: None, unparsed: false }
    }
}
