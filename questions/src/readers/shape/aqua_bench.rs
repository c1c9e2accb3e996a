//! The shape of AQUA-Bench (arXiv 2601.12248): rows in groups of four per clip, one that can be solved and three that cannot,
//! where an option such as `None of the above` says so.
//!
//! Source: the JSON lists of its tracks (animals, instruments, vocal sounds). The options are also in the text of the question, with
//! lower-case letters in brackets, and with an instruction behind them; only what stands before them is asked.

use serde_json::Value;

use super::FileShape;
use crate::judge::{is_refusal, normalise};
use crate::question::Question;
use crate::readers::clips::Folder;
use crate::readers::fields::Row;
use crate::readers::{Fault, ReadOptions, choices};
use crate::reason;

/// AQUA-Bench's rows.
pub(super) const SHAPE: FileShape = FileShape {
    name: "AQUA-Bench",
    keys: &[&["audio_filename"], &["type"], &["question"], &["options"], &["answer"]],
    id: &["id"],
    names_rows_by_clip: false,
    read,
};

/// The type of the rows that have a right answer.
const SOLVABLE: &str = "Solvable";

/// Options that say that no answer is right, normalised; the benchmark has variants of the wording.
const REFUSAL_OPTIONS: [&str; 6] = [
    "none of the above",
    "none of these",
    "none of the options",
    "unanswerable",
    "not answerable",
    "cannot be answered",
];

fn read(mut row: Row, folder: &Folder, options: &ReadOptions) -> Result<Question, Fault> {
    let id = row.id(SHAPE.id)?;
    let kind = row.required(&["type"])?;
    let question = stem(&row.required(&["question"])?);
    let listed = choices::listed(row.take(&["options"]).unwrap_or_default())?;
    if listed.is_empty() {
        return Err((reason::MISSING_FIELD, "`options` is missing or empty".to_owned()));
    }
    let answer = row.required(&["answer"])?;
    let (choices, answer) = choices::with_answer(&listed, &answer, options.duplicate_choices)?;
    let is_solvable = kind == SOLVABLE;
    let says_so = |option: &&String| REFUSAL_OPTIONS.contains(&&*normalise(option)) || is_refusal(option);
    let refusal_option = match is_solvable {
        true => choices.iter().find(says_so).filter(|option| **option != answer).cloned().unwrap_or_default(),
        // Whatever its wording, it is the answer of the other types.
        false => answer.clone(),
    };
    let name = row.required(&["audio_filename"])?;
    let audio = vec![folder.clip_under_one_of(&[name.clone(), format!("audio/{name}")])?];
    let part = row.optional(&["subtype"])?;
    let question = Question { id, audio, question, choices, answer, refusal_option, ..Question::default() };
    let mut question = options.refusal_option.apply(row.describe(question)?)?;
    if !is_solvable {
        question.unanswerable = Some(kind.clone());
    }
    if question.task.is_empty() {
        question.task = "sound".to_owned();
    }
    if question.sub_category.is_empty() {
        question.sub_category = part;
    }
    question.extra.insert("type".to_owned(), Value::from(kind));
    Ok(question)
}

/// What stands before the options.
fn stem(question: &str) -> String {
    let before = question.find("(a)").map_or(question, |at| &question[..at]);
    let stem = before.trim_end();
    if stem.is_empty() { question.to_owned() } else { stem.to_owned() }
}
