//! The rows of calibrated refusal: the model's own answer, the refusal, and how often the model is not right.

use std::path::Path;

use idk_common::chat::Message;
use idk_common::json::read_jsonl;
use serde::{Deserialize, Serialize};

use crate::error::BuildError;
use crate::format::files::{CALIBRATED_FILE, CALIBRATED_VAL_FILE};
use crate::format::recordings::{check_answer, locate, wrong_row};

/// A question with the model's own answer to it and the share of its samples that are not right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibratedRow {
    /// The question's id.
    pub id: String,
    /// The user's message, with one `<audio>` tag for each recording.
    pub prompt: Vec<Message>,
    /// The commonest of the model's samples that are not refusals, right or wrong.
    pub own: Vec<Message>,
    /// The refusal.
    pub refusal: Vec<Message>,
    /// Share of the samples that are not right, 0 to 1; missing for a question that only keeps its own answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<f64>,
    /// The recordings, relative to the dataset folder.
    pub audios: Vec<String>,
}

/// The rows of `calibrated.jsonl`, each recording's path joined to `dir`, so that it can be opened from anywhere that
/// `dir` can.
///
/// # Errors
/// [`BuildError::Common`] naming file and line, [`BuildError::Dataset`] for a row whose audio tags and recordings do not
/// match, whose answers are not one message each, or whose error rate is no share.
pub fn read_calibrated(dir: &Path) -> Result<Vec<CalibratedRow>, BuildError> {
    read_rows(dir, CALIBRATED_FILE)
}

/// The rows of `calibrated-val.jsonl`, as [`read_calibrated`]; none if the dataset has no validation split.
///
/// # Errors
/// As [`read_calibrated`].
pub fn read_calibrated_val(dir: &Path) -> Result<Vec<CalibratedRow>, BuildError> {
    if dir.join(CALIBRATED_VAL_FILE).exists() { read_rows(dir, CALIBRATED_VAL_FILE) } else { Ok(Vec::new()) }
}

fn read_rows(dir: &Path, name: &str) -> Result<Vec<CalibratedRow>, BuildError> {
    let path = dir.join(name);
    let mut rows: Vec<CalibratedRow> = read_jsonl(&path)?;
    for row in &mut rows {
        locate(dir, &path, &row.id, &row.prompt, &mut row.audios)?;
        check_answer(&path, &row.id, "own", &row.own)?;
        check_answer(&path, &row.id, "refusal", &row.refusal)?;
        if let Some(rate) = row.error_rate.filter(|rate| !(0.0..=1.0).contains(rate)) {
            let what = format!("`error_rate` is {rate}, not a share from 0 to 1");
            return Err(wrong_row(&path, &row.id, &what));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use idk_common::fs;

    use super::*;

    fn read(own: &str, error_rate: &str) -> Result<Vec<CalibratedRow>, BuildError> {
        let dir = tempfile::tempdir().unwrap();
        let row = format!(
            concat!(
                r#"{{"id":"q7","prompt":[{{"role":"user","content":"<audio>what?"}}],"own":{},"#,
                r#""refusal":[{{"role":"assistant","content":"no idea"}}],"error_rate":{},"audios":["../a.wav"]}}"#
            ),
            own, error_rate
        );
        fs::write_atomic(&dir.path().join(CALIBRATED_FILE), row.as_bytes()).unwrap();
        let rows = read_calibrated(dir.path());
        assert_eq!(read_calibrated_val(dir.path()).unwrap(), Vec::new());
        rows
    }

    #[test]
    fn a_row_is_read_with_its_recordings_where_they_can_be_opened() {
        let rows = read(r#"[{"role":"assistant","content":"dog"}]"#, "0.4").unwrap();
        assert!(rows[0].audios[0].ends_with("/../a.wav"), "{rows:?}");
        assert_eq!((rows[0].own[0].tagged().as_str(), rows[0].error_rate), ("dog", Some(0.4)));
    }

    #[test]
    fn a_row_that_cannot_be_learnt_from_is_an_error_that_names_it() {
        let own = r#"[{"role":"assistant","content":"dog"}]"#;
        for (own, error_rate, part) in [("[]", "0.4", "`own`"), (own, "1.2", "`error_rate`")] {
            let error = read(own, error_rate).unwrap_err().to_string();
            assert!(error.contains("q7") && error.contains(part), "{error}");
        }
    }
}
