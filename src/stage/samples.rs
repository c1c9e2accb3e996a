//! Samples of the base model on questions that are evaluated, for the measures of doubt that are made from them.

use std::path::Path;

use idk_common::chat::Message;
use idk_common::hash::sha256_hex;
use idk_common::identity::sha256_of;
use idk_dataset_builder::{
    BuildConfig, BuildInputs, Provenance, QuestionRow, SampledModel, SamplingSettings, sample_answers,
};
use idk_evaluator::{Backend, Meaning, Prepared, SampledAnswer, SampledAnswers};
use idk_model::{Clip, Lalm, ModelError};
use idk_questions::rows::SampleRow;
use idk_questions::{PackedQuestions, PackedSet};

use super::sampling::sampling;
use crate::recipe::Recipe;
use crate::run::{BaseModel, EvaluatedModel};
use crate::terminal::Failure;

/// The hidden folder of samples in an evaluation's folder; each set of questions has one of its own below it. Whoever
/// removes it loses nothing but time.
const SAMPLES_DIR: &str = ".samples";

/// Samples the base model on the prepared questions, as `[build]` says; what was sampled before is used again.
///
/// # Errors
/// As a build: [`crate::run::RunError::Stopped`] by a signal, whatever stops the model.
pub(super) fn sample(
    model: &EvaluatedModel<'_>,
    recipe: &Recipe,
    prepared: &Prepared,
    eval_dir: &Path,
) -> Result<SampledAnswers, Failure> {
    // It needs every sample, whatever the labels need.
    let config = BuildConfig { stop_when_decided: false, ..recipe.build.clone() };
    let mut questions = PackedQuestions::default();
    prepared.questions.iter().for_each(|question| questions.push(&question.original));
    let answerer = model.folder.map(BaseModel::answerer);
    let sampled = match (&answerer, &model.backend) {
        (Some(answerer), _) | (None, Backend::Local(answerer)) => SampledModel::Folder(answerer),
        (None, Backend::Served(served)) => SampledModel::Server(served.audio),
    };
    let server = match &model.backend {
        Backend::Local(_) => None,
        Backend::Served(served) => Some(served.server),
    };
    let provenance = Provenance {
        model: recipe.model.name(),
        model_sha256: model.sha256.to_owned(),
        questions: String::new(),
        questions_sha256: questions_sha256(prepared),
    };
    let key = sha256_of(&serde_json::json!([
        provenance,
        SamplingSettings::of(&config),
        recipe.seed,
        model.folder.map_or(model.device, |folder| folder.device.as_str()),
        env!("CARGO_PKG_VERSION")
    ]));
    let dir = eval_dir.join(SAMPLES_DIR).join(&key[..32]);
    let set = PackedSet { questions, rejected: Vec::new() };
    let inputs = BuildInputs {
        model: sampled,
        server,
        set: &set,
        config: &config,
        seed: recipe.seed,
        provenance: &provenance,
    };
    let answers = sampling(&inputs, &dir, |control| sample_answers(&inputs, &dir, control))?;
    let lalm = sampled.lalm();
    let of_question = |(question, samples): (QuestionRow, Vec<SampleRow>)| {
        let sampled = samples.into_iter().map(|row| sampled_answer(lalm, &question, row));
        Ok((question.id.clone(), sampled.collect::<Result<_, ModelError>>()?))
    };
    answers.into_iter().map(of_question).collect()
}

/// A sample as the measures of doubt see it. One that an earlier version stored has its tokens counted here, where there
/// is a tokenizer.
fn sampled_answer(
    lalm: Option<&Lalm>,
    question: &QuestionRow,
    row: SampleRow,
) -> Result<SampledAnswer, ModelError> {
    let tokens = match (row.tokens, lalm) {
        (None, Some(lalm)) => Some(lalm.tokenizer.answer_ids(&[Message::user(0, "")], &row.text)?.len()),
        (tokens, _) => tokens,
    };
    Ok(SampledAnswer {
        meaning: Meaning::of(&question.choices, row.choice, row.verdict, &row.text),
        log_prob: row.log_prob,
        tokens,
        text: row.text,
    })
}

/// Everything about the questions that a sample depends on.
fn questions_sha256(prepared: &Prepared) -> String {
    let rows = prepared.questions.iter().zip(&prepared.clips).map(|(question, clips)| {
        let asked = &question.original;
        let audio_sha256: Vec<&str> = clips.iter().map(Clip::sha256).collect();
        serde_json::json!([asked.id, asked.question, asked.choices, audio_sha256]).to_string()
    });
    sha256_hex(rows.collect::<Vec<_>>().join("\n").as_bytes())
}
