//! A folder that can be verified: the size and hash of every file in it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::error::CommonError;
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
            let (_, size_bytes) = atomic::open(&path)?;
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
    let (_, bytes) = atomic::open(path)?;
    Ok(FileEntry { sha256: sha256_file(path)?, bytes })
}
