//! What the report shows of a run folder besides the evaluation: sweeps and the training log.

use std::path::Path;

use idk_common::RunDir;
use idk_common::diagnose::{Diagnose, ExitKind};

use crate::error::EvalError;
use crate::grid::file::Grid;
use crate::report::plot::training::{Metrics, read_metrics};

/// Sweeps and training of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunFiles {
    /// The grids that exist.
    pub grids: Vec<Grid>,
    /// The metrics of the training, step by step; empty if there is no log.
    pub metrics: Metrics,
    /// What could not be read, as sentences.
    pub problems: Vec<String>,
}

impl RunFiles {
    /// Reads what a run has. An evaluation does not fail for a damaged file, which is named instead.
    ///
    /// # Errors
    /// [`EvalError::Common`] for a file that cannot be read at the moment: the report would lack it for good.
    pub(crate) fn read(run_dir: Option<&Path>) -> Result<Self, EvalError> {
        let mut run_files = Self::default();
        let Some(run_dir) = run_dir else { return Ok(run_files) };
        match Grid::read_all(run_dir) {
            Ok(grids) => run_files.grids = grids,
            Err(error) if error.exit_kind() == ExitKind::Io => return Err(error),
            Err(_) => run_files.problems.push(
                "A file in sweep/ cannot be read, so the sweeps are left out. Run them again.".to_owned(),
            ),
        }
        match read_metrics(run_dir) {
            Ok(metrics) => {
                // A training logs its last step at least.
                if metrics.is_empty() && RunDir::new(run_dir).adapter().is_dir() {
                    let lost = "logs/metrics.jsonl is missing or empty, so the training's curves are left out. Restore it and \
                         evaluate again.";
                    run_files.problems.push(lost.to_owned());
                }
                run_files.metrics = metrics;
            }
            Err(error) if error.exit_kind() == ExitKind::Io => return Err(error),
            Err(_) => run_files
                .problems
                .push("logs/metrics.jsonl cannot be read, so the training's curves are left out.".to_owned()),
        }
        Ok(run_files)
    }
}

#[cfg(test)]
mod tests {
    use idk_common::fs::write_atomic;

    use super::*;

    #[test]
    fn a_run_without_sweeps_and_training_has_no_problem_and_lost_and_damaged_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RunFiles::read(Some(dir.path())).unwrap().problems, Vec::<String>::new());
        std::fs::create_dir(dir.path().join("adapter")).unwrap();
        let problems = RunFiles::read(Some(dir.path())).unwrap().problems;
        assert!(problems[0].contains("metrics.jsonl is missing") && problems.len() == 1, "{problems:?}");
        write_atomic(&dir.path().join("sweep/k.json"), b"{").unwrap();
        write_atomic(&dir.path().join("logs/metrics.jsonl"), b"{").unwrap();
        let problems = RunFiles::read(Some(dir.path())).unwrap().problems;
        assert!(problems[0].contains("sweep/") && problems[1].contains("metrics.jsonl"), "{problems:?}");
    }
}
