//! The option that says that no answer is right.

use serde::{Deserialize, Serialize};

use super::Fault;
use crate::judge::normalise;
use crate::question::Question;
use crate::reason;

/// What happens to an option such as `None of the above` in sets that have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RefusalOption {
    /// It is shown; to choose it is to refuse.
    #[default]
    Keep,
    /// It is not shown: who refuses does so in words.
    Drop,
}

impl RefusalOption {
    /// The question, whose `refusal_option` is known, with that option or without. Where it is the answer, no other one is right.
    pub(super) fn apply(self, mut question: Question) -> Result<Question, Fault> {
        if question.refusal_option.is_empty() {
            return Ok(question);
        }
        let wanted = normalise(&question.refusal_option);
        let Some(place) = question.choices.iter().position(|choice| normalise(choice) == wanted) else {
            let detail =
                format!("`refusal_option` is `{}`, which is none of the options", question.refusal_option);
            return Err((reason::BAD_FIELD, detail));
        };
        if question.is_answerable() && normalise(&question.answer) == wanted {
            question.unanswerable = Some(String::new());
        }
        if !question.is_answerable() {
            question.answer.clear();
        }
        match self {
            Self::Keep => question.refusal_option.clone_from(&question.choices[place]),
            Self::Drop => {
                question.choices.remove(place);
                question.refusal_option.clear();
                if question.choices.len() < 2 {
                    return Err((
                        reason::TOO_FEW_CHOICES,
                        "one option without the one that refuses".to_owned(),
                    ));
                }
            }
        }
        Ok(question)
    }
}
