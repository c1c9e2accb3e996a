//! Where a training run lives.

use std::sync::atomic::AtomicBool;

use idk_common::progress::{NewProgress, Progress};
use idk_common::{Identity, RunDir};
use idk_model::FeatureStore;

/// Where a run lives and how it behaves, apart from what it learns.
#[derive(Clone, Copy)]
pub struct TrainRun<'a> {
    /// The run folder. The caller holds its lock.
    pub dir: &'a RunDir,
    /// Seed of row order, adapter initialisation and dropout.
    pub seed: u64,
    /// Name or path of the base model, for the adapter's configuration.
    pub base_name: &'a str,
    /// Hashes of the caller's inputs (base model, dataset ...), compared when the run is resumed. That of the base model
    /// is named "model": features stored on the disk are found by it.
    pub identity: &'a Identity,
    /// Resume from the newest good checkpoint if there is one; without it a run folder with checkpoints is rejected.
    pub resume: bool,
    /// Keys of the recipe whose values a resumed run takes although it was started with others; see
    /// [`on_resume`](crate::on_resume()) for which may.
    pub allow_changes: &'a [String],
    /// Set by a signal handler: the run finishes its step, saves and returns.
    pub stop: Option<&'a AtomicBool>,
    /// Receives warnings, one line each.
    pub warn: &'a (dyn Fn(&str) + Sync),
    /// The clips and features that the run has so far; `None`: the training keeps its own, as its configuration says.
    pub features: Option<&'a FeatureStore>,
    /// Makes the displays of its jobs.
    pub progress: NewProgress,
}

impl std::fmt::Debug for TrainRun<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrainRun").field("dir", &self.dir).field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl TrainRun<'_> {
    /// The display of a job.
    pub(crate) fn progress(&self, label: &str, total: u64) -> Progress {
        (self.progress)(label, total)
    }
}
