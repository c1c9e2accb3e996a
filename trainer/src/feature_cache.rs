//! Audio features on disk, shared by runs: one file per clip, named by everything that its values depend on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use idk_common::hash::sha256_hex;
use idk_common::{CommonError, fs};

use crate::error::TrainError;

/// Changes whenever the encoder computes other values from the same input, or the files get another form.
const VERSION: &str = "idk audio features 1";

/// Ending of the files.
const ENDING: &str = "features";

/// A folder of features.
#[derive(Debug)]
pub(crate) struct FeatureCache {
    dir: PathBuf,
    /// What all features of this run have in common: program, model, device.
    salt: String,
    limit_bytes: u64,
    /// The names that this run uses: never removed by it.
    names: BTreeSet<String>,
    contents: Mutex<Contents>,
}

/// What the folder held when it was opened, and what was done since.
#[derive(Debug, Default)]
struct Contents {
    total_bytes: u64,
    /// Files of other runs, the next to be removed last.
    others: Vec<(PathBuf, u64)>,
}

/// What is stored of a clip.
#[derive(Debug, PartialEq)]
pub(crate) enum Stored {
    /// Its features, `[tokens, width]`, row-major.
    Values(Vec<f32>),
    /// Nothing.
    Missing,
    /// A file that is not what was written.
    Damaged,
}

impl FeatureCache {
    /// Opens or creates the folder `dir`, which is to hold at most `limit_mib`; `salt` is what the features depend on
    /// beside the clip.
    pub(crate) fn open(dir: &Path, salt: &str, limit_mib: u64) -> Result<Self, TrainError> {
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
        };
        Ok(Self {
            dir: dir.to_owned(),
            salt: format!("{VERSION}\n{salt}"),
            limit_bytes: limit_mib.saturating_mul(1 << 20),
            names: BTreeSet::new(),
            contents: Mutex::new(contents),
        })
    }

    /// Tells which clips this run uses.
    pub(crate) fn protect<'a>(&mut self, clips: impl Iterator<Item = &'a str>) {
        self.names = clips.map(|clip| self.name(clip)).collect();
    }

    fn name(&self, clip_sha256: &str) -> String {
        format!("{}.{ENDING}", sha256_hex(format!("{}\nclip {clip_sha256}", self.salt).as_bytes()))
    }

    /// Where the features of a clip are or would be.
    pub(crate) fn path(&self, clip_sha256: &str) -> PathBuf {
        self.dir.join(self.name(clip_sha256))
    }

    /// What is stored of a clip that has `values` numbers.
    pub(crate) fn read(&self, clip_sha256: &str, values: usize) -> Stored {
        let path = self.path(clip_sha256);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(CommonError::NotFound { .. }) => return Stored::Missing,
            Err(_) => return Stored::Damaged,
        };
        let Some((hash, values_bytes)) = bytes.split_at_checked(64) else { return Stored::Damaged };
        let is_whole = values_bytes.len() == 4 * values && sha256_hex(values_bytes).as_bytes() == hash;
        if !is_whole {
            return Stored::Damaged;
        }
        Stored::Values(values_bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect())
    }

    /// Whether something is stored of a clip; it may turn out to be damaged.
    pub(crate) fn has(&self, clip_sha256: &str) -> bool {
        self.path(clip_sha256).is_file()
    }

    /// Stores the features of a clip, after removing the oldest files of other runs if there is no room; returns whether
    /// there was.
    pub(crate) fn write(&self, clip_sha256: &str, values: &[f32]) -> Result<bool, TrainError> {
        let path = self.path(clip_sha256);
        let size = stored_bytes(values.len());
        let mut contents = self.contents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let replaced = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        while contents.total_bytes - replaced.min(contents.total_bytes) + size > self.limit_bytes {
            let Some((other, bytes)) = contents.others.pop() else { return Ok(false) };
            if !self.is_ours(&other) {
                // Another run may have been faster.
                let _ = std::fs::remove_file(&other);
                contents.total_bytes -= bytes.min(contents.total_bytes);
            }
        }
        let values_bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut bytes = sha256_hex(&values_bytes).into_bytes();
        bytes.extend(values_bytes);
        fs::write_atomic(&path, &bytes)?;
        contents.total_bytes = contents.total_bytes - replaced.min(contents.total_bytes) + size;
        Ok(true)
    }

    fn is_ours(&self, path: &Path) -> bool {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| self.names.contains(name))
    }
}

/// Size of the file of a clip with `values` numbers: a hash in hexadecimal, then the numbers.
pub(crate) fn stored_bytes(values: usize) -> u64 {
    64 + 4 * values as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(dir: &Path, salt: &str, limit_mib: u64) -> FeatureCache {
        FeatureCache::open(dir, salt, limit_mib).unwrap()
    }

    #[test]
    fn what_was_stored_is_found_by_the_same_model_alone() {
        let dir = tempfile::tempdir().unwrap();
        let values = [1.5, f32::MIN_POSITIVE, -0.0, 3.0];
        assert_eq!(cache(dir.path(), "a", 1).read("clip", 4), Stored::Missing);
        assert!(cache(dir.path(), "a", 1).write("clip", &values).unwrap());
        assert_eq!(cache(dir.path(), "a", 1).read("clip", 4), Stored::Values(values.to_vec()));
        assert_eq!(cache(dir.path(), "b", 1).read("clip", 4), Stored::Missing);
        assert_eq!(cache(dir.path(), "a", 1).read("other", 4), Stored::Missing);
    }

    #[test]
    fn a_file_with_one_flipped_bit_or_cut_off_or_of_another_length_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path(), "a", 1);
        cache.write("clip", &[1.0, 2.0]).unwrap();
        assert_eq!(cache.read("clip", 3), Stored::Damaged);
        let whole = std::fs::read(cache.path("clip")).unwrap();
        let mut flipped = whole.clone();
        flipped[70] ^= 1;
        for bytes in [&flipped[..], &whole[..whole.len() - 1], &whole[..20], &[]] {
            fs::write_atomic(&cache.path("clip"), bytes).unwrap();
            assert_eq!(cache.read("clip", 2), Stored::Damaged);
        }
    }

    #[test]
    fn the_folder_stays_within_its_limit_and_files_of_other_runs_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let third = vec![0.5; 100_000];
        let size = |dir: &Path| -> u64 {
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
        };
        let old = cache(dir.path(), "old", 1);
        assert!(old.write("x", &third).unwrap() && old.write("y", &third).unwrap());
        assert!(!old.write("z", &third).unwrap());

        let mut new = cache(dir.path(), "new", 1);
        new.protect(["x", "y", "z"].into_iter());
        assert!(new.write("x", &third).unwrap() && new.write("y", &third).unwrap());
        assert!(!new.write("z", &third).unwrap());
        assert!(new.has("x") && new.has("y") && !old.has("x") && !old.has("y"));
        assert!(size(dir.path()) <= 1 << 20);
        // A second start of the same run leaves its files alone.
        let mut again = cache(dir.path(), "new", 1);
        again.protect(["x", "y", "z"].into_iter());
        assert!(!again.write("z", &third).unwrap() && again.has("x") && again.has("y"));
        assert!(again.write("x", &third).unwrap(), "a damaged entry can be written again");
    }
}
