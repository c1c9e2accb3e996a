//! The rows of a question file: a JSON array, JSON Lines, or a table with a header.

use std::path::Path;

use idk_common::limits::MAX_ROW_BYTES;
use idk_common::{CommonError, fs, json};
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::Fault;
use crate::error::QuestionError;
use crate::reason;
use idk_common::lfs::is_lfs_pointer;

/// What a question file holds.
pub(super) enum Content {
    /// Rows of JSON.
    Rows(Rows),
    /// The text of a comma-separated table.
    Table(String),
}

/// The rows of a JSON file. They are parsed one by one, so that memory does not grow with their number.
pub(super) enum Rows {
    /// The text of an array, from its bracket on; its structure has been checked.
    Array(String),
    /// One row per line.
    Lines(String),
}

/// Reads a question file. It is told by its first character whether it is JSON; whether it is a table by a comma in
/// its first line.
pub(super) fn read(path: &Path) -> Result<Content, QuestionError> {
    let text = fs::read_to_string(path)?;
    if is_lfs_pointer(text.as_bytes()) {
        return Err(QuestionError::LfsPointer { path: path.to_path_buf() });
    }
    let start = text.len() - text.trim_start().len();
    let first_line = text[start..].lines().next().unwrap_or_default();
    match text[start..].chars().next() {
        Some('[') => Ok(Content::Rows(Rows::Array(checked_array(path, text)?))),
        Some('{') => {
            let rows = Rows::Lines(text);
            match rows.only_errors() {
                Some((line, error)) => Err(json_error(path, line, &error).into()),
                None => Ok(Content::Rows(rows)),
            }
        }
        Some(_) if first_line.contains(',') => Ok(Content::Table(text)),
        _ => {
            let line = text[..start].matches('\n').count() + 1;
            Err(QuestionError::NotASet { path: path.to_path_buf(), line })
        }
    }
}

/// The text of an array, with finite numbers alone, if it is one.
fn checked_array(path: &Path, text: String) -> Result<String, CommonError> {
    let Err(error) = serde_json::from_str::<IgnoredAny>(&text) else { return Ok(text) };
    let mended = json::with_finite_numbers(text.as_bytes()).and_then(|text| String::from_utf8(text).ok());
    match mended.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()) {
        Some(mended) => Ok(mended),
        None => Err(json_error(path, error.line(), &error)),
    }
}

fn json_error(path: &Path, line: usize, error: &serde_json::Error) -> CommonError {
    CommonError::Json {
        path: path.to_path_buf(),
        line,
        column: error.column(),
        message: plain_message(error),
    }
}

/// What the parser says, without its own position.
fn plain_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}

impl Rows {
    /// The first error if not a single row is JSON: then it is not the rows that are wrong.
    fn only_errors(&self) -> Option<(usize, serde_json::Error)> {
        let mut first = None;
        for (line, row) in self.iter() {
            let error = json::parse_row::<IgnoredAny>(row.as_bytes()).err()?;
            first.get_or_insert((line, error));
        }
        first
    }

    /// The text of each row with its number (array) or line, from 1. Blank lines are no rows.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = (usize, &str)> + '_> {
        match self {
            Self::Array(text) => {
                let items = Items { rest: text.trim_start().strip_prefix('[').unwrap_or_default() };
                Box::new(items.enumerate().map(|(index, row)| (index + 1, row)))
            }
            Self::Lines(text) => {
                let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
                Box::new(lines.filter(|(_, line)| !line.trim().is_empty()))
            }
        }
    }
}

/// The items of an array whose structure has been checked; `rest` stands before the next one.
struct Items<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
        let mut items = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        // The end of the array is no value.
        items.next()?.ok()?;
        let (item, rest) = rest.split_at(items.byte_offset());
        self.rest = rest;
        Some(item)
    }
}

/// Parses one row.
pub(super) fn parse(row: &str) -> Result<Value, Fault> {
    if row.len() > MAX_ROW_BYTES {
        return Err((reason::TOO_LONG, format!("the row has {} bytes, at most {MAX_ROW_BYTES}", row.len())));
    }
    json::parse_row(row.as_bytes())
        .map_err(|error| (reason::NOT_JSON, format!("column {}: {}", error.column(), plain_message(&error))))
}
