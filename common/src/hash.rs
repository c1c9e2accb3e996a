//! SHA-256 of bytes, files and folders, in lower-case hexadecimal.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::atomic;
use crate::error::CommonError;
use crate::paths::regular_files;

/// SHA-256 (FIPS 180-4) of `bytes`.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's content, read in pieces.
///
/// # Errors
/// [`CommonError::NotFound`], [`CommonError::NotAFile`], [`CommonError::Io`].
pub fn sha256_file(path: &Path) -> Result<String, CommonError> {
    let (mut file, _) = atomic::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(CommonError::io("read", path))?;
        if count == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

/// SHA-256 of a folder: of the lines `name NUL sha256 LF` of its regular files (see [`regular_files`]), by name.
///
/// Times, permissions, empty folders and hidden files do not count; where the folder lies does not either.
///
/// # Errors
/// As [`sha256_file`] and [`regular_files`].
pub fn sha256_dir(dir: &Path) -> Result<String, CommonError> {
    let mut hasher = Sha256::new();
    for (name, path) in regular_files(dir)? {
        hasher.update(format!("{name}\0{}\n", sha256_file(&path)?));
    }
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
