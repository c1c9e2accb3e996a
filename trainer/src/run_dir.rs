//! Paths inside a run folder.

use std::path::{Path, PathBuf};

/// A run folder and where things lie in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    /// The folder itself.
    pub root: PathBuf,
}

impl RunDir {
    /// The run folder at `root`; nothing is created.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The recipe as it was resolved.
    pub fn recipe(&self) -> PathBuf {
        self.root.join("recipe.toml")
    }

    /// The dataset: samples, labels, rows, manifest.
    pub fn dataset(&self) -> PathBuf {
        self.root.join("dataset")
    }

    /// All checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// The checkpoint after `step` optimiser steps.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(step_folder(step))
    }

    /// The trained adapter.
    pub fn adapter(&self) -> PathBuf {
        self.root.join("adapter")
    }

    /// TensorBoard events and metrics.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// One JSON object a logged step.
    pub fn metrics(&self) -> PathBuf {
        self.logs().join("metrics.jsonl")
    }

    /// Loss, accuracy and what validation measured, as a picture.
    pub fn curves(&self) -> PathBuf {
        self.root.join("curves.svg")
    }

    /// Answers and results.
    pub fn eval(&self) -> PathBuf {
        self.root.join("eval")
    }
}

/// Folder name of the checkpoint after `step` steps, wide enough to sort by name.
pub(crate) fn step_folder(step: u64) -> String {
    format!("step-{step:06}")
}

/// Step of a checkpoint folder, or `None` if the path is not one.
pub(crate) fn folder_step(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_folder_names_its_step() {
        let run = RunDir::new("runs/sound");
        let folder = run.checkpoint(120);
        assert_eq!(folder, Path::new("runs/sound/checkpoints/step-000120"));
        assert_eq!(folder_step(&folder), Some(120));
        assert_eq!(folder_step(Path::new("checkpoints/.tmp-step-000120")), None);
    }
}
