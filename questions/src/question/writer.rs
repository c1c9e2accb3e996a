//! Writes question sets in the layout of MMAU.

use std::path::Path;

use idk_common::json;
use serde_json::{Map, Value};

use crate::error::QuestionError;
use crate::question::{AnswerMatch, Question};

/// Writes `questions` with MMAU's keys, then those of `extra`; as JSON Lines if the name ends in `.jsonl`, else as an
/// indented JSON array.
///
/// Clips are written relative to the folder of `path`: those below it as such, relative ones as they are.
///
/// # Errors
/// [`QuestionError::AudioOutside`] for an absolute path elsewhere, `..` or a name that is not UTF-8;
/// [`QuestionError::Common`] if the file cannot be written.
pub fn write_questions(path: &Path, questions: &[Question]) -> Result<(), QuestionError> {
    let rows = questions.iter().map(|question| row(question, path)).collect::<Result<Vec<_>, _>>()?;
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        json::write_jsonl(path, &rows)?;
    } else {
        json::write_json(path, &rows)?;
    }
    Ok(())
}

fn row(question: &Question, path: &Path) -> Result<Map<String, Value>, QuestionError> {
    let mut audio = question
        .audio
        .iter()
        .map(|clip| clip_name(clip, path, &question.id))
        .collect::<Result<Vec<_>, _>>()?;
    let audio: Value = if audio.len() == 1 { audio.swap_remove(0).into() } else { audio.into() };
    let mut row: Map<String, Value> = [
        ("id", Value::from(question.id.as_str())),
        ("audio_id", audio),
        ("question", question.question.as_str().into()),
        ("choices", question.choices.clone().into()),
        ("answer", if question.is_answerable() { question.answer.as_str().into() } else { Value::Null }),
        ("dataset", question.dataset.as_str().into()),
        ("task", question.task.as_str().into()),
        ("split", question.split.as_str().into()),
        ("category", question.category.as_str().into()),
        ("sub-category", question.sub_category.as_str().into()),
        ("difficulty", question.difficulty.as_str().into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into_iter()
    .collect();
    if let Some(kind) = &question.unanswerable {
        row.insert("answerable".to_owned(), false.into());
        if !kind.is_empty() {
            row.insert("kind".to_owned(), kind.as_str().into());
        }
    }
    if !question.refusal_option.is_empty() {
        row.insert("refusal_option".to_owned(), question.refusal_option.as_str().into());
    }
    if !question.aliases.is_empty() {
        row.insert("aliases".to_owned(), question.aliases.clone().into());
    }
    if question.answer_match == AnswerMatch::Exact {
        row.insert("answer_match".to_owned(), "exact".into());
    }
    for (name, value) in &question.extra {
        if !row.contains_key(name) {
            row.insert(name.clone(), value.clone());
        }
    }
    Ok(row)
}

/// The clip's path relative to the folder of the question set, with `/` between its parts.
fn clip_name(clip: &Path, path: &Path, id: &str) -> Result<String, QuestionError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let relative = clip.strip_prefix(folder).unwrap_or(clip);
    let name = relative.to_str().filter(|name| idk_common::paths::is_plain_relative(name));
    name.map(str::to_owned).ok_or_else(|| QuestionError::AudioOutside {
        path: path.to_path_buf(),
        id: id.to_owned(),
        audio: clip.to_path_buf(),
    })
}
