//! The training stage of a run: dataset to adapter, by answers or by preferences, validated on the way.

use idk_common::progress::Progress;
use idk_dataset_builder::{DpoRow, read_dpo, read_dpo_val, read_sft, read_sft_val};
use idk_model::{Adapters, FeatureStore, Lalm, Message};
use idk_questions::rows::SftRow;
use idk_trainer::{
    Clip, EarlyEnd, Example, Measure, Method, Pair, TrainReport, TrainRun, Validation, clips_of_rows,
    train_dpo, train_lora,
};

use super::model_card::base_name;
use super::validation::ValidationQuestions;
use crate::run::same_run::run_identity;
use crate::run::{Run, RunError};
use crate::terminal::{Failure, StopSignals, progress, say};

/// Trains the adapter, or resumes a stopped run.
pub(super) fn train_adapter(run: &Run<'_>) -> Result<TrainReport, Failure> {
    let recipe = run.recipe;
    let mut questions = ValidationQuestions::of(run)?;
    let mut identity = run_identity(&run.model.sha256);
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
        features: Some(&run.model.features),
        progress,
    };
    let source = (&run.model.lalm, &run.model.features);
    let dataset = run.dir.dataset();
    let (lora, config) = (&recipe.lora, &recipe.train);
    let (_, report) = match config.method {
        Method::Sft => {
            let rows = examples(source, &read_sft(&dataset)?)?;
            let val = examples(source, &read_sft_val(&dataset)?)?;
            train_lora(&run.model.lalm, lora, &rows, Validation { rows: &val, measure }, config, train_run)?
        }
        Method::Dpo => {
            let rows = pairs(source, &read_dpo(&dataset)?)?;
            let val = pairs(source, &read_dpo_val(&dataset)?)?;
            let validation = Validation { rows: &val, measure };
            train_dpo(&run.model.lalm, lora, &rows, validation, config, &recipe.dpo, train_run)?
        }
    };
    describe_end(run, &report);
    // Also in the last step: what follows must not swallow a signal.
    if stop.came() {
        let (step, terminated) = (report.steps, stop.terminated());
        return Err(RunError::Interrupted { dir: run.dir.root.clone(), step, terminated }.into());
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

/// The model that reads recordings, and where it keeps them.
type Source<'a> = (&'a Lalm, &'a FeatureStore);

/// Answers to learn.
fn examples(source: Source<'_>, rows: &[SftRow]) -> Result<Vec<Example>, Failure> {
    let audios: Vec<(&str, &[String])> = rows.iter().map(|row| (row.id.as_str(), &*row.audios)).collect();
    let example = |(row, audio): (&SftRow, Vec<Clip>)| {
        let (target, prompt) = match row.messages.split_last() {
            Some((answer, prompt)) => (answer.tagged(), prompt),
            None => (String::new(), [].as_slice()),
        };
        Example { id: row.id.clone(), audio, messages: prompt.to_vec(), target }
    };
    Ok(rows.iter().zip(clips(source, &audios)?).map(example).collect())
}

/// Preference pairs.
fn pairs(source: Source<'_>, rows: &[DpoRow]) -> Result<Vec<Pair>, Failure> {
    let audios: Vec<(&str, &[String])> = rows.iter().map(|row| (row.id.as_str(), &*row.audios)).collect();
    let text = |answer: &[Message]| answer.first().map(Message::tagged).unwrap_or_default();
    let pair = |(row, audio): (&DpoRow, Vec<Clip>)| Pair {
        id: row.id.clone(),
        audio,
        messages: row.prompt.clone(),
        chosen: text(&row.chosen),
        rejected: text(&row.rejected),
    };
    Ok(rows.iter().zip(clips(source, &audios)?).map(pair).collect())
}

/// The clips of each row; one that cannot be used is found here, before anything is trained.
fn clips((lalm, features): Source<'_>, rows: &[(&str, &[String])]) -> Result<Vec<Vec<Clip>>, Failure> {
    let display = |files| if files == 0 { Progress::hidden() } else { progress("read audio", files) };
    Ok(clips_of_rows(rows, features, &lalm.mel, display)?)
}
