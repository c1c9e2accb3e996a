//! Reading, with errors that name the file.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::error::CommonError;
use crate::files::faults;
use crate::limits::{MAX_FILE_BYTES, MAX_TEXT_BYTES};

/// The content of a file of at most [`MAX_FILE_BYTES`].
///
/// # Errors
/// As [`read_limited`].
pub fn read(path: &Path) -> Result<Vec<u8>, CommonError> {
    read_limited(path, MAX_FILE_BYTES)
}

/// The content of a file of at most `limit_bytes`.
///
/// # Errors
/// [`CommonError::NotFound`], [`CommonError::NotAFile`] for folders, pipes and devices (which could block or never
/// end), [`CommonError::TooLarge`], [`CommonError::Io`].
pub fn read_limited(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, CommonError> {
    let (file, size_bytes) = open(path)?;
    let too_large =
        |found| CommonError::TooLarge { path: path.to_path_buf(), found, limit: limit_bytes, unit: "bytes" };
    if size_bytes > limit_bytes {
        return Err(too_large(size_bytes));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size_bytes).unwrap_or(0));
    // The size is a claim (the file may grow meanwhile): read no more than the limit, and see whether there is more.
    let read =
        faults::before(path).and_then(|()| file.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes));
    let read_bytes = read.map_err(CommonError::io("read", path))? as u64;
    if read_bytes > limit_bytes { Err(too_large(read_bytes)) } else { Ok(bytes) }
}

/// The content of a text file of at most [`MAX_TEXT_BYTES`]; a byte order mark is dropped.
///
/// # Errors
/// As [`read_limited`], and [`CommonError::NotUtf8`].
pub fn read_to_string(path: &Path) -> Result<String, CommonError> {
    read_text_limited(path, MAX_TEXT_BYTES)
}

/// The same for a file of at most `limit_bytes`.
///
/// # Errors
/// As [`read_to_string`].
pub fn read_text_limited(path: &Path, limit_bytes: u64) -> Result<String, CommonError> {
    let text = String::from_utf8(read_limited(path, limit_bytes)?).map_err(|error| CommonError::NotUtf8 {
        path: path.to_path_buf(),
        byte: error.utf8_error().valid_up_to(),
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Opens a regular file for reading and says how many bytes it has.
///
/// # Errors
/// [`CommonError::NotFound`], [`CommonError::NotAFile`], [`CommonError::Io`].
pub fn open(path: &Path) -> Result<(File, u64), CommonError> {
    // Asked before opening: opening a pipe waits for its writer.
    let metadata = faults::before(path).and_then(|()| fs::metadata(path));
    let metadata = metadata.map_err(CommonError::reading("read", path))?;
    if !metadata.is_file() {
        return Err(CommonError::NotAFile { path: path.to_path_buf() });
    }
    let file = File::open(path).map_err(CommonError::reading("read", path))?;
    Ok((file, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::write_atomic;

    #[test]
    fn missing_files_folders_and_large_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert!(matches!(read(&path), Err(CommonError::NotFound { path: p }) if p == path));
        assert!(matches!(read(dir.path()), Err(CommonError::NotAFile { .. })));
        write_atomic(&path, b"12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        assert!(matches!(read_limited(&path, 4), Err(CommonError::TooLarge { found: 5, limit: 4, .. })));
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_not_read() {
        assert!(matches!(read(Path::new("/dev/zero")), Err(CommonError::NotAFile { .. })));
    }

    #[test]
    fn text_loses_its_byte_order_mark_and_must_be_utf8() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_atomic(&path, b"\xef\xbb\xbfhi").unwrap();
        assert_eq!(read_to_string(&path).unwrap(), "hi");
        write_atomic(&path, b"abc\xff").unwrap();
        assert!(matches!(read_to_string(&path), Err(CommonError::NotUtf8 { byte: 3, .. })));
    }
}
