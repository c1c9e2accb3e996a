//! Files and folders created, moved and removed.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::CommonError;
use crate::files::faults;

pub(super) const TEMP_PREFIX: &str = ".idk-";
pub(super) const TEMP_SUFFIX: &str = ".tmp";

/// Removes a file; one that is missing is no error.
///
/// # Errors
/// [`CommonError::Io`] that names `path`.
pub fn remove_if_exists(path: &Path) -> Result<(), CommonError> {
    match faults::before(path).and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CommonError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes the temporary files that killed writers left in `dir` (not in its subfolders). Call it while holding the
/// folder's [`crate::lock::RunLock`]: it cannot tell a live writer's file from a dead one's.
///
/// # Errors
/// [`CommonError::NotFound`] or [`CommonError::Io`] that names the folder or the file.
pub fn remove_temporaries(dir: &Path) -> Result<(), CommonError> {
    for entry in fs::read_dir(dir).map_err(CommonError::reading("list", dir))? {
        let path = entry.map_err(CommonError::io("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_temporary(name) {
            fs::remove_file(&path).map_err(CommonError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Whether a file of this name is one that [`remove_temporaries`] clears away.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMP_PREFIX) && name.ends_with(TEMP_SUFFIX)
}

/// Creates `path` and whatever folder above it is missing.
///
/// # Errors
/// [`CommonError::Io`] that names `path`.
pub fn create_dir_all(path: &Path) -> Result<(), CommonError> {
    faults::before(path)
        .and_then(|()| fs::create_dir_all(path))
        .map_err(CommonError::io("create the folder", path))
}

#[cfg(test)]
mod tests {
    use super::super::write_atomic;
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn removing_a_missing_file_is_no_error_and_removing_a_folder_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        write_atomic(&file, b"x").unwrap();
        remove_if_exists(&file).unwrap();
        assert!(!file.exists());
        remove_if_exists(&file).unwrap();
        assert!(
            matches!(remove_if_exists(dir.path()), Err(CommonError::Io { path, .. }) if path == dir.path())
        );
    }

    #[test]
    fn leftovers_of_killed_writers_are_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".idk-1-0.tmp", ".lock", "idk-1-0.tmp", ".idk-notes"] {
            write_atomic(&dir.path().join(name), b"x").unwrap();
        }
        remove_temporaries(dir.path()).unwrap();
        assert_eq!(names(dir.path()), [".idk-notes", ".lock", "idk-1-0.tmp"]);
    }
}
