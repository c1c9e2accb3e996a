//! JSON and JSON Lines files, written atomically and read with errors that name file and line.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::atomic::{self, AtomicFile};
use crate::error::CommonError;

/// Writes `value` as indented JSON with a newline at the end.
///
/// Numbers are written so that reading gives the same bits; NaN and infinity become `null`, as JSON has neither.
///
/// # Errors
/// [`CommonError::Encode`] for a value without a JSON form, else those of [`atomic::write_atomic`].
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), CommonError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|source| CommonError::Encode { path: path.to_path_buf(), source })?;
    bytes.push(b'\n');
    atomic::write_atomic(path, &bytes)
}

/// Reads a JSON file.
///
/// # Errors
/// [`CommonError::Json`] with line and column, else those of [`atomic::read_to_string`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CommonError> {
    parse_json(path, &atomic::read_to_string(path)?)
}

/// Parses the JSON `text` of the file `path`, which is named in the error.
///
/// # Errors
/// [`CommonError::Json`] with line and column.
pub fn parse_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, CommonError> {
    serde_json::from_str(text).map_err(|error| json_error(path, error.line(), &error))
}

/// Writes one compact JSON value a line.
///
/// # Errors
/// As [`write_json`].
pub fn write_jsonl<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), CommonError> {
    let mut file = AtomicFile::create(path)?;
    for row in rows {
        let mut line = serde_json::to_vec(row)
            .map_err(|source| CommonError::Encode { path: path.to_path_buf(), source })?;
        line.push(b'\n');
        file.put(&line)?;
    }
    file.commit()
}

/// Reads a file of one JSON value a line; blank lines are skipped.
///
/// # Errors
/// [`CommonError::Json`] with line and column (a torn last line included), else those of [`atomic::read`].
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, CommonError> {
    let bytes = atomic::read(path)?;
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let mut rows = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            rows.push(serde_json::from_slice(line).map_err(|error| json_error(path, index + 1, &error))?);
        }
    }
    Ok(rows)
}

fn json_error(path: &Path, line: usize, error: &serde_json::Error) -> CommonError {
    let text = error.to_string();
    // The parser ends its message with its own position, which in JSON Lines is always line 1.
    let position = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&position).unwrap_or(&text).to_owned();
    CommonError::Json { path: path.to_path_buf(), line, column: error.column(), message }
}
