//! One question about one or more audio clips.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One question. The fields are those of MMAU; what else a row holds is kept in `extra`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// Unique in its set.
    pub id: String,
    /// The clips, in the order in which the model hears them; resolved against the folder of the question set.
    pub audio: Vec<PathBuf>,
    /// The question, without its options.
    pub question: String,
    /// The options, without letters; empty for an open question.
    pub choices: Vec<String>,
    /// The right answer; with options, the text of exactly one of them. Empty if the question has none.
    pub answer: String,
    /// The kind of a question without a right answer, such as `absent`; empty where its set names none. `None` if the
    /// question has a right answer.
    pub unanswerable: Option<String>,
    /// The option that says that no answer is right, such as `None of the above`: to choose it is to refuse. Empty if there
    /// is none.
    pub refusal_option: String,
    /// Other right answers to an open question.
    pub aliases: Vec<String>,
    /// How replies to an open question are compared with its answers.
    pub answer_match: AnswerMatch,
    /// The modality: `sound`, `music`, `speech`, or another name.
    pub task: String,
    /// MMAU's category; several are joined with `, `.
    pub category: String,
    /// MMAU's `sub-category`; the groups that the group refuser and the AUROC within groups use.
    pub sub_category: String,
    /// `easy`, `medium`, `hard`, or empty.
    pub difficulty: String,
    /// The data set that the clip is from.
    pub dataset: String,
    /// The split, such as `test-mini`.
    pub split: String,
    /// Keys of the row that are not above, as they were.
    pub extra: Map<String, Value>,
}

/// How a reply to an open question must hold an answer. Case, spaces and punctuation around words never matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerMatch {
    /// As whole words somewhere in the reply.
    #[default]
    Contains,
    /// As the whole reply.
    Exact,
}

impl Question {
    /// The place of the right answer among the options; `None` for an open question.
    #[must_use]
    pub fn answer_index(&self) -> Option<usize> {
        self.choices.iter().position(|choice| *choice == self.answer)
    }

    /// Whether the question has no options.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.choices.is_empty()
    }

    /// Whether the question has a right answer. If not, refusing is what is right, and any other reply is wrong.
    #[must_use]
    pub fn is_answerable(&self) -> bool {
        self.unanswerable.is_none()
    }

    /// Every right answer to an open question: the answer, then its aliases; none if no answer is right.
    pub fn right_answers(&self) -> impl Iterator<Item = &str> {
        let answer = Some(&self.answer).filter(|_| self.is_answerable());
        answer.into_iter().chain(&self.aliases).map(String::as_str)
    }
}

/// A row of a question set that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The row's id, empty where it has none.
    pub id: String,
    /// The line of a JSON Lines file or of a table, or the number of the item in an array, from 1.
    pub line: usize,
    /// One of the codes of [`crate::reason`].
    pub reason: String,
    /// What exactly is wrong, for people.
    pub detail: String,
}

/// The questions of a file, and the rows that are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QuestionSet {
    /// The usable questions, in the order of the file.
    pub questions: Vec<Question>,
    /// The other rows, in the order of the file.
    pub rejected: Vec<Rejection>,
}
