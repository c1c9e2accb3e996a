//! `manifest.json`: what a dataset was made of and with, and the hash of each of its files. Written last, it marks
//! the dataset as complete.

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::CommonError;
use idk_common::json::write_json;
use idk_common::manifest::{FileEntry, Manifest};
use serde::{Deserialize, Serialize};

use crate::config::BuildConfig;
use crate::format::files::MANIFEST_FILE;
use crate::format::sampled::Provenance;
use crate::format::shares::IdkShares;

/// Version of the dataset's files.
pub(crate) const FORMAT: u32 = 1;

/// How many of everything. `input = kept + rejected`, `kept = known + unknown`, and
/// `kept = sft_rows + sft_val_rows + left_out`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetCounts {
    /// Rows of the question set.
    pub input: usize,
    /// Questions that were sampled.
    pub kept: usize,
    /// Questions that could not be used.
    pub rejected: usize,
    /// Those by reason.
    pub rejected_by_reason: BTreeMap<String, usize>,
    /// Recordings that are longer than the model's window; only their beginning was heard.
    pub cut_audio: usize,
    /// Recordings that were used although there is something about them, by what: `silent`, `opposite-phase`,
    /// `joined-mp3`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub noted_audio: BTreeMap<String, usize>,
    /// Sampled answers.
    pub samples: usize,
    /// Correct ones.
    pub correct: usize,
    /// Wrong ones.
    pub wrong: usize,
    /// Refusals.
    pub refused: usize,
    /// Questions with at least K right answers.
    pub known: usize,
    /// All the others.
    pub unknown: usize,
    /// Those of the unknown ones that have no right answer; not written if there are none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unanswerable: usize,
    /// Rows of `sft.jsonl`.
    pub sft_rows: usize,
    /// Rows of `dpo.jsonl`.
    pub dpo_rows: usize,
    /// Rows of `calibrated.jsonl`.
    #[serde(default)]
    pub calibrated_rows: usize,
    /// Rows of `sft-val.jsonl`.
    #[serde(default)]
    pub sft_val_rows: usize,
    /// Rows of `dpo-val.jsonl`.
    #[serde(default)]
    pub dpo_val_rows: usize,
    /// Rows of `calibrated-val.jsonl`.
    #[serde(default)]
    pub calibrated_val_rows: usize,
    /// Questions without rows: unknown ones that `max_idk_share` or `unanswerable_share` keeps out of training, and those of
    /// `keep_tasks` that the model never answers.
    #[serde(default)]
    pub left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Content of `manifest.json`. It holds no time and no absolute path: the same build gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    /// Version of the dataset's files.
    pub format: u32,
    /// Version of the program that wrote them.
    pub program: String,
    /// Seed of the run: of the samples, the order of options and the choice of sampled targets.
    pub seed: u64,
    /// Names and hashes of the model and the questions.
    pub provenance: Provenance,
    /// `[build]` with every default written out.
    pub config: BuildConfig,
    /// How many of everything.
    pub counts: DatasetCounts,
    /// Share of unknown questions for every K from 1 to N that the samples decide.
    pub idk_share: IdkShares,
    /// Size and hash of every other file of the dataset.
    pub files: BTreeMap<String, FileEntry>,
}

impl DatasetManifest {
    /// Writes `manifest.json`.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), CommonError> {
        write_json(&dir.join(MANIFEST_FILE), self)
    }

    /// Checks that every file of the dataset in `dir` is as it was written.
    ///
    /// # Errors
    /// [`CommonError`] naming the first file that is missing or differs.
    pub fn verify(&self, dir: &Path) -> Result<(), CommonError> {
        Manifest { files: self.files.clone() }.verify(dir)
    }
}
