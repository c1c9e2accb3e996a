//! The rows of a JSON array or of a file with one JSON value per line, a batch at a time.

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use crate::error::CommonError;
use crate::files::json::{json_error, with_finite_numbers};
use crate::fs;
use crate::limits::MAX_FILE_BYTES;
use crate::lines::LineReader;

/// About how many bytes of rows a batch has.
const BATCH_BYTES: usize = 1 << 20;

/// What a file holds, by its first character.
#[derive(Debug)]
pub enum RowsFile {
    /// An array, or an object per line.
    Rows(JsonRows),
    /// The text of a file that begins with neither bracket.
    Text(String),
}

impl RowsFile {
    /// Opens `path`. An array is read whole and its structure checked, lines are left to [`JsonRows::batches`].
    ///
    /// # Errors
    /// [`CommonError::Json`] for what begins as an array and is none, with line and column; [`CommonError::TooLarge`] for
    /// lines above [`MAX_FILE_BYTES`]; else those of [`fs::read_to_string`].
    pub fn open(path: &Path) -> Result<Self, CommonError> {
        if first_char(path)? == Some('{') {
            return JsonRows::of_lines(path).map(Self::Rows);
        }
        let text = fs::read_to_string(path)?;
        match text.trim_start().chars().next() {
            Some('[') => {
                let text = checked_array(path, text)?;
                Ok(Self::Rows(JsonRows { path: path.to_owned(), array: Some(text) }))
            }
            Some('{') => JsonRows::of_lines(path).map(Self::Rows),
            _ => Ok(Self::Text(text)),
        }
    }
}

/// The first character of a file that is neither a byte order mark nor white space, as far as its first bytes show it.
fn first_char(path: &Path) -> Result<Option<char>, CommonError> {
    let mut start = Vec::new();
    fs::open(path)?.0.take(4096).read_to_end(&mut start).map_err(CommonError::io("read", path))?;
    let start = String::from_utf8_lossy(&start);
    Ok(start.trim_start_matches('\u{feff}').trim_start().chars().next())
}

/// The text of an array, with finite numbers alone, if it is one.
fn checked_array(path: &Path, text: String) -> Result<String, CommonError> {
    let Err(error) = serde_json::from_str::<IgnoredAny>(&text) else { return Ok(text) };
    let mended = with_finite_numbers(text.as_bytes()).and_then(|text| String::from_utf8(text).ok());
    match mended.filter(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()) {
        Some(mended) => Ok(mended),
        None => Err(json_error(path, error.line(), &error)),
    }
}

/// The rows of a JSON file. They are read batch by batch: of lines no more than a batch is in memory.
#[derive(Debug)]
pub struct JsonRows {
    path: PathBuf,
    /// The text of an array; `None` for one row per line.
    array: Option<String>,
}

impl JsonRows {
    /// The rows of a file with one of them per line.
    ///
    /// # Errors
    /// [`CommonError::TooLarge`] above [`MAX_FILE_BYTES`], and those of [`fs::open`].
    pub fn of_lines(path: &Path) -> Result<Self, CommonError> {
        let (_, found) = fs::open(path)?;
        if found > MAX_FILE_BYTES {
            let (path, limit) = (path.to_owned(), MAX_FILE_BYTES);
            return Err(CommonError::TooLarge { path, found, limit, unit: "bytes" });
        }
        Ok(Self { path: path.to_owned(), array: None })
    }

    /// How errors name a row: `item 3` of an array, `line 3` of a file.
    #[must_use]
    pub fn place(&self, number: usize) -> String {
        format!("{} {number}", if self.array.is_some() { "item" } else { "line" })
    }

    /// The rows from the first one on.
    ///
    /// # Errors
    /// Those of [`fs::open`].
    pub fn batches(&self) -> Result<RowBatches<'_>, CommonError> {
        Ok(RowBatches { source: self.source()?, ended: false })
    }

    fn source(&self) -> Result<RowSource<'_>, CommonError> {
        Ok(match &self.array {
            Some(text) => RowSource::Array(text.trim_start().strip_prefix('[').unwrap_or_default(), 0),
            None => RowSource::Lines(LineReader::open(&self.path)?),
        })
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// As [`RowBatches`].
    pub fn count(&self) -> Result<usize, CommonError> {
        let (mut source, mut row, mut count) = (self.source()?, RowBatch::default(), 0);
        while source.next_row(&mut row)? {
            count += row.places.len();
            row.places.clear();
            row.text.clear();
        }
        Ok(count)
    }
}

/// Some rows that follow each other in a file.
#[derive(Debug, Default)]
pub struct RowBatch {
    text: String,
    /// The number of each row, from 1, and its place in `text`.
    places: Vec<(usize, Range<usize>)>,
}

impl RowBatch {
    /// The text of each row with its number in the array, or the number of its line, from 1.
    #[must_use]
    pub fn rows(&self) -> Vec<(usize, &str)> {
        self.places.iter().map(|(number, place)| (*number, &self.text[place.clone()])).collect()
    }

    fn push(&mut self, number: usize, row: &str) {
        let start = self.text.len();
        self.text.push_str(row);
        self.places.push((number, start..self.text.len()));
    }
}

/// The batches of a file in their order.
///
/// Errors, after which nothing follows, are those of [`LineReader`], and [`CommonError::NotUtf8`].
#[derive(Debug)]
pub struct RowBatches<'a> {
    source: RowSource<'a>,
    ended: bool,
}

#[derive(Debug)]
enum RowSource<'a> {
    /// What is left of an array, and how many items have been read.
    Array(&'a str, usize),
    Lines(LineReader),
}

impl RowSource<'_> {
    /// Adds the next row; `false` if there is none.
    fn next_row(&mut self, batch: &mut RowBatch) -> Result<bool, CommonError> {
        match self {
            Self::Array(rest, number) => {
                let next = rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
                let mut items = Deserializer::from_str(next).into_iter::<IgnoredAny>();
                // The end of the array is no value.
                let Some(Ok(_)) = items.next() else { return Ok(false) };
                let (item, after) = next.split_at(items.byte_offset());
                (*rest, *number) = (after, *number + 1);
                batch.push(*number, item);
            }
            Self::Lines(lines) => {
                let Some((number, line)) = lines.next_numbered()? else { return Ok(false) };
                match std::str::from_utf8(line).map_err(|error| error.valid_up_to()) {
                    Ok(text) if text.trim().is_empty() => {}
                    Ok(text) => batch.push(number, text),
                    Err(at) => return Err(lines.not_utf8(at)),
                }
            }
        }
        Ok(true)
    }
}

impl Iterator for RowBatches<'_> {
    type Item = Result<RowBatch, CommonError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = RowBatch::default();
        while !self.ended && batch.text.len() < BATCH_BYTES {
            match self.source.next_row(&mut batch) {
                Ok(more) => self.ended = !more,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        (!batch.places.is_empty()).then_some(Ok(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::write_atomic;

    fn read(bytes: &[u8]) -> Result<Vec<(usize, String)>, CommonError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows");
        write_atomic(&path, bytes).unwrap();
        let RowsFile::Rows(rows) = RowsFile::open(&path)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for batch in rows.batches()? {
            found.extend(batch?.rows().into_iter().map(|(number, row)| (number, row.to_owned())));
        }
        assert_eq!(rows.count()?, found.len());
        Ok(found)
    }

    #[test]
    fn an_array_and_lines_give_the_same_rows_whatever_stands_around_them() {
        let rows = |numbers: [usize; 2]| {
            numbers.into_iter().zip(["{\"a\": 1}", "[{}]"].map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(read(b"\xef\xbb\xbf\n [{\"a\": 1},\n\t[{}]\n] ").unwrap(), rows([1, 2]));
        assert_eq!(read(b"\xef\xbb\xbf\n\n{\"a\": 1}\r\n\xc2\xa0\n[{}]").unwrap(), rows([3, 5]));
        assert_eq!(read(b"7, 8").unwrap(), []);
    }

    #[test]
    fn a_file_of_many_batches_gives_every_row_once_and_in_order() {
        let lines: Vec<String> =
            (0..60_000).map(|at| format!("{{\"id\": {at}, \"text\": \"a reply\"}}")).collect();
        let numbered: Vec<(usize, String)> =
            lines.iter().cloned().enumerate().map(|(at, line)| (at + 1, line)).collect();
        assert!(read(lines.join("\n").as_bytes()).unwrap() == numbered);
        assert!(read(format!("[{}]", lines.join(",")).as_bytes()).unwrap() == numbered);
    }

    #[test]
    fn bad_bytes_and_broken_arrays_are_named_by_their_place() {
        let error = read(b"\xef\xbb\xbf{}\n\n{\"a\": \"\xff\"}").unwrap_err();
        assert!(matches!(error, CommonError::NotUtf8 { byte: 14, .. }), "{error:?}");
        let error = read(b"[1,\n2").unwrap_err();
        assert!(matches!(error, CommonError::Json { line: 2, .. }), "{error:?}");
        assert_eq!(read(b"[NaN, 1e999]").unwrap(), [(1, "null".to_owned()), (2, "null".to_owned())]);
    }
}
