//! SHA-256 of bytes, files and folders, in lower-case hexadecimal.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::CommonError;
use crate::fs;
use crate::paths::regular_files;

/// SHA-256 (FIPS 180-4) of `bytes`.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of bytes that come in parts, one after the other.
pub fn sha256_of_parts<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> String {
    let mut hasher = PartsHasher::default();
    parts.into_iter().for_each(|part| hasher.add(part));
    hasher.sha256()
}

/// [`sha256_of_parts`] for parts that are made one at a time.
#[derive(Clone, Debug, Default)]
pub struct PartsHasher(Sha256);

impl PartsHasher {
    /// Adds the next part.
    pub fn add(&mut self, part: impl AsRef<[u8]>) {
        self.0.update(part);
    }

    /// SHA-256 of the parts so far.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex(&self.0.clone().finalize())
    }
}

/// SHA-256 of a file's content, read in pieces.
///
/// # Errors
/// [`CommonError::NotFound`], [`CommonError::NotAFile`], [`CommonError::Io`].
pub fn sha256_file(path: &Path) -> Result<String, CommonError> {
    let (mut file, _) = fs::open(path)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::write_atomic;

    #[test]
    fn hashes_are_those_of_the_standard() {
        // FIPS 180-4 example values, and the million "a" of its long test.
        let vectors: [(&[u8], &str); 3] = [
            (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ];
        for (bytes, expected) in vectors {
            assert_eq!(sha256_hex(bytes), expected);
        }
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(sha256_hex(&vec![b'a'; 1_000_000]), million);
        assert_eq!(sha256_of_parts(["a".repeat(400_000), String::new(), "a".repeat(600_000)]), million);
    }

    #[test]
    fn a_file_larger_than_the_buffer_hashes_as_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let bytes: Vec<u8> = (0..2_500_000_u32).map(|i| (i % 253) as u8).collect();
        write_atomic(&path, &bytes).unwrap();
        assert_eq!(sha256_file(&path).unwrap(), sha256_hex(&bytes));
        let missing = dir.path().join("none");
        assert!(matches!(sha256_file(&missing), Err(CommonError::NotFound { path }) if path == missing));
    }

    #[test]
    fn a_folder_hashes_to_the_value_computed_elsewhere_whatever_its_place_and_hidden_files() {
        for names in [["a.txt", "b/c.txt"], ["b/c.txt", "a.txt"]] {
            let dir = tempfile::tempdir().unwrap();
            for name in names {
                let content: &[u8] = if name == "a.txt" { b"one" } else { b"two" };
                write_atomic(&dir.path().join(name), content).unwrap();
            }
            write_atomic(&dir.path().join(".lock"), b"123").unwrap();
            write_atomic(&dir.path().join(".cache/x"), b"123").unwrap();
            // Python: sha256(b"a.txt\0" + hexdigest(b"one") + b"\nb/c.txt\0" + hexdigest(b"two") + b"\n")
            let expected = "5649f4a377038d621a6f1beda4ea7b5102ecea2e853648e9cdc56f3f46e992b3";
            assert_eq!(sha256_dir(dir.path()).unwrap(), expected);
        }
    }

    #[test]
    fn a_changed_or_renamed_file_changes_the_hash_of_its_folder() {
        let hash_of = |name: &str, content: &[u8]| {
            let dir = tempfile::tempdir().unwrap();
            write_atomic(&dir.path().join(name), content).unwrap();
            sha256_dir(dir.path()).unwrap()
        };
        assert_ne!(hash_of("a", b"one"), hash_of("a", b"two"));
        assert_ne!(hash_of("a", b"one"), hash_of("b", b"one"));
    }
}
