//! Reads question sets. The shape of a file is recognised by its content: by the keys of its rows, or by the columns
//! of its header.
//!
//! One file per shape, in `shape/` and `clotho_aqa`; `docs/reference/question-sets.md` has their keys in tables.

mod choices;
mod clips;
mod clotho_aqa;
mod fields;
mod file;
mod refusal_option;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use idk_common::limits::MAX_QUESTIONS;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::QuestionError;
use crate::question::{Question, QuestionSet, Rejection};
use crate::reason;
use clips::Folder;
use fields::{Row, plain_text};
use file::{Content, Rows};
pub use refusal_option::RefusalOption;
use shape::FileShape;

/// How a question set is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Reject rows whose clips are not there. Scoring stored answers needs no clips.
    pub require_audio: bool,
    /// What happens to questions with an option that is there twice.
    pub duplicate_choices: DuplicateChoices,
    /// How many annotators must give an answer for it to count, in sets that list the answers of several.
    pub min_annotators: usize,
    /// What happens to the option that says that no answer is right.
    pub refusal_option: RefusalOption,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            require_audio: true,
            duplicate_choices: DuplicateChoices::default(),
            min_annotators: 2,
            refusal_option: RefusalOption::default(),
        }
    }
}

/// What happens to questions with an option that is there twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DuplicateChoices {
    /// They are rejected with [`reason::DUPLICATE_CHOICES`].
    #[default]
    Reject,
    /// The first of equal options stays, the others are dropped.
    Merge,
}

/// Why one row cannot be used: a code and the details.
type Fault = (&'static str, String);

/// One row as it was read, before its id is compared with those of the others.
struct Read {
    /// From 1.
    line: usize,
    /// The row's id as far as it has one.
    id: String,
    question: Result<Question, Fault>,
}

/// Reads a question set whose clips must be there.
///
/// # Errors
/// As [`read_questions_with`].
pub fn read_questions(path: &Path) -> Result<QuestionSet, QuestionError> {
    read_questions_with(path, &ReadOptions::default())
}

/// Reads a question set in any of the known shapes. Rows that cannot be used are listed in [`QuestionSet::rejected`];
/// questions and rejections together are as many as the file has questions.
///
/// Paths of clips are relative to the folder of `path` and may not leave it, but for the links of the Hub's cache.
///
/// # Errors
/// [`QuestionError::Common`] if the file cannot be read or is not JSON (with the line), [`QuestionError::NotASet`],
/// [`QuestionError::UnknownShape`], [`QuestionError::TooMany`], [`QuestionError::LfsPointer`].
pub fn read_questions_with(path: &Path, options: &ReadOptions) -> Result<QuestionSet, QuestionError> {
    let folder = Folder::of(path, options.require_audio);
    let rows = match file::read(path)? {
        Content::Rows(rows) => read_rows(path, &rows, &folder, options)?,
        Content::Table(text) => clotho_aqa::read(path, &text, &folder, options)?,
    };
    folder.or_failure()?;
    check_count(path, rows.len())?;
    Ok(collect(rows))
}

fn check_count(path: &Path, found: usize) -> Result<(), QuestionError> {
    if found > MAX_QUESTIONS {
        return Err(QuestionError::TooMany { path: path.to_path_buf(), found, limit: MAX_QUESTIONS });
    }
    Ok(())
}

/// Reads the rows of a JSON file, all in the shape of the first one that has a known shape.
fn read_rows(
    path: &Path,
    rows: &Rows,
    folder: &Folder,
    options: &ReadOptions,
) -> Result<Vec<Read>, QuestionError> {
    check_count(path, rows.iter().count())?;
    let shape = shape::of_rows(path, rows)?;
    let read_one = |(line, row)| read_row(line, file::parse(row), shape, folder, options);
    let mut read: Vec<Read> = rows.iter().map(read_one).collect();
    if shape.is_some_and(|shape| shape.names_rows_by_clip) {
        name_by_clip(&mut read);
    }
    Ok(read)
}

fn read_row(
    line: usize,
    row: Result<Value, Fault>,
    shape: Option<&FileShape>,
    folder: &Folder,
    options: &ReadOptions,
) -> Read {
    let unusable = |fault: Fault| Read { line, id: String::new(), question: Err(fault) };
    let (row, shape) = match (row, shape) {
        (Ok(Value::Object(row)), Some(shape)) => (row, shape),
        (Err(fault), _) => return unusable(fault),
        _ => return unusable((reason::NOT_AN_OBJECT, "a question is a JSON object".to_owned())),
    };
    let id = shape.id.iter().find_map(|key| row.get(*key)).map(plain_text).unwrap_or_default();
    Read { line, id, question: (shape.read)(Row::new(row), folder, options) }
}

/// Names the questions without an id after their clip; the second one about a clip gets `-2`, and so on.
fn name_by_clip(rows: &mut [Read]) {
    let mut taken: BTreeSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    for row in rows {
        let Ok(question) = &mut row.question else { continue };
        if !question.id.is_empty() {
            continue;
        }
        let stem = question.audio.first().and_then(|clip| clip.file_stem());
        let stem = stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut id = stem.clone();
        let mut copy = 1;
        while !taken.insert(id.clone()) {
            copy += 1;
            id = format!("{stem}-{copy}");
        }
        row.id.clone_from(&id);
        question.id = id;
    }
}

/// Puts the rows into a set; of those with one id the first is kept.
fn collect(rows: Vec<Read>) -> QuestionSet {
    let mut set = QuestionSet::default();
    let mut ids = BTreeSet::new();
    for Read { line, id, question } in rows {
        let known = !id.is_empty() && !ids.insert(id.clone());
        let twice = || (reason::DUPLICATE_ID, "an earlier row has this id".to_owned());
        match if known { Err(twice()) } else { question } {
            Ok(question) => set.questions.push(question),
            Err((reason, detail)) => {
                set.rejected.push(Rejection { id, line, reason: reason.to_owned(), detail });
            }
        }
    }
    set
}
