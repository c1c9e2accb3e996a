//! Rows of no particular set: a clip, a question and its answer, with options or without.

use serde_json::Value;

use super::FileShape;
use crate::question::Question;
use crate::readers::clips::Folder;
use crate::readers::fields::{Row, texts};
use crate::readers::{Fault, ReadOptions, choices};

/// Rows with a question and an answer.
pub(super) const SHAPE: FileShape = FileShape {
    name: "generic",
    keys: &[&["audio", "audio_path", "audio_id"], &["question"], &["answer", "answerable"]],
    id: &["id"],
    names_rows_by_clip: false,
    read,
};

fn read(mut row: Row, folder: &Folder, options: &ReadOptions) -> Result<Question, Fault> {
    let id = row.id(&["id"])?;
    question_of(row, id, &["audio", "audio_path", "audio_id"], folder, options)
}

/// The question of a row with `question`, `choices` and `answer`; `clips` are the names of its clips' key.
///
/// An open question may have several right answers: a list under `answer`, or others under `aliases`. A question may also
/// have none: see [`Row::unanswerable`].
pub(super) fn question_of(
    mut row: Row,
    id: String,
    clips: &[&str],
    folder: &Folder,
    options: &ReadOptions,
) -> Result<Question, Fault> {
    let audio = row.take(clips);
    let text = row.required(&["question"])?;
    let listed = choices::listed(row.take(&["choices"]).unwrap_or_default())?;
    let refusal_option = row.optional(&["refusal_option"])?;
    if let Some(kind) = row.unanswerable()? {
        let choices = match listed.is_empty() {
            true => listed,
            false => choices::without_answer(&listed, options.duplicate_choices)?,
        };
        let audio = folder.clips(audio, clips[0])?;
        let unanswerable = Some(kind);
        let question = row.describe(Question {
            id,
            audio,
            question: text,
            choices,
            unanswerable,
            refusal_option,
            ..Question::default()
        })?;
        return options.refusal_option.apply(question);
    }
    let mut others = Vec::new();
    if let Some(Value::Array(several)) = row.get("answer").filter(|_| listed.is_empty()) {
        others = texts(&Value::Array(several.clone()), "answer")?;
    }
    let answer = row.required(&["answer"])?;
    let answer = if others.is_empty() { answer } else { others.remove(0) };
    let (choices, answer) = if listed.is_empty() {
        (listed, answer)
    } else {
        choices::with_answer(&listed, &answer, options.duplicate_choices)?
    };
    let (aliases, answer_match) = row.answer_keys()?;
    others.extend(aliases);
    let audio = folder.clips(audio, clips[0])?;
    let question = row.describe(Question {
        id,
        audio,
        question: text,
        choices,
        refusal_option,
        answer,
        aliases: others,
        answer_match,
        ..Question::default()
    })?;
    options.refusal_option.apply(question)
}
