//! Sampling that a signal can stop: the shard at hand is finished and kept.

use std::path::Path;

use idk_dataset_builder::{BuildConfig, BuildError, BuildInputs, Control, Sampler, stopped_at};

use crate::run::RunError;
use crate::terminal::{Failure, StopSignals, progress, say};

/// Runs a job that samples with `inputs`; `dir` is the folder that an error names.
///
/// # Errors
/// [`RunError::SamplingStopped`] by a signal; those of the job.
pub(super) fn sampling<T>(
    inputs: &BuildInputs<'_>,
    dir: &Path,
    job: impl FnOnce(&Control<'_>) -> Result<T, BuildError>,
) -> Result<T, Failure> {
    let stop = StopSignals::watch();
    let warn = |line: &str| say(&format!("warning: {line}"));
    let control = Control { progress, stop: Some(stop.flag()), warn: &warn };
    let stopped = |sampled, total| RunError::stopped(stopped_at(sampled, total), dir, &stop);
    match stop.while_telling(what_a_signal_does(inputs.config), || job(&control)) {
        Err(BuildError::Stopped { sampled, total }) => Err(stopped(sampled, total)),
        // It came too late to stop the sampling, but it must not be lost.
        Ok(_) if control.stopped() => {
            let total = inputs.set.questions.len();
            Err(stopped(Some(total), total))
        }
        done => Ok(done?),
    }
}

/// What is printed when a signal comes.
fn what_a_signal_does(config: &BuildConfig) -> &'static str {
    match config.sampler {
        Sampler::Local => {
            "stopping after the shard that is being sampled; another signal ends at once and loses it"
        }
        // A server may not answer for minutes.
        Sampler::OpenAi => "stopping; the answers of the shard that is being sampled are dropped",
    }
}
