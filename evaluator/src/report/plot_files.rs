//! `idk-eval plot`: every plot of a folder of results as SVG and PNG.

use std::path::{Path, PathBuf};

use idk_common::RunDir;

use crate::compare::results::{Results, read_results, results_file};
use crate::error::EvalError;
use crate::grid::file::{Grid, grid_file};
use crate::grid::kind::{GridKind, GridSet};
use crate::report::html::write_transfer_report;

use crate::report::plot::draw::{Plot, write_plots};
use crate::report::plot::{bars, curves, flows, forest, grid_curves, heat, training};

/// Name of the folder of plots next to the results.
pub const PLOT_DIR: &str = "plots";

/// Writes every plot of `folder` as SVG and PNG and returns the paths, in the order of the report. The folder is that of a
/// run, of an evaluation, or of a transfer experiment, whose `report.html` is written too. Without `out` the plots go
/// into `plots/` next to the results.
///
/// # Errors
/// [`EvalError::NoResults`] if the folder is none of these; [`EvalError::Common`] and [`EvalError::Grid`] if a file in it
/// cannot be read or one cannot be written.
pub fn plot_folder(folder: &Path, out: Option<&Path>) -> Result<Vec<PathBuf>, EvalError> {
    let to = |next_to: &Path| out.map_or_else(|| next_to.join(PLOT_DIR), Path::to_owned);
    let transfer = grid_file(folder, GridKind::Transfer, GridSet::Test);
    if transfer.is_file() {
        let transfer = Grid::read(&transfer)?;
        write_transfer_report(folder, &transfer)?;
        return write_plots(&[heat::heat(&transfer)], &to(folder));
    }
    let eval = RunDir::new(folder).eval();
    let (eval, run) = if results_file(&eval).is_file() {
        (eval.as_path(), Some(RunDir::new(folder)))
    } else if results_file(folder).is_file() {
        (folder, RunDir::of_eval(folder))
    } else {
        return Err(EvalError::no_results(folder));
    };
    let results = read_results(eval)?;
    let mut plots = evaluation_plots(&results);
    if let Some(run) = run {
        plots.extend(Grid::read_all(&run.root)?.iter().flat_map(grid_curves::curves));
        plots.extend(training::plots(&training::read_metrics(&run.root)?));
    }
    write_plots(&plots, &to(eval))
}

/// The plots of `report.html`, in its order; transitions of every method and task.
fn evaluation_plots(results: &Results) -> Vec<Plot> {
    let mut plots: Vec<Plot> = forest::forest(results).into_iter().collect();
    plots.push(bars::bars(results));
    for method in &results.methods {
        let rows = flows::shown(results, Some(method)).into_iter().filter(|(of, _)| of.name == method.name);
        plots.extend(rows.map(|(of, row)| flows::flow(&of.name, &row.task, &row.comparison.transition)));
    }
    plots.extend(curves::curves(results));
    plots.extend(curves::measure_curves(results));
    plots
}

#[cfg(test)]
mod tests {
    use idk_common::fs::{read, read_to_string};
    use idk_common::json::write_json;

    use super::*;
    use crate::grid::file::tests::{sweep, transfer};
    use crate::report::html::report_file;
    use crate::report::table::tests::golden_results;

    fn names(paths: &[PathBuf]) -> Vec<String> {
        paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_run_has_every_plot_as_svg_and_png_next_to_its_results() {
        let dir = tempfile::tempdir().unwrap();
        write_json(&results_file(&dir.path().join("eval")), &golden_results("sound")).unwrap();
        sweep("sound").write(dir.path()).unwrap();
        let written = plot_folder(dir.path(), None).unwrap();
        let expected = [
            "rgi-forest",
            "reliability",
            "transitions-adapter-sound",
            "sweep-adapter-scale-val-rgi",
            "sweep-adapter-scale-val-shares",
        ];
        let expected: Vec<String> = expected
            .iter()
            .flat_map(|name| ["svg", "png"].map(|ending| format!("{name}.{ending}")))
            .collect();
        assert_eq!(names(&written), expected);
        assert!(written.iter().all(|path| path.starts_with(dir.path().join("eval/plots"))));
        assert!(read_to_string(&written[0]).unwrap().starts_with("<svg xmlns="));
        assert!(read(&written[1]).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
        let again = plot_folder(&dir.path().join("eval"), Some(&dir.path().join("other"))).unwrap();
        assert_eq!(names(&again), names(&written));
        for (one, other) in written.iter().zip(&again) {
            assert!(read(one).unwrap() == read(other).unwrap(), "{} differs", one.display());
        }
    }

    #[test]
    fn a_transfer_experiment_has_its_heat_map_and_its_page() {
        let dir = tempfile::tempdir().unwrap();
        transfer("music").write(dir.path()).unwrap();
        assert_eq!(names(&plot_folder(dir.path(), None).unwrap()), ["transfer.svg", "transfer.png"]);
        assert!(read_to_string(&report_file(dir.path())).unwrap().contains("Does refusing transfer?"));
    }

    #[test]
    fn a_folder_without_results_is_named_and_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let error = plot_folder(dir.path(), None).unwrap_err().to_string();
        assert!(error.contains(&dir.path().display().to_string()), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
