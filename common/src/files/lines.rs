//! The lines of a file of any size, one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::CommonError;
use crate::fs;
use crate::limits::MAX_LINE_BYTES;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads the lines of a file one by one; blank lines are skipped, and a byte order mark is dropped.
///
/// Errors are [`CommonError::TooLarge`] for a line above [`MAX_LINE_BYTES`], and [`CommonError::Io`].
#[derive(Debug)]
pub struct LineReader {
    path: PathBuf,
    file: BufReader<File>,
    buffer: Vec<u8>,
    line: usize,
    /// Bytes of the file up to the end of the line.
    end: usize,
}

impl LineReader {
    /// Opens `path`.
    ///
    /// # Errors
    /// Those of [`fs::open`].
    pub fn open(path: &Path) -> Result<Self, CommonError> {
        let (file, _) = fs::open(path)?;
        let file = BufReader::with_capacity(1 << 18, file);
        Ok(Self { path: path.to_path_buf(), file, buffer: Vec::new(), line: 0, end: 0 })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of the line that was read last, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The next line that is not blank, without its line break; `None` at the end of the file.
    ///
    /// # Errors
    /// See the type.
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, CommonError> {
        Ok(self.next_numbered()?.map(|(_, line)| line))
    }

    /// [`Self::next_line`] with its [`Self::line`].
    pub(super) fn next_numbered(&mut self) -> Result<Option<(usize, &[u8])>, CommonError> {
        loop {
            self.buffer.clear();
            let count = (&mut self.file)
                .take(MAX_LINE_BYTES + 1)
                .read_until(b'\n', &mut self.buffer)
                .map_err(CommonError::io("read", &self.path))?;
            if count == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.end += count;
            if count as u64 > MAX_LINE_BYTES {
                let (found, limit) = (count as u64, MAX_LINE_BYTES);
                let path = self.path.clone();
                return Err(CommonError::TooLarge { path, found, limit, unit: "bytes in a line" });
            }
            if self.line == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) {
                self.buffer.drain(..BYTE_ORDER_MARK.len());
            }
            if !self.buffer.trim_ascii().is_empty() {
                let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
                return Ok(Some((self.line, line.strip_suffix(b"\r").unwrap_or(line))));
            }
        }
    }

    /// The error for a bad byte of the current line, `at` bytes from its start.
    pub(super) fn not_utf8(&self, at: usize) -> CommonError {
        CommonError::NotUtf8 { path: self.path.clone(), byte: self.end - self.buffer.len() + at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::write_atomic;

    #[test]
    fn lines_come_with_their_numbers_and_without_line_breaks_marks_and_blank_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        write_atomic(&path, b"\xef\xbb\xbfa\r\n\n \t\nb \nc").unwrap();
        let mut reader = LineReader::open(&path).unwrap();
        let mut found = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            let line = String::from_utf8(line.to_vec()).unwrap();
            found.push((line, reader.line()));
        }
        assert_eq!(found, [("a".to_owned(), 1), ("b ".to_owned(), 4), ("c".to_owned(), 5)]);
    }
}
