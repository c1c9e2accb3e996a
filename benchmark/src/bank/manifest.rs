//! `manifest.jsonl`: what a bank says about its recordings.

use std::path::Path;

use serde::Deserialize;

use crate::error::ComposeError;

/// The list of clips in a bank's folder.
pub const MANIFEST_FILE: &str = "manifest.jsonl";
const MAX_LABEL_CHARS: usize = 64;

/// A row of the manifest; other keys are ignored.
#[derive(Debug, Deserialize)]
pub(crate) struct ManifestRow {
    pub(crate) path: String,
    pub(crate) modality: String,
    pub(crate) family: String,
    pub(crate) label: String,
    pub(crate) recording: String,
    seconds: f64,
    #[serde(default)]
    pub(crate) package: String,
    #[serde(default)]
    pub(crate) source: Option<String>,
    #[serde(default)]
    pub(crate) lang: Option<String>,
}

/// Rejects a row whose values cannot be used.
pub(crate) fn check(manifest: &Path, row: &ManifestRow) -> Result<(), ComposeError> {
    let bad =
        |what: String| Err(ComposeError::BadRow { path: manifest.to_owned(), clip: row.path.clone(), what });
    for (key, text) in [("modality", &row.modality), ("family", &row.family), ("label", &row.label)] {
        let shown = text.trim();
        if shown.is_empty() || shown.chars().count() > MAX_LABEL_CHARS || shown.contains(char::is_control) {
            return bad(format!("`{key}` must be a line of 1 to {MAX_LABEL_CHARS} characters"));
        }
        if shown.contains("<|") || idk_questions::is_refusal(shown) {
            return bad(format!("`{key}` is reserved text"));
        }
    }
    if row.recording.trim().is_empty() {
        return bad("`recording` is empty".to_owned());
    }
    if !(row.seconds.is_finite() && row.seconds > 0.0) {
        return bad(format!("`seconds` must be above 0, not {}", row.seconds));
    }
    Ok(())
}
