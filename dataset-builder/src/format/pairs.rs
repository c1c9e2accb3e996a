//! The preference pairs of a dataset.

use std::path::Path;

use idk_common::chat::Message;
use idk_common::json::read_jsonl;
use idk_questions::rows::Label;
use serde::{Deserialize, Serialize};

use crate::error::BuildError;
use crate::format::files::{DPO_FILE, DPO_VAL_FILE};
use crate::format::recordings::{check_answer, locate};

/// A preference pair in the conversational form that TRL reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DpoRow {
    /// The question's id.
    pub id: String,
    /// The user's message, with one `<audio>` tag for each recording.
    pub prompt: Vec<Message>,
    /// The better answer: the right one if the question is known, else the refusal.
    pub chosen: Vec<Message>,
    /// The worse answer: the refusal if the question is known, else a wrong sample.
    pub rejected: Vec<Message>,
    /// The recordings, relative to the dataset folder.
    pub audios: Vec<String>,
    /// Why the pair is this way round.
    pub label: Label,
}

/// The rows of `dpo.jsonl`, each recording's path joined to `dir`, so that it can be opened from anywhere that `dir` can.
///
/// # Errors
/// [`BuildError::Common`] naming file and line, [`BuildError::Dataset`] for a row whose audio tags and recordings do not
/// match or whose chosen or rejected part is not one answer.
pub fn read_dpo(dir: &Path) -> Result<Vec<DpoRow>, BuildError> {
    read_pairs(dir, DPO_FILE)
}

/// The rows of `dpo-val.jsonl`, as [`read_dpo`]; none if the dataset has no validation split.
///
/// # Errors
/// As [`read_dpo`].
pub fn read_dpo_val(dir: &Path) -> Result<Vec<DpoRow>, BuildError> {
    if dir.join(DPO_VAL_FILE).exists() { read_pairs(dir, DPO_VAL_FILE) } else { Ok(Vec::new()) }
}

fn read_pairs(dir: &Path, name: &str) -> Result<Vec<DpoRow>, BuildError> {
    let path = dir.join(name);
    let mut rows: Vec<DpoRow> = read_jsonl(&path)?;
    for row in &mut rows {
        locate(dir, &path, &row.id, &row.prompt, &mut row.audios)?;
        check_answer(&path, &row.id, "chosen", &row.chosen)?;
        check_answer(&path, &row.id, "rejected", &row.rejected)?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use idk_common::fs;

    use super::*;

    fn read(rejected: &str, audios: &str) -> Result<Vec<DpoRow>, BuildError> {
        let dir = tempfile::tempdir().unwrap();
        let row = format!(
            r#"{{"id":"q7","prompt":[{{"role":"user","content":"<audio>what?"}}],
            "chosen":[{{"role":"assistant","content":"a"}}],"rejected":{rejected},"audios":{audios},"label":"known"}}"#
        );
        fs::write_atomic(&dir.path().join(DPO_FILE), row.replace('\n', " ").as_bytes()).unwrap();
        let rows = read_dpo(dir.path());
        assert_eq!(read_dpo_val(dir.path()).unwrap(), Vec::new());
        rows
    }

    #[test]
    fn a_pair_is_read_with_its_recordings_where_they_can_be_opened() {
        let rows = read(r#"[{"role":"assistant","content":"b"}]"#, r#"["../a.wav"]"#).unwrap();
        assert!(rows[0].audios[0].ends_with("/../a.wav") && rows[0].audios[0].len() > "/../a.wav".len());
        assert_eq!(rows[0].rejected[0].tagged(), "b");
    }

    #[test]
    fn a_pair_that_is_not_whole_is_an_error_that_names_it() {
        let answer = r#"[{"role":"assistant","content":"b"}]"#;
        for (rejected, audios, part) in [
            (answer, "[]", "1 audio tags"),
            ("[]", r#"["a.wav"]"#, "`rejected`"),
            (r#"[{"role":"user","content":"b"}]"#, r#"["a.wav"]"#, "`rejected`"),
        ] {
            let error = read(rejected, audios).unwrap_err().to_string();
            assert!(error.contains("q7") && error.contains(part), "{error}");
        }
    }
}
