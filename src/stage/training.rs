//! The training stage of a run: dataset to adapter, by answers or by preferences, validated on the way.

use idk_common::progress::Progress;
use idk_model::{Adapters, FeatureStore, Lalm};
use idk_trainer::{
    AdapterConfig, Clip, EarlyEnd, Grader, Measure, TrainReport, TrainRun, TrainingRow, Validation,
    clips_of_rows, train_adapters,
};

use super::grade::Grades;
use super::model_card::base_name;
use super::validation::ValidationQuestions;
use crate::run::rows::{DatasetRow, training_rows, validation_rows};
use crate::run::same_run::run_identity;
use crate::run::{Run, RunError};
use crate::terminal::{Failure, StopSignals, progress, say};

/// Trains the adapter, or resumes a stopped run.
pub(super) fn train_adapter(run: &Run<'_>) -> Result<TrainReport, Failure> {
    let recipe = run.recipe;
    let mut questions = ValidationQuestions::of(run)?;
    let model = run.model.folder()?;
    let mut identity = run_identity(&model.sha256, &recipe.model);
    if let Some(questions) = questions.as_ref().filter(|_| recipe.train.selects()) {
        identity.insert("val_questions", questions.sha256()?);
    }
    let mut measure = questions.as_mut().map(|questions| {
        move |_: u64, adapters: &Adapters| {
            questions.measure(adapters).map_err(|failure| failure.to_string().into())
        }
    });
    let measure = measure.as_mut().map(|measure| measure as &mut Measure<'_>);
    let stop = StopSignals::watch();
    let base_name = base_name(&recipe.model.path);
    let train_run = TrainRun {
        dir: &run.dir,
        seed: recipe.seed,
        base_name: &base_name,
        identity: &identity,
        resume: true,
        allow_changes: run.allow_changes,
        stop: Some(stop.flag()),
        warn: &|line| say(&format!("warning: {line}")),
        features: Some(&model.features),
        progress,
    };
    let dataset = run.dir.dataset();
    let rows = read_rows(&model.lalm, &model.features, training_rows(recipe, &dataset)?)?;
    let val = read_rows(&model.lalm, &model.features, validation_rows(recipe, &dataset)?)?;
    let grades = if recipe.method().is_graded() { Some(Grades::read(recipe, &dataset)?) } else { None };
    let grade = grades.as_ref().map(|grades| move |id: &str, text: &str| grades.grade(id, text));
    let grader = grade.as_ref().map(|grade| Grader(grade));
    let config = AdapterConfig { lora: &recipe.lora, train: &recipe.train, method: recipe.method(), grader };
    let validation = Validation { rows: &val, measure };
    let (_, report) = train_adapters(&model.lalm, config, &rows, validation, train_run)?;
    describe_end(run, &report);
    // Also in the last step: what follows must not swallow a signal.
    if stop.came() {
        let saved = format!("after step {}; everything is saved", report.steps);
        return Err(RunError::stopped(saved, &run.dir.root, &stop));
    }
    Ok(report)
}

/// Says which adapter was kept, and why the training ended, where that is not plain.
fn describe_end(run: &Run<'_>, report: &TrainReport) {
    match report.ended_early {
        Some(EarlyEnd::Patience) => {
            say(&format!("training  ended after step {}: no improvement", report.steps));
        }
        Some(EarlyEnd::TargetRefusalRate) => {
            say(&format!("training  ended after step {}: it refuses as much as was asked for", report.steps));
        }
        None => {}
    }
    if let (Some(best), Some(metric)) = (report.best, run.recipe.train.metric_for_best) {
        say(&format!("best      step {}, eval_{} {:.4}", best.step, metric.name(), best.value));
    }
}

/// Rows with their clips; one that cannot be used is found here, before anything is trained.
fn read_rows(
    lalm: &Lalm,
    features: &FeatureStore,
    rows: Vec<DatasetRow>,
) -> Result<Vec<TrainingRow>, Failure> {
    let audios: Vec<(&str, &[String])> = rows.iter().map(|row| (row.id.as_str(), &*row.audios)).collect();
    let display = |files| if files == 0 { Progress::hidden() } else { progress("read audio", files) };
    let clips = clips_of_rows(&audios, features, &lalm.mel, display)?;
    let row = |(row, audio): (DatasetRow, Vec<Clip>)| TrainingRow {
        id: row.id,
        audio,
        messages: row.messages,
        answers: row.answers,
        error_rate: row.error_rate,
    };
    Ok(rows.into_iter().zip(clips).map(row).collect())
}
