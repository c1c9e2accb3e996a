//! The shapes of JSON rows, and how they are recognised.

mod aqua_bench;
mod avqa;
mod choice_columns;
mod generic;
mod hallu_audio;
mod mmar;
mod mmau;

use std::path::Path;

use idk_common::rows::JsonRows;
use serde_json::{Map, Value};

use super::clips::Folder;
use super::fields::{Row, plain_text};
use super::file;
use super::{Fault, ReadOptions, clotho_aqa};
use crate::error::QuestionError;
use crate::question::Question;

/// Reads one row.
type ReadRow = fn(Row, &Folder, &ReadOptions) -> Result<Question, Fault>;

/// One shape of rows.
pub(super) struct FileShape {
    /// The set that it is known from.
    pub(super) name: &'static str,
    /// What a row must have to be of this shape: of each list one key.
    pub(super) keys: &'static [&'static [&'static str]],
    /// Where its id stands.
    pub(super) id: &'static [&'static str],
    /// Whether rows without an id are named after their clip.
    pub(super) names_rows_by_clip: bool,
    /// How a row becomes a question.
    pub(super) read: ReadRow,
}

impl FileShape {
    /// The id of a row, as far as it has one.
    pub(super) fn id_of(&self, row: &Row) -> String {
        self.id.iter().find_map(|key| row.get(key)).map(plain_text).unwrap_or_default()
    }
}

/// Every shape of rows, those with the most telling keys first.
pub(super) const SHAPES: [&FileShape; 7] = [
    &aqua_bench::SHAPE,
    &hallu_audio::SHAPE,
    &choice_columns::SHAPE,
    &avqa::SHAPE,
    &mmar::SHAPE,
    &mmau::SHAPE,
    &generic::SHAPE,
];

/// The shape of the first row that has one; `None` for a file without any JSON object.
pub(super) fn of_rows(path: &Path, rows: &JsonRows) -> Result<Option<&'static FileShape>, QuestionError> {
    let mut first: Option<(usize, Map<String, Value>)> = None;
    let shape = file::find_row(path, rows, |line, row| {
        let Value::Object(row) = row else { return None };
        let shape = SHAPES.into_iter().find(|shape| lacks(&row, shape).is_empty());
        if shape.is_none() {
            first.get_or_insert((line, row));
        }
        shape
    })?;
    match first.filter(|_| shape.is_none()) {
        Some((line, row)) => {
            Err(unknown(path, line, row.keys().cloned().collect(), |key| row.contains_key(key)))
        }
        None => Ok(shape),
    }
}

/// The keys of `shape` that `row` lacks.
fn lacks(row: &Map<String, Value>, shape: &FileShape) -> Vec<String> {
    missing(shape.keys, |key| row.contains_key(key))
}

/// What of `keys` is not there; alternatives are joined with `or`.
fn missing(keys: &[&[&str]], has: impl Fn(&str) -> bool) -> Vec<String> {
    let absent = keys.iter().filter(|names| !names.iter().any(|name| has(name)));
    absent
        .map(|names| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or "))
        .collect()
}

/// The error for a row or header with the keys `found`: it says for every shape what is missing.
pub(super) fn unknown(
    path: &Path,
    line: usize,
    found: Vec<String>,
    has: impl Fn(&str) -> bool,
) -> QuestionError {
    let rows = SHAPES.iter().map(|shape| (shape.name, shape.keys));
    let shapes = rows.chain([(clotho_aqa::NAME, clotho_aqa::COLUMNS)]);
    let lacks = shapes.map(|(name, keys)| (name, missing(keys, &has))).collect();
    QuestionError::UnknownShape { path: path.to_path_buf(), line, found, lacks }
}
