//! The shape of AVQA (Yang et al. 2022) as R1-AQA (Li et al. 2025, arXiv 2503.11197) trains on it: the answer is the
//! index of an option, and the question, which was asked about a video, is asked about its audio.

use serde_json::Value;

use super::FileShape;
use crate::question::Question;
use crate::readers::clips::Folder;
use crate::readers::fields::{Row, checked, plain_text};
use crate::readers::{Fault, ReadOptions, choices};
use crate::reason;

/// AVQA's rows.
pub(super) const SHAPE: FileShape = FileShape {
    name: "AVQA / R1-AQA",
    keys: &[&["audio_path", "video_name"], &["question_text"], &["multi_choice"], &["answer"]],
    id: &["id"],
    names_rows_by_clip: false,
    read,
};

fn read(mut row: Row, folder: &Folder, options: &ReadOptions) -> Result<Question, Fault> {
    let id = row.id(&["id"])?;
    let question = row.required(&["question_text"])?.replace("video", "audio");
    let listed = choices::listed(row.take(&["multi_choice"]).unwrap_or_default())?;
    if listed.is_empty() {
        return Err((reason::MISSING_FIELD, "`multi_choice` is missing or empty".to_owned()));
    }
    let answer = answer(row.take(&["answer"]).unwrap_or_default(), &listed)?;
    let (choices, answer) = choices::with_answer(&listed, &answer, options.duplicate_choices)?;
    let audio = match row.take(&["audio_path"]) {
        Some(value) => folder.clips(Some(value), "audio_path")?,
        None => {
            let name = row.get("video_name").map(plain_text).unwrap_or_default();
            if name.is_empty() {
                return Err((reason::MISSING_FIELD, "`audio_path` is missing or empty".to_owned()));
            }
            vec![folder.clip_under_one_of(&[format!("{name}.wav"), format!("audio/{name}.wav")])?]
        }
    };
    let (dataset, kind) = (row.optional(&["dataset_name"])?, row.optional(&["question_type"])?);
    let relation = row.optional(&["question_relation"])?;
    let question = Question { id, audio, question, choices, answer, ..Question::default() };
    let question = row.describe(question)?;
    let or = |given: String, other: String| if given.is_empty() { other } else { given };
    Ok(Question {
        task: or(question.task, "sound".to_owned()),
        category: or(question.category, relation),
        sub_category: or(question.sub_category, kind),
        dataset: or(question.dataset, dataset),
        ..question
    })
}

/// The option that `value` is the index of, from 0; a text is the option itself.
fn answer(value: Value, listed: &[String]) -> Result<String, Fault> {
    let missing = || (reason::MISSING_FIELD, "`answer` is missing or empty".to_owned());
    match value {
        Value::Number(index) => {
            let place = index.as_u64().and_then(|index| usize::try_from(index).ok());
            let option = place.and_then(|place| listed.get(place)).cloned();
            option.ok_or_else(|| {
                (reason::ANSWER_NOT_IN_CHOICES, format!("`answer` is {index}, of {} options", listed.len()))
            })
        }
        Value::String(text) if !text.trim().is_empty() => checked(text.trim().to_owned(), "answer"),
        Value::Null | Value::String(_) => Err(missing()),
        _ => Err((reason::BAD_FIELD, "`answer` must be the index of an option".to_owned())),
    }
}
