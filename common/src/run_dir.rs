//! The layout of a run folder.

use std::path::{Path, PathBuf};

use crate::error::CommonError;
use crate::identity::Identity;
use crate::json::read_json;
use crate::lock::RunLock;
use crate::owned::{self, OWNED_FILE};

/// A run folder; an experiment of several runs has one of its own, with a run folder for each of its cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    /// The folder itself.
    pub root: PathBuf,
}

/// Name of the folder of answers and results.
const EVAL_DIR: &str = "eval";

/// Name of the folder of the dataset.
const DATASET_DIR: &str = "dataset";

/// Everything that the program may write into a run folder, apart from the run folders in it. Reports of experiments
/// and the folder of a new base model are among it.
const ENTRIES: [&str; 13] = [
    "recipe.toml",
    "identity.json",
    "questions",
    DATASET_DIR,
    "checkpoints",
    "adapter",
    "logs",
    "curves.svg",
    EVAL_DIR,
    "sweep",
    "model",
    "report.html",
    "transfer.json",
];

/// Files by which a dataset that was copied into a new run folder shows whose it is.
const MARKS_OF_A_DATASET: [&str; 2] = ["sampling.json", "shards/sampling.json"];

impl RunDir {
    /// The run folder at `root`; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The run whose `eval/` is `folder`, if it has that name.
    #[must_use]
    pub fn of_eval(folder: &Path) -> Option<Self> {
        folder.parent().filter(|_| folder.file_name().is_some_and(|name| name == EVAL_DIR)).map(Self::new)
    }

    /// The run whose `dataset/` is `folder`, if it has that name and the run has a recipe.
    #[must_use]
    pub fn of_dataset(folder: &Path) -> Option<Self> {
        let run = folder.parent().map(Self::new).filter(|_| folder.ends_with(DATASET_DIR));
        run.filter(|run| run.recipe().is_file())
    }

    /// Locks the folder for a run and claims what a run writes in it; see [`owned::claim`].
    ///
    /// # Errors
    /// Those of [`owned::claim`].
    pub fn claim(&self) -> Result<RunLock, CommonError> {
        self.check_claim()?;
        owned::claim_unchecked(&self.root, &ENTRIES)
    }

    /// Checks that the folder holds nothing that a run would replace and that is not the program's. A folder with an
    /// `identity.json` is a run, and so is a dataset of its own.
    ///
    /// # Errors
    /// [`CommonError::UnknownRun`] for the run of an earlier version; those of [`owned::check`].
    pub fn check_claim(&self) -> Result<(), CommonError> {
        if self.is_run() && !self.root.join(OWNED_FILE).exists() {
            return Ok(());
        }
        let is_dataset = MARKS_OF_A_DATASET.iter().any(|mark| self.dataset().join(mark).is_file());
        let names: Vec<&str> =
            ENTRIES.into_iter().filter(|&name| name != DATASET_DIR || !is_dataset).collect();
        owned::check(&self.root, &names).map_err(|error| match error {
            CommonError::NotOurs { .. } if self.looks_like_a_run() => {
                CommonError::UnknownRun { path: self.root.clone() }
            }
            error => error,
        })
    }

    /// Whether the folder has what every run has but the mark of the program, which earlier versions did not write.
    fn looks_like_a_run(&self) -> bool {
        let results = [self.dataset(), self.checkpoints(), self.adapter(), self.eval()];
        self.recipe().is_file() && !self.identity().exists() && results.iter().any(|it| it.is_dir())
    }

    /// Whether the folder says that the program made it.
    fn is_run(&self) -> bool {
        read_json::<Identity>(&self.identity()).is_ok_and(|identity| identity.text("program").is_some())
    }

    /// The recipe as it was resolved.
    #[must_use]
    pub fn recipe(&self) -> PathBuf {
        self.root.join("recipe.toml")
    }

    /// What made the run, besides its recipe: hashes of program and model.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity.json")
    }

    /// Question sets that were rendered from recordings.
    #[must_use]
    pub fn questions(&self) -> PathBuf {
        self.root.join("questions")
    }

    /// The dataset: samples, labels, rows, manifest.
    #[must_use]
    pub fn dataset(&self) -> PathBuf {
        self.root.join(DATASET_DIR)
    }

    /// All checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The checkpoint after `step` optimiser steps.
    #[must_use]
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(step_folder(step))
    }

    /// The trained adapter.
    #[must_use]
    pub fn adapter(&self) -> PathBuf {
        self.root.join("adapter")
    }

    /// TensorBoard events and metrics.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// One JSON object per logged step.
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.logs().join("metrics.jsonl")
    }

    /// Loss, accuracy and what validation measured, as a picture.
    #[must_use]
    pub fn curves(&self) -> PathBuf {
        self.root.join("curves.svg")
    }

    /// Answers and results.
    #[must_use]
    pub fn eval(&self) -> PathBuf {
        self.root.join(EVAL_DIR)
    }

    /// Results of sweeps.
    #[must_use]
    pub fn sweeps(&self) -> PathBuf {
        self.root.join("sweep")
    }

    /// The run folder of one cell of an experiment.
    #[must_use]
    pub fn cell(&self, name: &str) -> Self {
        Self::new(self.root.join("cells").join(name))
    }

    /// The run folder of the samples that all cells of an experiment share.
    #[must_use]
    pub fn shared_samples(&self) -> Self {
        Self::new(self.root.join("samples"))
    }
}

/// Folder name of the checkpoint after `step` steps, wide enough to sort by name.
#[must_use]
pub fn step_folder(step: u64) -> String {
    format!("step-{step:06}")
}

/// Step of a checkpoint folder, or `None` if the path is not one.
#[must_use]
pub fn folder_step(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::write_atomic;

    #[test]
    fn a_checkpoint_folder_names_its_step() {
        let run = RunDir::new("runs/sound");
        let folder = run.checkpoint(120);
        assert_eq!(folder, Path::new("runs/sound/checkpoints/step-000120"));
        assert_eq!(folder_step(&folder), Some(120));
        assert_eq!(folder_step(Path::new("checkpoints/.tmp-step-000120")), None);
    }

    #[test]
    fn a_run_of_an_earlier_version_is_told_from_files_of_others_and_says_what_to_do() {
        use crate::diagnose::Diagnose;
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        write_atomic(&run.adapter().join("adapter_config.json"), b"{}").unwrap();
        assert!(matches!(run.check_claim(), Err(CommonError::NotOurs { path }) if path == run.adapter()));
        write_atomic(&run.recipe(), b"seed = 0").unwrap();
        let error = run.check_claim().unwrap_err();
        assert!(matches!(&error, CommonError::UnknownRun { path } if path == dir.path()), "{error}");
        assert_eq!(error.exit_kind().code(), 2);
        assert!(error.hint().unwrap().contains("--fresh"));
        write_atomic(&run.identity(), b"{\"program\": \"0.1.0\"}").unwrap();
        run.check_claim().unwrap();
    }

    #[test]
    fn a_run_is_found_from_its_folders() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path().join("run"));
        assert_eq!(RunDir::of_eval(&run.eval()), Some(run.clone()));
        assert_eq!(RunDir::of_eval(&run.logs()), None);
        assert_eq!(RunDir::of_dataset(&run.dataset()), None, "it has no recipe");
        write_atomic(&run.recipe(), b"").unwrap();
        assert_eq!(RunDir::of_dataset(&run.dataset()), Some(run.clone()));
        assert_eq!(RunDir::of_dataset(&run.eval()), None);
    }
}
