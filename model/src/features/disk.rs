//! Audio features on disk, shared by runs: one file per clip, named by everything that its values depend on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use idk_common::hash::sha256_hex;
use idk_common::{CommonError, fs};

use crate::error::ModelError;

/// Ending of the files.
const ENDING: &str = "features";

/// A folder of features.
#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    limit_bytes: u64,
    contents: Mutex<Contents>,
}

/// What the folder held when it was opened, and what was done since.
#[derive(Debug, Default)]
struct Contents {
    total_bytes: u64,
    /// Files of other runs, the next to be removed last.
    others: Vec<(PathBuf, u64)>,
    /// The names that this run uses: never removed by it.
    ours: BTreeSet<String>,
}

/// What is stored of a clip.
#[derive(Debug, PartialEq)]
pub(super) enum Stored {
    /// Its features, `[tokens, width]`, row-major.
    Values(Vec<f32>),
    /// Nothing.
    Missing,
    /// A file that is not what was written.
    Damaged,
}

impl Disk {
    /// Opens or creates the folder `dir`, which is to hold at most `limit_bytes`.
    pub(super) fn open(dir: &Path, limit_bytes: u64) -> Result<Self, ModelError> {
        fs::create_dir_all(dir)?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(CommonError::reading("list", dir))? {
            let entry = entry.map_err(CommonError::io("list", dir))?;
            let path = entry.path();
            // Another run may have removed it meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && path.extension().is_some_and(|ending| ending == ENDING) {
                let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((written, path, metadata.len()));
            }
        }
        files.sort_by(|one, other| other.cmp(one));
        let contents = Contents {
            total_bytes: files.iter().map(|(_, _, bytes)| bytes).sum(),
            others: files.into_iter().map(|(_, path, bytes)| (path, bytes)).collect(),
            ours: BTreeSet::new(),
        };
        Ok(Self { dir: dir.to_owned(), limit_bytes, contents: Mutex::new(contents) })
    }

    /// Marks the features of these keys as used by this run.
    pub(super) fn protect<'a>(&self, keys: impl Iterator<Item = &'a str>) {
        self.contents().ours.extend(keys.map(name));
    }

    /// Where the features of a key are or would be.
    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.dir.join(name(key))
    }

    /// What is stored of a key whose features have `values` numbers.
    pub(super) fn read(&self, key: &str, values: usize) -> Stored {
        let bytes = match fs::read(&self.path(key)) {
            Ok(bytes) => bytes,
            Err(CommonError::NotFound { .. }) => return Stored::Missing,
            Err(_) => return Stored::Damaged,
        };
        let Some((hash, values_bytes)) = bytes.split_at_checked(64) else { return Stored::Damaged };
        let is_whole = values_bytes.len() == 4 * values && sum(key, values_bytes).as_bytes() == hash;
        if !is_whole {
            return Stored::Damaged;
        }
        Stored::Values(values_bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect())
    }

    /// Whether something is stored of a key; it may turn out to be damaged.
    pub(super) fn has(&self, key: &str) -> bool {
        self.path(key).is_file()
    }

    /// Whether [`Disk::write`] would find room for the features of a key.
    pub(super) fn has_room(&self, key: &str, values: usize) -> bool {
        let contents = self.contents();
        let replaced = self.size_of(key);
        let fits = |kept: u64| kept.saturating_sub(replaced) + stored_bytes(values) <= self.limit_bytes;
        if fits(contents.total_bytes) {
            return true;
        }
        let others = contents.others.iter().filter(|(path, _)| !contents.is_ours(path));
        let removable: u64 = others.map(|(_, bytes)| bytes).sum();
        fits(contents.total_bytes.saturating_sub(removable))
    }

    /// Stores the features of a key, after removing the oldest files of other runs if there is no room; returns whether
    /// there was.
    pub(super) fn write(&self, key: &str, values: &[f32]) -> Result<bool, ModelError> {
        let size = stored_bytes(values.len());
        let mut contents = self.contents();
        contents.ours.insert(name(key));
        let replaced = self.size_of(key);
        while contents.total_bytes.saturating_sub(replaced) + size > self.limit_bytes {
            let Some((other, bytes)) = contents.others.pop() else { return Ok(false) };
            if !contents.is_ours(&other) {
                // Another run may have been faster.
                let _ = std::fs::remove_file(&other);
                contents.total_bytes = contents.total_bytes.saturating_sub(bytes);
            }
        }
        let values_bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut bytes = sum(key, &values_bytes).into_bytes();
        bytes.extend(values_bytes);
        fs::write_atomic(&self.path(key), &bytes)?;
        contents.total_bytes = contents.total_bytes.saturating_sub(replaced) + size;
        Ok(true)
    }

    fn size_of(&self, key: &str) -> u64 {
        std::fs::metadata(self.path(key)).map_or(0, |metadata| metadata.len())
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn is_ours(&self, path: &Path) -> bool {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| self.ours.contains(name))
    }
}

fn name(key: &str) -> String {
    format!("{key}.{ENDING}")
}

/// What a file begins with: the hash of its key and its numbers. A whole file under another name is damaged too.
fn sum(key: &str, values_bytes: &[u8]) -> String {
    sha256_hex(&[key.as_bytes(), b"\n", values_bytes].concat())
}

/// Size of the file of features of `values` numbers: a hash in hexadecimal, then the numbers.
pub(super) fn stored_bytes(values: usize) -> u64 {
    64 + 4 * values as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Disk {
        Disk::open(dir, 1 << 20).unwrap()
    }

    #[test]
    fn what_was_stored_is_found_under_its_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let values = [1.5, f32::MIN_POSITIVE, -0.0, 3.0];
        assert_eq!(open(dir.path()).read("a", 4), Stored::Missing);
        assert!(open(dir.path()).write("a", &values).unwrap());
        assert_eq!(open(dir.path()).read("a", 4), Stored::Values(values.to_vec()));
        assert_eq!(open(dir.path()).read("b", 4), Stored::Missing);
    }

    #[test]
    fn a_file_with_one_flipped_bit_or_cut_off_or_of_another_length_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let disk = open(dir.path());
        disk.write("a", &[1.0, 2.0]).unwrap();
        assert_eq!(disk.read("a", 3), Stored::Damaged);
        let whole = std::fs::read(disk.path("a")).unwrap();
        let mut flipped = whole.clone();
        flipped[70] ^= 1;
        for bytes in [&flipped[..], &whole[..whole.len() - 1], &whole[..20], &[]] {
            fs::write_atomic(&disk.path("a"), bytes).unwrap();
            assert_eq!(disk.read("a", 2), Stored::Damaged);
        }
    }

    #[test]
    fn a_whole_file_of_another_clip_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let disk = open(dir.path());
        disk.write("a", &[1.0, 2.0]).unwrap();
        disk.write("b", &[3.0, 4.0]).unwrap();
        fs::write_atomic(&disk.path("b"), &fs::read(&disk.path("a")).unwrap()).unwrap();
        assert_eq!(disk.read("b", 2), Stored::Damaged);
        assert_eq!(disk.read("a", 2), Stored::Values(vec![1.0, 2.0]));
    }

    #[test]
    fn the_folder_stays_within_its_limit_and_files_of_other_runs_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let third = vec![0.5; 100_000];
        let size = |dir: &Path| -> u64 {
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
        };
        let old = open(dir.path());
        assert!(old.write("old-x", &third).unwrap() && old.write("old-y", &third).unwrap());
        assert!(!old.has_room("old-z", third.len()) && !old.write("old-z", &third).unwrap());
        assert!(old.has_room("old-y", third.len()), "an entry makes way for its replacement");

        let new = open(dir.path());
        new.protect(["x", "y", "z"].into_iter());
        for key in ["x", "y"] {
            assert!(new.has_room(key, third.len()) && new.write(key, &third).unwrap());
        }
        assert!(!new.has_room("z", third.len()) && !new.write("z", &third).unwrap());
        assert!(new.has("x") && new.has("y") && !old.has("old-x") && !old.has("old-y"));
        assert!(size(dir.path()) <= 1 << 20);
        // A second start of the same run leaves its files alone.
        let again = open(dir.path());
        again.protect(["x", "y", "z"].into_iter());
        assert!(!again.has_room("z", third.len()) && !again.write("z", &third).unwrap());
        assert!(again.has("x") && again.has("y"));
        assert!(again.write("x", &third).unwrap(), "a damaged entry can be written again");
    }
}
