//! Samples of the base model on questions that are evaluated, for the method `self-consistency`.

use std::path::Path;

use idk_common::hash::sha256_hex;
use idk_common::identity::sha256_of;
use idk_dataset_builder::{
    BuildConfig, BuildError, BuildInputs, Control, Provenance, SamplingSettings, sample_answers,
};
use idk_evaluator::{Prepared, SampledAnswers, said};
use idk_model::Lalm;
use idk_questions::QuestionSet;

use crate::cli::say;
use crate::error::Failure;
use crate::recipe::Recipe;
use crate::stop::{StopSignals, stopping_sampling};
use crate::terminal;

/// The hidden folder of samples in an evaluation's folder; each set of questions has one of its own below it. Whoever
/// removes it loses nothing but time.
const SAMPLES_DIR: &str = ".samples";

/// Samples the base model on the prepared questions, as `[build]` says; what was sampled before is used again.
///
/// # Errors
/// As a build: [`crate::error::RunError::SamplingStopped`] by a signal, whatever stops the model.
pub(crate) fn sample(
    lalm: &Lalm,
    recipe: &Recipe,
    model_sha256: &str,
    prepared: &Prepared,
    eval_dir: &Path,
) -> Result<SampledAnswers, Failure> {
    // It needs every sample, whatever the labels need.
    let config = BuildConfig { stop_when_decided: false, ..recipe.build.clone() };
    let questions: Vec<_> = prepared.questions.iter().map(|question| question.original.clone()).collect();
    let provenance = Provenance {
        model: crate::sources::folder_name(&recipe.model.path),
        model_sha256: model_sha256.to_owned(),
        questions: String::new(),
        questions_sha256: questions_sha256(prepared),
    };
    let key = sha256_of(&serde_json::json!([
        provenance,
        SamplingSettings::of(&config),
        recipe.seed,
        crate::pipeline::device_of_answers(recipe, lalm),
        env!("CARGO_PKG_VERSION")
    ]));
    let dir = eval_dir.join(SAMPLES_DIR).join(&key[..32]);
    let set = QuestionSet { questions, rejected: Vec::new() };
    let inputs = BuildInputs { lalm, set: &set, config: &config, seed: recipe.seed, provenance: &provenance };
    let stop = StopSignals::watch();
    let warn = |line: &str| say(&format!("warning: {line}"));
    let control = Control { progress: terminal::progress, stop: Some(stop.flag()), warn: &warn };
    let answers =
        match stop.while_telling(stopping_sampling(&config), || sample_answers(&inputs, &dir, &control)) {
            Err(BuildError::Stopped { sampled, total }) => {
                return Err(stop.sampling_stopped(&dir, sampled, total).into());
            }
            // It came too late to stop the sampling, but it must not be lost.
            Ok(_) if control.stopped() => {
                let total = set.questions.len();
                return Err(stop.sampling_stopped(&dir, Some(total), total).into());
            }
            done => done?,
        };
    let rows = answers.into_iter().map(|(question, samples)| {
        let said_by = |row: &idk_questions::rows::SampleRow| {
            said(&question.choices, row.choice, row.verdict, &row.text)
        };
        (question.id.clone(), samples.iter().map(said_by).collect())
    });
    Ok(rows.collect())
}

/// Everything about the questions that a sample depends on.
fn questions_sha256(prepared: &Prepared) -> String {
    let rows = prepared.questions.iter().map(|question| {
        let asked = &question.original;
        serde_json::json!([asked.id, asked.question, asked.choices, question.audio_sha256]).to_string()
    });
    sha256_hex(rows.collect::<Vec<_>>().join("\n").as_bytes())
}
