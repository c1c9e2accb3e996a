//! Answering that a signal can stop: the batch at hand is finished and kept.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use idk_evaluator::EvalError;

use crate::run::RunError;
use crate::terminal::{Failure, StopSignals};

/// What is printed when a signal comes.
const ON_SIGNAL: &str =
    "stopping after the batch that is being answered; another signal ends at once and loses it";

/// Runs a job that answers questions until the flag is set; `dir` is the folder of its answers, which an error names.
///
/// # Errors
/// [`RunError::Stopped`] by a signal; those of the job.
pub(crate) fn answering<T>(
    dir: &Path,
    job: impl FnOnce(&AtomicBool) -> Result<T, EvalError>,
) -> Result<T, Failure> {
    let stop = StopSignals::watch();
    let stopped = |saved: String| RunError::stopped(saved, dir, &stop);
    match stop.while_telling(ON_SIGNAL, || job(stop.flag())) {
        Err(EvalError::Stopped { method, stored, total }) => {
            Err(stopped(format!("with {stored} of {total} answers of `{method}` stored")))
        }
        // It came too late to stop the answers, but it must not be lost.
        Ok(_) if stop.came() => Err(stopped("after the last answer; all are stored".to_owned())),
        done => Ok(done?),
    }
}
