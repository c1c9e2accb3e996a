//! The training stage of a run: dataset to adapter, by answers or by preferences, validated on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use idk_audio::LogMel;
use idk_dataset_builder::{DpoRow, read_dpo, read_dpo_val, read_sft, read_sft_val};
use idk_model::{Adapters, Lalm, Message};
use idk_questions::rows::{ChatMessage, SftRow};
use idk_trainer::{
    EarlyEnd, Example, Measure, Method, Pair, TrainReport, TrainRun, Validation, train_dpo, train_lora,
};
use rayon::prelude::*;

use crate::cli::say;
use crate::error::Failure;
use crate::pipeline::Run;
use crate::stop::StopSignals;
use crate::validation::ValidationQuestions;

/// Trains the adapter, or goes on where a stopped run was.
pub(crate) fn train_adapter(run: &Run<'_>) -> Result<(), Failure> {
    let recipe = run.recipe;
    let mut questions = ValidationQuestions::of(run)?;
    let mut fingerprint = BTreeMap::from([
        ("model".to_owned(), run.model_sha256.clone()),
        ("program".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    if let Some(questions) = questions.as_ref().filter(|_| recipe.train.selects()) {
        fingerprint.insert("val_questions".to_owned(), questions.sha256()?);
    }
    let mut measure = questions.as_mut().map(|questions| {
        move |_: u64, adapters: &Adapters| {
            questions.measure(adapters).map_err(|failure| failure.to_string().into())
        }
    });
    let measure = measure.as_mut().map(|measure| measure as &mut Measure<'_>);
    let stop = StopSignals::watch();
    let base_name = recipe.model.path.display().to_string();
    let train_run = TrainRun {
        dir: &run.dir,
        seed: recipe.seed,
        base_name: &base_name,
        fingerprint: &fingerprint,
        resume: true,
        allow_changes: run.allow_changes,
        stop: Some(stop.flag()),
        warn: &|line| say(&format!("warning: {line}")),
        show_progress: true,
    };
    let (dataset, lalm) = (run.dir.dataset(), &run.lalm);
    let (lora, config) = (&recipe.lora, &recipe.train);
    let (_, report) = match config.method {
        Method::Sft => {
            let rows = examples(lalm, &read_sft(&dataset)?)?;
            let val = examples(lalm, &read_sft_val(&dataset)?)?;
            train_lora(lalm, lora, &rows, Validation { rows: &val, measure }, config, train_run)?
        }
        Method::Dpo => {
            let rows = pairs(lalm, &read_dpo(&dataset)?)?;
            let val = pairs(lalm, &read_dpo_val(&dataset)?)?;
            let validation = Validation { rows: &val, measure };
            train_dpo(lalm, lora, &rows, validation, config, &recipe.dpo, train_run)?
        }
    };
    describe_end(run, &report);
    stop.check(&report, &run.dir)
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

/// Answers to learn, with their clips read.
fn examples(lalm: &Lalm, rows: &[SftRow]) -> Result<Vec<Example>, Failure> {
    let read = |row: &SftRow| -> Result<Example, Failure> {
        let (target, prompt) = match row.messages.split_last() {
            Some((answer, prompt)) => (answer.content.clone(), prompt),
            None => (String::new(), [].as_slice()),
        };
        Ok(Example { id: row.id.clone(), audio: clips(lalm, &row.audios)?, messages: chat(prompt), target })
    };
    rows.par_iter().map(read).collect::<Vec<_>>().into_iter().collect()
}

/// Preference pairs, with the clips of each question read once.
fn pairs(lalm: &Lalm, rows: &[DpoRow]) -> Result<Vec<Pair>, Failure> {
    let read = |rows: &[DpoRow]| -> Result<Vec<Pair>, Failure> {
        let audio: Arc<[LogMel]> = match rows.first() {
            Some(row) => clips(lalm, &row.audios)?.into(),
            None => Arc::from([]),
        };
        let text = |answer: &[ChatMessage]| answer.first().map(|m| m.content.clone()).unwrap_or_default();
        let pair = |row: &DpoRow| Pair {
            id: row.id.clone(),
            audio: Arc::clone(&audio),
            messages: chat(&row.prompt),
            chosen: text(&row.chosen),
            rejected: text(&row.rejected),
        };
        Ok(rows.iter().map(pair).collect())
    };
    // The pairs of a question follow each other.
    let questions: Vec<&[DpoRow]> = rows.chunk_by(|one, next| one.audios == next.audios).collect();
    let pairs: Vec<Result<Vec<Pair>, Failure>> = questions.into_par_iter().map(read).collect();
    Ok(pairs.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn chat(messages: &[ChatMessage]) -> Vec<Message> {
    messages.iter().map(|message| Message::from_tagged(&message.role, &message.content)).collect()
}

fn clips(lalm: &Lalm, paths: &[String]) -> Result<Vec<LogMel>, Failure> {
    let rate = lalm.mel.config().sampling_rate as u32;
    let clip = |path: &String| -> Result<LogMel, Failure> {
        Ok(lalm.mel.log_mel(&idk_audio::load(Path::new(path), rate)?.samples))
    };
    paths.iter().map(clip).collect()
}
