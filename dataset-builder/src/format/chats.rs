//! Reading a dataset back.

use std::path::Path;

use idk_common::json::{read_json, read_jsonl};
use idk_questions::rows::{LabelRow, SftRow};

use crate::error::BuildError;
use crate::format::files::{LABELS_FILE, MANIFEST_FILE, SFT_FILE, SFT_VAL_FILE};
use crate::format::manifest::DatasetManifest;
use crate::format::recordings::{locate, wrong_row};

/// The manifest of a complete dataset.
///
/// # Errors
/// [`BuildError::Common`] if it is not there (the dataset was never completed) or not readable.
pub fn read_manifest(dir: &Path) -> Result<DatasetManifest, BuildError> {
    Ok(read_json(&dir.join(MANIFEST_FILE))?)
}

/// Reads the manifest and checks every file of the dataset against it.
///
/// # Errors
/// As [`read_manifest`], and [`BuildError::Common`] naming the first file that is missing or differs.
pub fn verify(dir: &Path) -> Result<DatasetManifest, BuildError> {
    let manifest = read_manifest(dir)?;
    manifest.verify(dir)?;
    Ok(manifest)
}

/// The rows of `labels.jsonl`.
///
/// # Errors
/// [`BuildError::Common`] naming file and line.
pub fn read_labels(dir: &Path) -> Result<Vec<LabelRow>, BuildError> {
    Ok(read_jsonl(&dir.join(LABELS_FILE))?)
}

/// The rows of `sft.jsonl`, each recording's path joined to `dir`, so that it can be opened from anywhere that `dir`
/// can.
///
/// # Errors
/// [`BuildError::Common`] naming file and line, [`BuildError::Dataset`] for a row whose audio tags and recordings do
/// not match or that does not end with an answer.
pub fn read_sft(dir: &Path) -> Result<Vec<SftRow>, BuildError> {
    read_chats(dir, SFT_FILE)
}

/// The rows of `sft-val.jsonl`, as [`read_sft`]; none if the dataset has no validation split.
///
/// # Errors
/// As [`read_sft`].
pub fn read_sft_val(dir: &Path) -> Result<Vec<SftRow>, BuildError> {
    if dir.join(SFT_VAL_FILE).exists() { read_chats(dir, SFT_VAL_FILE) } else { Ok(Vec::new()) }
}

fn read_chats(dir: &Path, name: &str) -> Result<Vec<SftRow>, BuildError> {
    let path = dir.join(name);
    let mut rows: Vec<SftRow> = read_jsonl(&path)?;
    for row in &mut rows {
        locate(dir, &path, &row.id, &row.messages, &mut row.audios)?;
        if row.messages.last().is_none_or(|message| message.role != "assistant") {
            return Err(wrong_row(&path, &row.id, "the last message is not the assistant's"));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use idk_common::fs;

    use super::*;

    fn read(line: &str) -> Result<Vec<SftRow>, BuildError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write_atomic(&dir.path().join(SFT_FILE), line.as_bytes()).unwrap();
        read_sft(dir.path())
    }

    #[test]
    fn a_row_whose_tags_and_recordings_differ_is_an_error_that_names_it() {
        let row = r#"{"id":"q7","messages":[{"role":"user","content":"<audio>what?"},{"role":"assistant","content":"a"}],"audios":[],"label":"known"}"#;
        let error = read(row).unwrap_err().to_string();
        assert!(error.contains("q7") && error.contains("1 audio tags"), "{error}");
    }

    #[test]
    fn a_row_without_an_answer_is_an_error() {
        let row = r#"{"id":"q7","messages":[{"role":"user","content":"what?"}],"audios":[],"label":"known"}"#;
        assert!(read(row).unwrap_err().to_string().contains("q7"));
    }

    #[test]
    fn a_folder_without_a_manifest_is_not_a_dataset() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_manifest(dir.path()).unwrap_err();
        assert!(error.to_string().contains(MANIFEST_FILE), "{error}");
    }
}
