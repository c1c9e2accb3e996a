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
mod row_visitor;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use idk_common::limits::MAX_QUESTIONS;
use idk_common::rows::JsonRows;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::QuestionError;
use crate::interner::Interner;
use crate::question::{Question, QuestionSet, Rejection};
use crate::reason;
use clips::Folder;
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
struct Read<T> {
    /// From 1.
    line: usize,
    /// The row's id as far as it has one.
    id: String,
    /// The name of its clip, for a question without an id that is to be named after it.
    clip: Option<String>,
    /// What was made of the question.
    question: Result<T, Fault>,
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
    mut visit: impl FnMut(Result<Question, Rejection>),
) -> Result<(), QuestionError> {
    let with_id = |MappedQuestion { id, made, .. }| Question { id, ..made };
    map_questions(path, options, |question| question, |row| visit(row.map(with_id)))?;
    Ok(())
}

/// What was made of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedQuestion<T> {
    /// The question's id.
    pub id: String,
    /// The number of the id among all ids of the file; numbers grow.
    pub number: u32,
    /// What was made.
    pub made: T,
}

/// As [`visit_questions`], for those who need only a part of each question: `of` makes it, on several threads. `visit`
/// gets it with the question's id, which `of` may not know yet. Returns the ids of all rows, unusable ones included.
///
/// # Errors
/// As [`visit_questions`].
pub fn map_questions<T: Send>(
    path: &Path,
    options: &ReadOptions,
    of: impl Fn(Question) -> T + Sync,
    visit: impl FnMut(Result<MappedQuestion<T>, Rejection>),
) -> Result<Interner, QuestionError> {
    let folder = Folder::of(path, options.require_audio);
    let mut accepted = Accepted { ids: Interner::default(), visit };
    match file::open(path)? {
        Content::Rows(rows) => read_rows(path, &rows, &folder, options, of, |row| accepted.row(row))?,
        Content::Table(text) => {
            let rows = clotho_aqa::read(path, &text, &folder, options)?;
            check_count(path, rows.len())?;
            rows.into_iter().for_each(|row| accepted.row(row.map(&of)));
        }
    }
    folder.or_failure()?;
    Ok(accepted.ids)
}

fn check_count(path: &Path, found: usize) -> Result<(), QuestionError> {
    if found > MAX_QUESTIONS {
        return Err(QuestionError::TooMany { path: path.to_path_buf(), found, limit: MAX_QUESTIONS });
    }
    Ok(())
}

/// Reads the rows of a JSON file, all in the shape of the first one that has a known shape.
fn read_rows<T: Send>(
    path: &Path,
    rows: &JsonRows,
    folder: &Folder,
    options: &ReadOptions,
    of: impl Fn(Question) -> T + Sync,
    mut take: impl FnMut(Read<T>),
) -> Result<(), QuestionError> {
    check_count(path, rows.count()?)?;
    let shape = shape::of_rows(path, rows)?;
    let mut names = None;
    for batch in rows.batches()? {
        let batch = batch?;
        let read_one = |(line, row)| read_row(line, row, shape, folder, options).map(&of);
        let read: Vec<Read<T>> = batch.rows().into_par_iter().map(read_one).collect();
        for mut row in read {
            if let Some(clip) = row.clip.take() {
                let names = match &mut names {
                    Some(names) => names,
                    none => none.insert(ClipNames::of(rows, shape)?),
                };
                row.id = names.name(&clip);
            }
            take(row);
        }
    }
    Ok(())
}

fn read_row(
    line: usize,
    row: &str,
    shape: Option<&FileShape>,
    folder: &Folder,
    options: &ReadOptions,
) -> Read<Question> {
    let row = match file::parse(row) {
        Ok(row) => row,
        Err(fault) => return Read::unusable(line, fault),
    };
    // A file without a shape has no object.
    let Some(shape) = shape else { return Read::unusable(line, file::not_an_object()) };
    let id = shape.id_of(&row);
    let question = (shape.read)(row, folder, options);
    let nameless = question.as_ref().ok().filter(|one| shape.names_rows_by_clip && one.id.is_empty());
    let clip = nameless.map(|question| {
        let stem = question.audio.first().and_then(|clip| clip.file_stem());
        stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    });
    Read { line, id, clip, question }
}

impl<T> Read<T> {
    fn unusable(line: usize, fault: Fault) -> Self {
        Self { line, id: String::new(), clip: None, question: Err(fault) }
    }

    fn map<U>(self, of: impl FnOnce(T) -> U) -> Read<U> {
        let Self { line, id, clip, question } = self;
        Read { line, id, clip, question: question.map(of) }
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
                if let (Ok(row), Some(shape)) = (file::parse(row), shape) {
                    taken.insert(shape.id_of(&row));
                }
            }
        }
        Ok(Self { taken })
    }

    /// The name of a question about the clip called `stem`; the second one gets `-2`, and so on.
    fn name(&mut self, stem: &str) -> String {
        let mut id = stem.to_owned();
        let mut copy = 1;
        while !self.taken.insert(id.clone()) {
            copy += 1;
            id = format!("{stem}-{copy}");
        }
        id
    }
}

/// The rows that have been read; of those with one id the first is kept.
struct Accepted<V> {
    ids: Interner,
    visit: V,
}

impl<V> Accepted<V> {
    fn row<T>(&mut self, Read { line, id, question, .. }: Read<T>)
    where
        V: FnMut(Result<MappedQuestion<T>, Rejection>),
    {
        // A row without an id is unusable.
        let (number, is_new) = if id.is_empty() { (u32::MAX, true) } else { self.ids.add(&id) };
        let twice = || (reason::DUPLICATE_ID, "an earlier row has this id".to_owned());
        (self.visit)(match if is_new { question } else { Err(twice()) } {
            Ok(made) => Ok(MappedQuestion { id, number, made }),
            Err((reason, detail)) => Err(Rejection { id, line, reason: reason.to_owned(), detail }),
        });
    }
}
