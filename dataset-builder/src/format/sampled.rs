//! `sampling.json`: marks the end of sampling. If it exists, the samples are complete, and labels can be made from them
//! as often as needed without a model.

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::CommonError;
use idk_common::json::{read_json, write_json};
use idk_common::manifest::{FileEntry, Manifest};
use serde::{Deserialize, Serialize};

use crate::config::BuildConfig;
use crate::error::BuildError;
use crate::format::files::{QUESTIONS_FILE, REJECTED_FILE, SAMPLED_FILE, SAMPLES_FILE, file_entry};

/// Where a dataset comes from. Names without folders, so that a run can move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the model folder.
    pub model: String,
    /// `idk_common::hash::sha256_dir` of the model folder.
    pub model_sha256: String,
    /// Name of the question file or of the split that was rendered.
    pub questions: String,
    /// SHA-256 of the question file.
    pub questions_sha256: String,
}

/// What became of the questions before sampling. `input = kept + rejected`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screening {
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
}

/// Content of `sampling.json`: where the samples come from, how they are to be labelled, and what they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampled {
    /// Version of the program that sampled.
    pub program: String,
    /// Seed of the run.
    pub seed: u64,
    /// Names and hashes of the model and the questions.
    pub provenance: Provenance,
    /// `[build]`; its labelling keys are those that the dataset has, or will have once it is complete.
    pub config: BuildConfig,
    /// What was kept and what was not.
    pub screening: Screening,
    /// Size and hash of `questions.jsonl`, `samples.jsonl` and `rejected.jsonl`.
    pub files: BTreeMap<String, FileEntry>,
}

impl Sampled {
    /// Hashes the three files of a finished sampling in `dir` and writes `sampling.json` next to them.
    pub(crate) fn seal(
        dir: &Path,
        config: &BuildConfig,
        seed: u64,
        provenance: &Provenance,
        screening: &Screening,
    ) -> Result<Self, CommonError> {
        let mut files = BTreeMap::new();
        for name in [QUESTIONS_FILE, SAMPLES_FILE, REJECTED_FILE] {
            files.insert(name.to_owned(), file_entry(dir, name)?);
        }
        let sampled = Self {
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            seed,
            provenance: provenance.clone(),
            config: config.clone(),
            screening: screening.clone(),
            files,
        };
        sampled.write(dir)?;
        Ok(sampled)
    }

    /// Whether the sampling of a dataset folder is finished.
    #[must_use]
    pub fn is_in(dir: &Path) -> bool {
        dir.join(SAMPLED_FILE).is_file()
    }

    /// Writes `sampling.json`.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), CommonError> {
        write_json(&dir.join(SAMPLED_FILE), self)
    }

    /// Reads `sampling.json` of a dataset folder.
    ///
    /// # Errors
    /// [`BuildError::NotSampled`] if it is not there, [`BuildError::Common`] if it cannot be read.
    pub fn read(dir: &Path) -> Result<Self, BuildError> {
        let path = dir.join(SAMPLED_FILE);
        if !path.exists() {
            return Err(BuildError::NotSampled { dir: dir.to_owned() });
        }
        Ok(read_json(&path)?)
    }

    /// Checks that the samples and questions in `dir` are as they were sampled.
    ///
    /// # Errors
    /// [`CommonError`] naming the first file that is missing or differs.
    pub fn verify(&self, dir: &Path) -> Result<(), CommonError> {
        Manifest { files: self.files.clone() }.verify(dir)
    }
}
