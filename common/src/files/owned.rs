//! Which files of a folder are the program's own.
//!
//! Whoever writes into a folder that may hold other people's files claims its names first. A name that already exists
//! and was never claimed is somebody else's: it is never replaced or deleted.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::CommonError;
use crate::fs::{is_temporary, read_to_string, write_atomic};
use crate::lock::{LOCK_FILE, RunLock};

/// The hidden list of what was claimed in a folder, one name per line. Whoever removes it gives the names up.
pub const OWNED_FILE: &str = ".idk-owned";

/// Locks `dir` and claims `names` in it: whatever has one of these names is the program's from now on. A name may end
/// with `*`, for any ending. What killed writers left in the claimed files and folders is removed.
///
/// # Errors
/// [`CommonError::NotOurs`] before anything is written, as by [`check`]; those of [`RunLock::acquire`];
/// [`CommonError::Io`].
pub fn claim(dir: &Path, names: &[&str]) -> Result<RunLock, CommonError> {
    check(dir, names)?;
    claim_unchecked(dir, names)
}

/// As [`claim`] for a folder that has been checked.
pub(crate) fn claim_unchecked(dir: &Path, names: &[&str]) -> Result<RunLock, CommonError> {
    let lock = RunLock::acquire(dir)?;
    let mut owned = claimed(dir)?;
    let before = owned.len();
    owned.extend(names.iter().map(|&name| name.to_owned()));
    if owned.len() > before {
        let lines: String = owned.iter().map(|name| format!("{name}\n")).collect();
        write_atomic(&dir.join(OWNED_FILE), lines.as_bytes())?;
    }
    for (name, is_folder) in entries(dir)? {
        if is_temporary(&name) {
            remove(&dir.join(name))?;
        } else if is_folder && is_among(&name, &owned) {
            remove_temporaries_below(&dir.join(name))?;
        }
    }
    Ok(lock)
}

/// Checks that what has one of `names` in `dir`, if anything, was claimed earlier. Nothing is written.
///
/// # Errors
/// [`CommonError::NotOurs`] with the first that was not; [`CommonError::Io`] if the folder cannot be read.
pub fn check(dir: &Path, names: &[&str]) -> Result<(), CommonError> {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    let owned = claimed(dir)?;
    match entries(dir)?.into_iter().find(|(name, _)| is_among(name, &names) && !is_among(name, &owned)) {
        Some((name, _)) => Err(CommonError::NotOurs { path: dir.join(name) }),
        None => Ok(()),
    }
}

/// Whether the program has claimed `name` in `dir`.
///
/// # Errors
/// [`CommonError::Io`] if the list cannot be read.
pub fn is_owned(dir: &Path, name: &str) -> Result<bool, CommonError> {
    Ok(is_among(name, &claimed(dir)?))
}

/// Removes what killed writers left in `dir` and the folders below it. Folders that have a lock of their own are left
/// to its holder, and links are not followed. Call it while holding the lock of the folder above.
///
/// # Errors
/// [`CommonError::Io`] that names the folder or the file.
pub fn remove_temporaries_below(dir: &Path) -> Result<(), CommonError> {
    if dir.join(LOCK_FILE).exists() {
        return Ok(());
    }
    for (name, is_folder) in entries(dir)? {
        if is_folder {
            remove_temporaries_below(&dir.join(name))?;
        } else if is_temporary(&name) {
            remove(&dir.join(name))?;
        }
    }
    Ok(())
}

fn claimed(dir: &Path) -> Result<BTreeSet<String>, CommonError> {
    match read_to_string(&dir.join(OWNED_FILE)) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(CommonError::NotFound { .. }) => Ok(BTreeSet::new()),
        // A file is in the way of the folder: whoever makes the folder says so.
        Err(CommonError::Io { source, .. }) if source.kind() == ErrorKind::NotADirectory => {
            Ok(BTreeSet::new())
        }
        Err(error) => Err(error),
    }
}

fn is_among(name: &str, names: &BTreeSet<String>) -> bool {
    names.iter().any(|known| match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == known,
    })
}

/// Names of what is in a folder, in order, and whether each is a folder; nothing if there is no such folder.
fn entries(dir: &Path) -> Result<BTreeSet<(String, bool)>, CommonError> {
    if !dir.exists() {
        return Ok(BTreeSet::new());
    }
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).map_err(CommonError::reading("list", dir))? {
        let entry = entry.map_err(CommonError::io("list", dir))?;
        let kind = entry.file_type().map_err(CommonError::io("list", dir))?;
        // A name that is no text is none of ours.
        if let Ok(name) = entry.file_name().into_string() {
            found.insert((name, kind.is_dir()));
        }
    }
    Ok(found)
}

fn remove(path: &Path) -> Result<(), CommonError> {
    std::fs::remove_file(path).map_err(CommonError::io("remove", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::read;

    #[test]
    fn what_was_claimed_is_ours_for_good_and_what_was_there_before_never() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        drop(claim(&out, &["a", "answers-*"]).unwrap());
        for name in ["a", "answers-base.jsonl", "b"] {
            write_atomic(&out.join(name), b"x").unwrap();
        }
        drop(claim(&out, &["a", "answers-*", "c"]).unwrap());
        assert!(is_owned(&out, "answers-base.jsonl").unwrap() && is_owned(&out, "c").unwrap());
        assert!(!is_owned(&out, "b").unwrap());
        let list = read(&out.join(OWNED_FILE)).unwrap();
        for names in [&["b"][..], &["a", "b"], &["b*"]] {
            let error = claim(&out, names).unwrap_err();
            assert!(matches!(error, CommonError::NotOurs { path } if path == out.join("b")));
        }
        assert_eq!(read(&out.join(OWNED_FILE)).unwrap(), list, "a rejected claim leaves no mark");
    }

    #[test]
    fn a_rejected_claim_leaves_a_strangers_folder_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("data")).unwrap();
        assert!(claim(dir.path(), &["data"]).is_err());
        assert!(claim(&dir.path().join("data/none"), &["x"]).is_ok());
        std::fs::remove_dir_all(dir.path().join("data/none")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(dir.path().join("data")).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_killed_writers_go_from_claimed_folders_and_from_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let leftovers = ["ours/.idk-1-0.tmp", "ours/deep/.hidden/.idk-1-1.tmp", ".idk-1-2.tmp"];
        let kept = ["theirs/.idk-1-3.tmp", "ours/cell/.idk-1-4.tmp", "ours/cell/.lock", "ours/a"];
        drop(claim(dir.path(), &["ours"]).unwrap());
        for name in leftovers.iter().chain(&kept) {
            write_atomic(&dir.path().join(name), b"x").unwrap();
        }
        drop(claim(dir.path(), &["ours"]).unwrap());
        assert!(leftovers.iter().all(|name| !dir.path().join(name).exists()));
        assert!(kept.iter().all(|name| dir.path().join(name).exists()));
    }
}
