//! The rows of a question file: a JSON array, JSON Lines, or a table with a header.

use std::path::Path;

use idk_common::json::{self, json_error, plain_message};
use idk_common::lfs::is_lfs_pointer;
use idk_common::limits::MAX_ROW_BYTES;
use idk_common::rows::{JsonRows, RowsFile};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::Fault;
use super::fields::Row;
use crate::error::QuestionError;
use crate::reason;

/// What a question file holds.
pub(super) enum Content {
    /// Rows of JSON.
    Rows(JsonRows),
    /// The text of a comma-separated table.
    Table(String),
}

/// Opens a question file. It is told by its first character whether it is JSON; whether it is a table by a comma in
/// its first line.
pub(super) fn open(path: &Path) -> Result<Content, QuestionError> {
    let text = match RowsFile::open(path)? {
        RowsFile::Rows(rows) => return Ok(Content::Rows(rows)),
        RowsFile::Text(text) => text,
    };
    if is_lfs_pointer(text.as_bytes()) {
        return Err(QuestionError::LfsPointer { path: path.to_path_buf() });
    }
    let start = text.len() - text.trim_start().len();
    if text[start..].lines().next().unwrap_or_default().contains(',') {
        return Ok(Content::Table(text));
    }
    let line = text[..start].matches('\n').count() + 1;
    Err(QuestionError::NotASet { path: path.to_path_buf(), line })
}

/// The rows of a JSON file up to the first that satisfies `found`, which gets each row with its number.
///
/// # Errors
/// [`QuestionError::Common`] with the first row's error if not a single row is JSON: then it is not the rows that are wrong.
pub(super) fn find_row<T>(
    path: &Path,
    rows: &JsonRows,
    mut found: impl FnMut(usize, Value) -> Option<T>,
) -> Result<Option<T>, QuestionError> {
    let (mut first_error, mut has_json) = (None, false);
    for batch in rows.batches()? {
        for (number, row) in batch?.rows() {
            // A row that is too long is not kept, but it may be JSON.
            let value = match row.len() > MAX_ROW_BYTES {
                true => json::parse_row::<IgnoredAny>(row.as_bytes()).map(|_| Value::Null),
                false => json::parse_row(row.as_bytes()),
            };
            match value {
                Ok(value) => {
                    has_json = true;
                    if let Some(found) = found(number, value) {
                        return Ok(Some(found));
                    }
                }
                Err(error) => {
                    first_error.get_or_insert_with(|| json_error(path, number, &error));
                }
            }
        }
    }
    match first_error {
        Some(error) if !has_json => Err(error.into()),
        _ => Ok(None),
    }
}

/// Parses one row.
pub(super) fn parse(row: &str) -> Result<Row<'_>, Fault> {
    if row.len() > MAX_ROW_BYTES {
        return Err((reason::TOO_LONG, format!("the row has {} bytes, at most {MAX_ROW_BYTES}", row.len())));
    }
    if let Ok(row) = serde_json::from_str(row) {
        return Ok(row);
    }
    match json::parse_row(row.as_bytes()) {
        Ok(Value::Object(fields)) => Ok(fields.into()),
        Ok(_) => Err(not_an_object()),
        Err(error) => {
            Err((reason::NOT_JSON, format!("column {}: {}", error.column(), plain_message(&error))))
        }
    }
}

/// What is wrong with a row that is JSON, but no object.
pub(super) fn not_an_object() -> Fault {
    (reason::NOT_AN_OBJECT, "a question is a JSON object".to_owned())
}
