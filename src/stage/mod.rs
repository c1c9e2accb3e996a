//! The stages of a run and their hand-offs: questions -> dataset -> adapter -> answers -> report.
//!
//! A stage whose output is complete and was made from the same inputs is kept; see docs/decisions/0003.

pub(crate) mod answering;
pub(crate) mod dataset;
pub(crate) mod evaluate;
#[cfg(test)]
mod faults;
mod grade;
mod model_card;
mod samples;
mod sampling;
pub(crate) mod summary;
mod training;
mod validation;

use std::path::PathBuf;

use idk_dataset_builder::DatasetManifest;
use idk_evaluator::Results;
use idk_trainer::TrainReport;

use crate::recipe::Recipe;
use crate::run::{Options, Run};
use crate::terminal::{Failure, say};
use model_card::{CARD_FILE, ModelCard};

/// Does every stage of a run that is not done yet.
///
/// # Errors
/// Whatever stops a stage; what was written before stays, and the same recipe resumes there.
pub(crate) fn all(run: &Run<'_>) -> Result<(TrainReport, Results), Failure> {
    announce(1, "the dataset", dataset::progress_of(&run.dir.dataset()));
    let dataset = dataset::complete(run)?;
    say(&dataset::describe(&dataset, &run.dir.dataset()));
    let step = idk_trainer::load_newest(&run.dir)?.map(|found| format!("reuses step {}", found.state.step));
    announce(2, "training", step.as_deref().unwrap_or(NEW));
    let report = training::train_adapter(run)?;
    idk_evaluator::write_curves(&run.dir.root, &run.dir.curves())?;
    // What is measured on an adapter that was there before stays on its card.
    let has_new_steps = report.resumed_from.is_none_or(|step| step < report.steps);
    if has_new_steps || !run.dir.adapter().join(CARD_FILE).is_file() {
        write_card(run, &dataset, &report, None)?;
    }
    // The evaluation hears other recordings than the training.
    let features = &run.model.folder()?.features;
    features.clear_if_full();
    let answered = idk_evaluator::results_file(&run.dir.eval()).is_file();
    announce(3, "the evaluation", if answered { "reuses stored answers" } else { NEW });
    let results = evaluate::results_of_run(run)?;
    write_card(run, &dataset, &report, Some(&results))?;
    let counts = features.counts();
    say(&format!("audio     {} recordings decoded, {} encoded", counts.decoded, counts.encoded));
    Ok((report, results))
}

/// Of a stage that reuses nothing.
const NEW: &str = "starts";

/// Says which stage comes, and what it reuses.
fn announce(stage: usize, what: &str, state: &str) {
    /// Dataset, training, evaluation.
    const STAGES: usize = 3;
    say(&format!("stage     {stage} of {STAGES}: {what} {state}"));
}

/// One run of an experiment of several: every stage, with the clips rendered into `questions`.
///
/// # Errors
/// As [`all`] and [`Run::start`].
pub(crate) fn cell(recipe: &Recipe, questions: PathBuf, options: &Options<'_>) -> Result<Results, Failure> {
    let mut run = Run::start(recipe, &recipe.output.dir, options)?;
    run.questions = questions;
    Ok(all(&run)?.1)
}

/// Writes the card of the run's adapter, with what was measured on it if that is known.
fn write_card(
    run: &Run<'_>,
    dataset: &DatasetManifest,
    report: &TrainReport,
    results: Option<&Results>,
) -> Result<(), Failure> {
    let steps = report.best.map_or(report.steps, |best| best.step);
    let found = idk_trainer::load_newest(&run.dir)?;
    let mut changes = found.map(|found| found.state.allowed_changes).unwrap_or_default();
    // Of an earlier best step's adapter later changes say nothing.
    changes.retain(|change| change.step < steps);
    ModelCard { recipe: run.recipe, dataset, steps, changes: &changes, results }.write(&run.dir.adapter())
}
