//! JSON and JSON Lines files, written atomically and read with errors that name file and line.

use std::marker::PhantomData;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CommonError;
use crate::files::type_words::plain_types;
use crate::fs::{self, AtomicFile};
use crate::lfs::{LFS_POINTER, is_lfs_pointer};
use crate::lines::LineReader;

/// Writes `value` as indented JSON with a newline at the end.
///
/// Numbers are written so that reading gives the same bits; NaN and infinity become `null`, as JSON has neither.
///
/// # Errors
/// [`CommonError::Encode`] for a value without a JSON form, else those of [`fs::write_atomic`].
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), CommonError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|source| CommonError::Encode { path: path.to_path_buf(), source })?;
    bytes.push(b'\n');
    fs::write_atomic(path, &bytes)
}

/// Reads a JSON file.
///
/// # Errors
/// [`CommonError::Json`] with line and column, else those of [`fs::read_to_string`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, CommonError> {
    parse_json(path, &fs::read_to_string(path)?)
}

/// Parses the JSON `text` of the file `path`, which is named in the error.
///
/// # Errors
/// [`CommonError::Json`] with line and column.
pub fn parse_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, CommonError> {
    serde_json::from_str(text).map_err(|error| match is_lfs_pointer(text.as_bytes()) {
        true => CommonError::Json {
            path: path.to_path_buf(),
            line: 1,
            column: 1,
            message: LFS_POINTER.to_owned(),
        },
        false => json_error(path, error.line(), &error),
    })
}

/// Parses one row: `NaN`, `Infinity` and numbers beyond the range of `f64`, which Python writes, are read as `null`.
///
/// # Errors
/// The parser's own, with its position in `bytes`.
pub fn parse_row<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes).or_else(|error| match with_finite_numbers(bytes) {
        Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| error),
        None => Err(error),
    })
}

/// Parses the array of rows `text` of the file `path`; numbers that are not finite are read as by [`parse_row`].
///
/// # Errors
/// [`CommonError::Json`] with line and column.
pub fn parse_rows<T: DeserializeOwned>(path: &Path, text: &str) -> Result<Vec<T>, CommonError> {
    parse_row(text.as_bytes()).map_err(|error| json_error(path, error.line(), &error))
}

/// JSON text with `null` instead of every number that is not finite; `None` if there is none.
#[must_use]
pub fn with_finite_numbers(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut mended: Option<Vec<u8>> = None;
    let (mut at, mut in_text) = (0, false);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match rest[0] {
            b'\\' if in_text => 2,
            b'"' => {
                in_text = !in_text;
                1
            }
            b'-' | b'N' | b'I' | b'0'..=b'9' if !in_text => {
                let length = token_length(rest);
                if is_not_finite(&rest[..length]) {
                    mended.get_or_insert_with(|| bytes[..at].to_vec()).extend_from_slice(b"null");
                    at += length;
                    continue;
                }
                length
            }
            _ => 1,
        };
        let end = (at + length).min(bytes.len());
        if let Some(mended) = &mut mended {
            mended.extend_from_slice(&bytes[at..end]);
        }
        at = end;
    }
    mended
}

/// How many bytes of `bytes` a number or a name has, at least one.
fn token_length(bytes: &[u8]) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    bytes.iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len()).max(1)
}

fn is_not_finite(token: &[u8]) -> bool {
    let text = std::str::from_utf8(token).unwrap_or_default();
    let number = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
    matches!(text, "NaN" | "Infinity" | "-Infinity") || (number && text.parse().is_ok_and(f64::is_infinite))
}

/// Writes one compact JSON value a line.
///
/// # Errors
/// As [`write_json`].
pub fn write_jsonl<T: Serialize>(path: &Path, rows: &[T]) -> Result<(), CommonError> {
    let mut file = JsonlWriter::create(path)?;
    for row in rows {
        file.put(row)?;
    }
    file.commit()
}

/// A JSON Lines file that is written row by row and appears on [`JsonlWriter::commit`], whole.
#[derive(Debug)]
pub struct JsonlWriter {
    file: AtomicFile,
    line: Vec<u8>,
    rows: usize,
}

impl JsonlWriter {
    /// Opens a temporary sibling of `path`.
    ///
    /// # Errors
    /// Those of [`AtomicFile::create`].
    pub fn create(path: &Path) -> Result<Self, CommonError> {
        Ok(Self { file: AtomicFile::create(path)?, line: Vec::new(), rows: 0 })
    }

    /// Appends one row.
    ///
    /// # Errors
    /// As [`write_json`].
    pub fn put<T: Serialize + ?Sized>(&mut self, row: &T) -> Result<(), CommonError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, row)
            .map_err(|source| CommonError::Encode { path: self.file.target().to_path_buf(), source })?;
        self.line.push(b'\n');
        self.rows += 1;
        self.file.put(&self.line)
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// Those of [`AtomicFile::commit`].
    pub fn commit(self) -> Result<(), CommonError> {
        self.file.commit()
    }
}

/// A JSON Lines file that is read row by row, one line in memory at a time; blank lines are skipped.
///
/// Each item is a row or [`CommonError::Json`] with line and column, or an error of [`LineReader`].
#[derive(Debug)]
pub struct JsonlReader<T> {
    lines: LineReader,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> JsonlReader<T> {
    /// Opens `path`.
    ///
    /// # Errors
    /// Those of [`fs::open`].
    pub fn open(path: &Path) -> Result<Self, CommonError> {
        Ok(Self { lines: LineReader::open(path)?, row: PhantomData })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.lines.path()
    }

    /// Number of the line that was read last, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.lines.line()
    }

    /// The next row; `None` at the end of the file.
    ///
    /// # Errors
    /// See the type.
    pub fn next_row(&mut self) -> Result<Option<T>, CommonError> {
        let Some(parsed) = self.lines.next_line()?.map(parse_row) else { return Ok(None) };
        parsed.map(Some).map_err(|error| json_error(self.path(), self.line(), &error))
    }
}

impl<T: DeserializeOwned> Iterator for JsonlReader<T> {
    type Item = Result<T, CommonError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}

/// Reads a file of one JSON value a line; blank lines are skipped.
///
/// # Errors
/// [`CommonError::Json`] with line and column (a torn last line included), else those of [`fs::read`].
pub fn read_jsonl<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, CommonError> {
    let bytes = fs::read(path)?;
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let mut rows = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            rows.push(parse_row(line).map_err(|error| json_error(path, index + 1, &error))?);
        }
    }
    Ok(rows)
}

/// The error for text of the file `path` that is not JSON, at `line`.
#[must_use]
pub fn json_error(path: &Path, line: usize, error: &serde_json::Error) -> CommonError {
    CommonError::Json {
        path: path.to_path_buf(),
        line,
        column: error.column(),
        message: plain_message(error),
    }
}

/// What the parser reports, in plain words and without its own position, which in JSON Lines is always line 1.
#[must_use]
pub fn plain_message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    plain_types(text.strip_suffix(&position).unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::limits::MAX_LINE_BYTES;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Row {
        id: String,
        log_prob: f64,
    }

    fn rows() -> Vec<Row> {
        let row = |id: &str, log_prob| Row { id: id.to_owned(), log_prob };
        vec![row("a", -0.1), row("b\n\u{1b}é", f64::MIN_POSITIVE), row("c", -1.0 / 3.0)]
    }

    #[test]
    fn json_is_indented_ends_with_a_newline_and_keeps_every_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.json");
        write_json(&path, &rows()[..1]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "[\n  {\n    \"id\": \"a\",\n    \"log_prob\": -0.1\n  }\n]\n");
        write_json(&path, &rows()).unwrap();
        assert_eq!(read_json::<Vec<Row>>(&path).unwrap(), rows());
    }

    #[test]
    fn json_lines_are_one_value_a_line_and_keep_every_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        write_jsonl(&path, &rows()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next().unwrap(), r#"{"id":"a","log_prob":-0.1}"#);
        assert_eq!(text.matches('\n').count(), 3);
        assert_eq!(read_jsonl::<Row>(&path).unwrap(), rows());
    }

    #[test]
    fn rows_are_written_and_read_one_by_one_and_the_file_appears_on_the_commit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        let mut writer = JsonlWriter::create(&path).unwrap();
        rows().iter().for_each(|row| writer.put(row).unwrap());
        assert!(!path.exists());
        assert_eq!(writer.rows(), 3);
        writer.commit().unwrap();
        let streamed = fs::read(&path).unwrap();
        write_jsonl(&path, &rows()).unwrap();
        assert_eq!(streamed, fs::read(&path).unwrap());
        let read: Result<Vec<Row>, _> = JsonlReader::open(&path).unwrap().collect();
        assert_eq!(read.unwrap(), rows());
    }

    #[test]
    fn a_reader_names_the_bad_line_skips_blank_ones_and_refuses_an_endless_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        fs::write_atomic(&path, b"\xef\xbb\xbf1\r\n\n2\n3x\n").unwrap();
        let mut reader = JsonlReader::<u8>::open(&path).unwrap();
        assert_eq!(
            (reader.next_row().unwrap(), reader.next_row().unwrap(), reader.line()),
            (Some(1), Some(2), 3)
        );
        let error = reader.next_row().unwrap_err();
        assert!(matches!(error, CommonError::Json { line: 4, column: 2, .. }), "{error:?}");
        let endless = vec![b' '; MAX_LINE_BYTES as usize + 2];
        fs::write_atomic(&path, &endless).unwrap();
        let error = JsonlReader::<u8>::open(&path).unwrap().next_row().unwrap_err();
        assert!(matches!(error, CommonError::TooLarge { .. }), "{error:?}");
    }

    #[test]
    fn blank_lines_carriage_returns_and_a_byte_order_mark_are_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        fs::write_atomic(&path, b"\xef\xbb\xbf1\r\n\n  \n2").unwrap();
        assert_eq!(read_jsonl::<u8>(&path).unwrap(), [1, 2]);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        fs::write_atomic(&path, b"{\"id\":\"a\",\"log_prob\":1}\n\n{\"id\":\"b\",\"log_pr").unwrap();
        let error = read_jsonl::<Row>(&path).unwrap_err();
        assert!(matches!(error, CommonError::Json { line: 3, .. }), "{error:?}");
        assert!(!error.to_string().contains("line 1"), "{error}");
    }

    #[test]
    fn a_bad_json_file_is_named_with_line_and_column() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.json");
        fs::write_atomic(&path, b"[\n  1,\n  x\n]").unwrap();
        let error = read_json::<Vec<u8>>(&path).unwrap_err();
        assert!(matches!(error, CommonError::Json { line: 3, column: 3, .. }), "{error:?}");
    }

    #[test]
    fn numbers_that_are_not_finite_are_null_in_rows_and_nothing_else_changes() {
        let mended =
            |text: &str| with_finite_numbers(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(
            mended(r#"{"a": NaN, "b": [-Infinity,1e400], "c": "NaN \" Infinity", "d": -1e-400}"#).unwrap(),
            r#"{"a": null, "b": [null,null], "c": "NaN \" Infinity", "d": -1e-400}"#
        );
        for text in [r#"{"a": 1.5e300}"#, "", "\"\\", "{\"é\": \"Infinity\"}", "-", "[null]"] {
            assert_eq!(mended(text), None, "{text}");
        }
        let row: serde_json::Value = parse_row(br#"{"id": "a", "ppl": Infinity}"#).unwrap();
        assert_eq!(row, serde_json::json!({"id": "a", "ppl": null}));
        let error = parse_row::<serde_json::Value>(br#"{"a": NaN, "b": x}"#).unwrap_err();
        assert_eq!(error.column(), 7, "the error is that of the text as it is");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.jsonl");
        fs::write_atomic(&path, b"{\"x\": 1e999}\n{\"x\": NaN}\n").unwrap();
        let rows: Vec<serde_json::Value> = read_jsonl(&path).unwrap();
        assert_eq!(rows, [serde_json::json!({"x": null}), serde_json::json!({"x": null})]);
        let rows: Vec<serde_json::Value> = parse_rows(&path, "[1,\n{\"x\": -Infinity}]").unwrap();
        assert_eq!(rows, [serde_json::json!(1), serde_json::json!({"x": null})]);
        let error = parse_rows::<serde_json::Value>(&path, "[NaN,\n x]").unwrap_err();
        assert!(matches!(error, CommonError::Json { line: 1, column: 2, .. }), "{error:?}");
    }

    #[test]
    fn a_deep_nest_of_brackets_is_an_error_not_a_crash() {
        let text = "[".repeat(1_000_000);
        assert!(parse_json::<serde_json::Value>(Path::new("nest.json"), &text).is_err());
    }

    #[test]
    fn a_value_without_a_json_form_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.json");
        write_json(&path, &1).unwrap();
        let map = BTreeMap::from([(vec![1_u8], 2)]);
        assert!(matches!(write_json(&path, &map), Err(CommonError::Encode { .. })));
        assert!(matches!(write_jsonl(&path, &[map]), Err(CommonError::Encode { .. })));
        assert_eq!(read_json::<u8>(&path).unwrap(), 1);
    }
}
