//! `questions.jsonl`: the questions as asked, with everything that labelling needs, so that it runs without a model.
//! `samples.jsonl` has the samples in the same order.

use std::path::Path;

use idk_common::chat::Message;
use idk_common::json::read_jsonl;
use idk_questions::{AskedQuestion, Question};
use serde::{Deserialize, Serialize};

use crate::error::BuildError;
use crate::format::files::{QUESTIONS_FILE, relative_to};
use crate::format::recordings::locate;

/// The rows of `questions.jsonl`, each recording's path joined to `dir`, so that it can be opened from anywhere that `dir`
/// can.
///
/// # Errors
/// [`BuildError::Common`] naming file and line, [`BuildError::Dataset`] for a row whose audio tags and recordings do not
/// match.
pub fn read_asked(dir: &Path) -> Result<Vec<QuestionRow>, BuildError> {
    let path = dir.join(QUESTIONS_FILE);
    let mut rows: Vec<QuestionRow> = read_jsonl(&path)?;
    for row in &mut rows {
        locate(dir, &path, &row.id, &[row.user()], &mut row.audios)?;
    }
    Ok(rows)
}

/// One row of `questions.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionRow {
    /// The question's id.
    pub id: String,
    /// What the user says: one `<audio>` tag for each recording, the question, and the options as they were shown.
    pub message: String,
    /// The recordings, relative to the dataset folder.
    pub audios: Vec<String>,
    /// The right answer; with options, the text of one of them. Empty if the question has none.
    pub answer: String,
    /// The kind of a question without a right answer, empty where its set names none; not written if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswerable: Option<String>,
    /// The option that refuses; not written if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub refusal_option: String,
    /// The options in the order in which they were shown; empty for an open question.
    pub choices: Vec<String>,
    /// The modality.
    pub task: String,
    /// The question's group within its modality.
    pub sub_category: String,
    /// `easy`, `medium`, `hard`, or empty.
    pub difficulty: String,
    /// Questions of one group are never on both sides of the validation split: the names of the recordings, or the
    /// question's text where there are none.
    pub group: String,
}

impl QuestionRow {
    /// The row of a question that was sampled for the dataset in `dir`: as it is in its file, as it was shown, and what the
    /// user said.
    ///
    /// # Errors
    /// Those of [`relative_to`].
    pub(crate) fn new(asked: &AskedQuestion, message: &Message, dir: &Path) -> Result<Self, BuildError> {
        let AskedQuestion { original, shown } = asked;
        let audios = original.audio.iter().map(|path| relative_to(dir, path)).collect::<Result<_, _>>()?;
        let names: Vec<_> = original
            .audio
            .iter()
            .filter_map(|path| path.file_name())
            .map(|name| name.to_string_lossy())
            .collect();
        Ok(Self {
            id: original.id.clone(),
            message: message.tagged(),
            audios,
            answer: original.answer.clone(),
            unanswerable: original.unanswerable.clone(),
            refusal_option: original.refusal_option.clone(),
            choices: shown.choices.clone(),
            task: original.task.clone(),
            sub_category: original.sub_category.clone(),
            difficulty: original.difficulty.clone(),
            group: if names.is_empty() { original.question.clone() } else { names.join(" ") },
        })
    }

    /// The user's turn.
    #[must_use]
    pub fn user(&self) -> Message {
        Message::from_tagged("user", &self.message)
    }

    /// What the judge needs to read an answer.
    #[must_use]
    pub fn judged(&self) -> Question {
        Question {
            choices: self.choices.clone(),
            answer: self.answer.clone(),
            unanswerable: self.unanswerable.clone(),
            refusal_option: self.refusal_option.clone(),
            ..Question::default()
        }
    }
}
