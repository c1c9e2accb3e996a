//! A folder that can be verified: the size and hash of every file in it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::CommonError;
use crate::fs;
use crate::hash::sha256_file;
use crate::json::{read_json, write_json};
use crate::paths::{regular_files, resolve_inside};

/// Name of the manifest in its folder.
pub const MANIFEST_FILE: &str = "MANIFEST.json";

/// Size and hash of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// SHA-256 of the content, lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// The files of a folder by relative name, without hidden files and without the manifest itself.
///
/// Written last, it marks the folder as complete. It finds damage, not fraud: whoever can change a file can change
/// the manifest. Files that it does not list are not its business.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Entry of every file, in byte order of the names.
    pub files: BTreeMap<String, FileEntry>,
}

impl Manifest {
    /// Hashes every file of `dir`, subfolders included.
    ///
    /// # Errors
    /// Those of [`regular_files`] and [`sha256_file`].
    pub fn of_dir(dir: &Path) -> Result<Self, CommonError> {
        let mut files = BTreeMap::new();
        for (name, path) in regular_files(dir)? {
            if name != MANIFEST_FILE {
                files.insert(name, entry_of(&path)?);
            }
        }
        Ok(Self { files })
    }

    /// Writes the manifest into `dir`.
    ///
    /// # Errors
    /// Those of [`write_json`].
    pub fn write(&self, dir: &Path) -> Result<(), CommonError> {
        write_json(&dir.join(MANIFEST_FILE), self)
    }

    /// Reads the manifest of `dir`.
    ///
    /// # Errors
    /// Those of [`read_json`]; [`CommonError::NotFound`] means that the folder was never completed.
    pub fn read(dir: &Path) -> Result<Self, CommonError> {
        read_json(&dir.join(MANIFEST_FILE))
    }

    /// Checks that every listed file is in `dir`, as listed.
    ///
    /// # Errors
    /// The first file, by name, that is missing ([`CommonError::NotFound`]), differs ([`CommonError::Mismatch`]) or is
    /// not inside `dir` ([`CommonError::OutsideFolder`]).
    pub fn verify(&self, dir: &Path) -> Result<(), CommonError> {
        for (name, listed) in &self.files {
            let path = resolve_inside(dir, name)?;
            let (_, size_bytes) = fs::open(&path)?;
            let mismatch = |what, expected: String, found: String| CommonError::Mismatch {
                path: path.clone(),
                what,
                expected,
                found,
            };
            // The size first: it is free, and says more than a hash does about a truncated file.
            if size_bytes != listed.bytes {
                return Err(mismatch("size in bytes", listed.bytes.to_string(), size_bytes.to_string()));
            }
            let sha256 = sha256_file(&path)?;
            if sha256 != listed.sha256 {
                return Err(mismatch("sha256", listed.sha256.clone(), sha256));
            }
        }
        Ok(())
    }
}

/// Reads the manifest of `dir` and checks the folder against it.
///
/// # Errors
/// Those of [`Manifest::read`] and [`Manifest::verify`].
pub fn verify_dir(dir: &Path) -> Result<(), CommonError> {
    Manifest::read(dir)?.verify(dir)
}

fn entry_of(path: &Path) -> Result<FileEntry, CommonError> {
    let (_, bytes) = fs::open(path)?;
    Ok(FileEntry { sha256: sha256_file(path)?, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{read, write_atomic};

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [("a.bin", b"one".as_slice()), ("sub/b.bin", b"two"), ("empty", b"")] {
            write_atomic(&dir.path().join(name), content).unwrap();
        }
        Manifest::of_dir(dir.path()).unwrap().write(dir.path()).unwrap();
        dir
    }

    #[test]
    fn an_untouched_folder_verifies_and_its_manifest_does_not_list_itself() {
        let dir = folder();
        verify_dir(dir.path()).unwrap();
        let names: Vec<String> = Manifest::read(dir.path()).unwrap().files.into_keys().collect();
        assert_eq!(names, ["a.bin", "empty", "sub/b.bin"]);
        let before = read(&dir.path().join(MANIFEST_FILE)).unwrap();
        Manifest::of_dir(dir.path()).unwrap().write(dir.path()).unwrap();
        assert_eq!(read(&dir.path().join(MANIFEST_FILE)).unwrap(), before);
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_names_its_file() {
        let dir = folder();
        for name in ["a.bin", "sub/b.bin"] {
            let path = dir.path().join(name);
            let good = read(&path).unwrap();
            let flips = (0..8 * good.len()).map(|bit| {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                bad
            });
            let cuts = (0..good.len()).map(|length| good[..length].to_vec());
            for bad in flips.chain(cuts) {
                write_atomic(&path, &bad).unwrap();
                let error = verify_dir(dir.path()).unwrap_err();
                assert!(matches!(&error, CommonError::Mismatch { path: p, .. } if *p == path), "{error:?}");
            }
            write_atomic(&path, &good).unwrap();
            verify_dir(dir.path()).unwrap();
        }
    }

    #[test]
    fn a_missing_file_and_a_missing_manifest_are_named() {
        let dir = folder();
        let path = dir.path().join("empty");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(verify_dir(dir.path()), Err(CommonError::NotFound { path: p }) if p == path));
        let path = dir.path().join(MANIFEST_FILE);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(verify_dir(dir.path()), Err(CommonError::NotFound { path: p }) if p == path));
    }

    #[test]
    fn a_manifest_cannot_reach_out_of_its_folder() {
        let dir = folder();
        let mut manifest = Manifest::of_dir(dir.path()).unwrap();
        manifest.files.insert("../../etc/passwd".to_owned(), FileEntry { sha256: String::new(), bytes: 0 });
        assert!(matches!(manifest.verify(dir.path()), Err(CommonError::OutsideFolder { .. })));
    }

    #[test]
    fn unlisted_files_are_not_its_business() {
        let dir = folder();
        write_atomic(&dir.path().join("notes.txt"), b"mine").unwrap();
        verify_dir(dir.path()).unwrap();
    }
}
