//! The files of a dataset, all of them written whole or not at all.
use std::path::{Component, Path, PathBuf};

use idk_common::hash::sha256_file;
use idk_common::manifest::FileEntry;
use idk_common::{CommonError, fs};

use crate::error::BuildError;

/// What was asked, in the order of [`SAMPLES_FILE`].
pub const QUESTIONS_FILE: &str = "questions.jsonl";
/// Every sampled answer.
pub const SAMPLES_FILE: &str = "samples.jsonl";
/// One label per question.
pub const LABELS_FILE: &str = "labels.jsonl";
/// Chats for supervised fine-tuning.
pub const SFT_FILE: &str = "sft.jsonl";
/// Preference pairs.
pub const DPO_FILE: &str = "dpo.jsonl";
/// Own answers, refusals and error rates for calibrated refusal.
pub const CALIBRATED_FILE: &str = "calibrated.jsonl";
/// The chats of the validation split; there with `val_share` above 0.
pub const SFT_VAL_FILE: &str = "sft-val.jsonl";
/// The preference pairs of the validation split.
pub const DPO_VAL_FILE: &str = "dpo-val.jsonl";
/// The rows of calibrated refusal of the validation split.
pub const CALIBRATED_VAL_FILE: &str = "calibrated-val.jsonl";
/// The files of rows that are trained on.
pub(crate) const TRAIN_FILES: [&str; 3] = [SFT_FILE, DPO_FILE, CALIBRATED_FILE];
/// The same of the validation split, in the same order.
pub(crate) const VAL_FILES: [&str; 3] = [SFT_VAL_FILE, DPO_VAL_FILE, CALIBRATED_VAL_FILE];
/// Questions that could not be used.
pub const REJECTED_FILE: &str = "rejected.jsonl";
/// Written last, it marks the dataset as complete.
pub const MANIFEST_FILE: &str = "manifest.json";
/// Closes the sampling of a dataset folder. The folder of its shards has a file of that name too,
/// `SHARDS_IDENTITY_FILE`, which opens it.
pub(crate) const SAMPLED_FILE: &str = "sampling.json";
/// The dataset card.
pub const README_FILE: &str = "README.md";

/// Everything that is written into a dataset folder.
pub const DATASET_FILES: [&str; 14] = [
    QUESTIONS_FILE,
    SAMPLES_FILE,
    LABELS_FILE,
    SFT_FILE,
    DPO_FILE,
    CALIBRATED_FILE,
    SFT_VAL_FILE,
    DPO_VAL_FILE,
    CALIBRATED_VAL_FILE,
    REJECTED_FILE,
    MANIFEST_FILE,
    SAMPLED_FILE,
    README_FILE,
    "shards",
];

/// Makes the folder for a new sampling: what is left of an earlier dataset loses its marks of completeness before a
/// file of it changes.
pub(crate) fn open_folder(dir: &Path) -> Result<(), CommonError> {
    fs::create_dir_all(dir)?;
    fs::remove_temporaries(dir)?;
    mark_incomplete(dir)?;
    fs::remove_if_exists(&dir.join(SAMPLED_FILE))
}

/// Takes away the manifest, without which a dataset is not complete.
pub(crate) fn mark_incomplete(dir: &Path) -> Result<(), CommonError> {
    fs::remove_if_exists(&dir.join(MANIFEST_FILE))
}

/// Size and hash of a file of the dataset.
pub(crate) fn file_entry(dir: &Path, name: &str) -> Result<FileEntry, CommonError> {
    let path = dir.join(name);
    let (_, bytes) = fs::open(&path)?;
    Ok(FileEntry { sha256: sha256_file(&path)?, bytes })
}

/// `path` as seen from the folder `dir`, with `/` between its parts.
///
/// Relative paths let a run folder move as a whole, and give the same bytes wherever it stands. Links in the way are
/// resolved first, as `..` means the real parent.
pub(crate) fn relative_to(dir: &Path, path: &Path) -> Result<String, BuildError> {
    let real_dir = real_path(dir)?;
    let parent =
        real_path(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    let real = parent.join(path.file_name().unwrap_or_default());
    let mut from = real_dir.components().peekable();
    let mut to = real.components().peekable();
    while from.peek().is_some() && from.peek() == to.peek() {
        from.next();
        to.next();
    }
    let up = from.map(|_| "..".to_owned());
    let down = to.map(|part| part_text(part, path)).collect::<Result<Vec<_>, _>>()?;
    Ok(up.chain(down).collect::<Vec<_>>().join("/"))
}

fn part_text(part: Component<'_>, path: &Path) -> Result<String, BuildError> {
    let text = part.as_os_str().to_str();
    text.map(str::to_owned).ok_or_else(|| BuildError::PathNotText { path: path.to_owned() })
}

fn real_path(path: &Path) -> Result<PathBuf, CommonError> {
    std::fs::canonicalize(path).map_err(CommonError::reading("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_named_as_seen_from_the_dataset_folder() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("run/dataset");
        let audio = root.path().join("run/data/audio");
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(&audio).unwrap();
        let name = relative_to(&dir, &audio.join("a b.wav")).unwrap();
        assert_eq!(name, "../data/audio/a b.wav");
        assert_eq!(relative_to(&dir, &dir.join("c.wav")).unwrap(), "c.wav");
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_dataset_folder_still_finds_its_recordings() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().join("elsewhere/deep/dataset");
        fs::create_dir_all(&real).unwrap();
        std::os::unix::fs::symlink(&real, root.path().join("dataset")).unwrap();
        fs::write_atomic(&root.path().join("a.wav"), b"x").unwrap();
        let linked = root.path().join("dataset");
        let name = relative_to(&linked, &root.path().join("a.wav")).unwrap();
        assert_eq!(fs::read(&linked.join(name)).unwrap(), b"x");
    }

    #[test]
    fn opening_a_folder_takes_its_mark_of_completeness_away() {
        let dir = tempfile::tempdir().unwrap();
        for name in [MANIFEST_FILE, SAMPLED_FILE] {
            fs::write_atomic(&dir.path().join(name), b"{}").unwrap();
        }
        open_folder(dir.path()).unwrap();
        assert!(!dir.path().join(MANIFEST_FILE).exists() && !dir.path().join(SAMPLED_FILE).exists());
        open_folder(dir.path()).unwrap();
    }
}
