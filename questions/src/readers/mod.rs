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
use idk_common::rows::JsonRows;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::QuestionError;
use crate::interner::Interner;
use crate::question::{Question, QuestionSet, Rejection};
use crate::reason;
use clips::Folder;
use fields::Row;
use file::Content;
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
/// As [`visit_questions`].
pub fn read_questions_with(path: &Path, options: &ReadOptions) -> Result<QuestionSet, QuestionError> {
    let mut set = QuestionSet::default();
    visit_questions(path, options, |row| match row {
        Ok(question) => set.questions.push(question),
        Err(rejection) => set.rejected.push(rejection),
    })?;
    Ok(set)
}

/// Reads a question set as [`read_questions_with`] does, and hands every question or rejection to `visit` in the order of
/// the file. Of JSON Lines, no more than about a megabyte is in memory at a time.
///
/// # Errors
/// [`QuestionError::Common`] if the file cannot be read or is not JSON (with the line), [`QuestionError::NotASet`],
/// [`QuestionError::UnknownShape`], [`QuestionError::TooMany`], [`QuestionError::LfsPointer`]. What was visited before an
/// error says nothing about the set.
pub fn visit_questions(
    path: &Path,
    options: &ReadOptions,
    visit: impl FnMut(Result<Question, Rejection>),
) -> Result<(), QuestionError> {
    let folder = Folder::of(path, options.require_audio);
    let mut accepted = Accepted { ids: Interner::default(), visit };
    match file::open(path)? {
        Content::Rows(rows) => read_rows(path, &rows, &folder, options, |row| accepted.row(row))?,
        Content::Table(text) => {
            let rows = clotho_aqa::read(path, &text, &folder, options)?;
            check_count(path, rows.len())?;
            rows.into_iter().for_each(|row| accepted.row(row));
        }
    }
    Ok(folder.or_failure()?)
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
    rows: &JsonRows,
    folder: &Folder,
    options: &ReadOptions,
    mut take: impl FnMut(Read),
) -> Result<(), QuestionError> {
    check_count(path, rows.count()?)?;
    let shape = shape::of_rows(path, rows)?;
    let mut names = None;
    for batch in rows.batches()? {
        let batch = batch?;
        let read_one = |(line, row)| read_row(line, file::parse(row), shape, folder, options);
        let read: Vec<Read> = batch.rows().into_par_iter().map(read_one).collect();
        for mut row in read {
            if shape.is_some_and(|shape| shape.names_rows_by_clip) && row.is_nameless() {
                let names = match &mut names {
                    Some(names) => names,
                    none => none.insert(ClipNames::of(rows, shape)?),
                };
                names.name(&mut row);
            }
            take(row);
        }
    }
    Ok(())
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
    Read { line, id: shape.id_of(&row), question: (shape.read)(Row::new(row), folder, options) }
}

impl Read {
    /// Whether it is a question without an id.
    fn is_nameless(&self) -> bool {
        self.question.as_ref().is_ok_and(|question| question.id.is_empty())
    }
}

/// Names for questions without an id, of a set that has some.
struct ClipNames {
    taken: BTreeSet<String>,
}

impl ClipNames {
    /// No name may be the id of another row of the file.
    fn of(rows: &JsonRows, shape: Option<&FileShape>) -> Result<Self, QuestionError> {
        let mut taken = BTreeSet::new();
        for batch in rows.batches()? {
            for (_, row) in batch?.rows() {
                if let (Ok(Value::Object(row)), Some(shape)) = (file::parse(row), shape) {
                    taken.insert(shape.id_of(&row));
                }
            }
        }
        Ok(Self { taken })
    }

    /// Names a question after its clip; the second one about a clip gets `-2`, and so on.
    fn name(&mut self, row: &mut Read) {
        let Ok(question) = &mut row.question else { return };
        let stem = question.audio.first().and_then(|clip| clip.file_stem());
        let stem = stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut id = stem.clone();
        let mut copy = 1;
        while !self.taken.insert(id.clone()) {
            copy += 1;
            id = format!("{stem}-{copy}");
        }
        row.id.clone_from(&id);
        question.id = id;
    }
}

/// The rows that have been read; of those with one id the first is kept.
struct Accepted<V> {
    ids: Interner,
    visit: V,
}

impl<V: FnMut(Result<Question, Rejection>)> Accepted<V> {
    fn row(&mut self, Read { line, id, question }: Read) {
        let known = !id.is_empty() && !self.ids.add(&id).1;
        let twice = || (reason::DUPLICATE_ID, "an earlier row has this id".to_owned());
        let question = if known { Err(twice()) } else { question };
        (self.visit)(question.map_err(|(reason, detail)| Rejection {
            id,
            line,
            reason: reason.to_owned(),
            detail,
        }));
    }
}
