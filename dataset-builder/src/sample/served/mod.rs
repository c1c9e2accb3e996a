//! Sampling from a server: screened questions become prompts, its answers judged rows.

#[cfg(test)]
#[path = "../../../../tests/support/server.rs"]
mod fake;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicBool;

use idk_common::progress::Progress;
use idk_questions::rows::SampleRow;
use idk_server::{Decoding, Server, ServerAnswer, ServerPrompt, first_seed, wav_bytes};

use crate::config::{BuildConfig, Sampler};
use crate::error::BuildError;
use crate::sample::model::SampledModel;
use crate::sample::sampler::sample_row;
use crate::sample::screened::Screened;

/// The server of a config, or `None` if the local model is sampled. Nothing is sent yet.
///
/// # Errors
/// [`BuildError::Config`] for a setting that cannot be used.
pub(crate) fn open(config: &BuildConfig) -> Result<Option<Server>, BuildError> {
    if config.sampler == Sampler::Local {
        return Ok(None);
    }
    Ok(Some(Server::open(&config.server())?))
}

/// Samples `questions`; the result is in their order, one list of N rows per question. Of the
/// model's folder only the tokenizer and the audio settings are used.
///
/// `None` if `stop` was set before all of them were answered.
///
/// # Errors
/// [`BuildError::Server`] for the first question in order that failed; [`BuildError::Model`] for a recording that changed.
pub(crate) fn sample(
    server: &Server,
    model: SampledModel<'_>,
    questions: &[Screened],
    config: &BuildConfig,
    run_seed: u64,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Option<Vec<Vec<SampleRow>>>, BuildError> {
    let prompt = |place: usize| prompt(&questions[place], model, config, run_seed);
    let answers =
        server.answer_all(questions.len(), &decoding(config, model), stop, &prompt, &|| progress.inc(1))?;
    let rows =
        |(question, answers): (&Screened, Vec<ServerAnswer>)| rows(question, &answers, config, run_seed);
    Ok(answers.map(|answers| questions.iter().zip(answers).map(rows).collect()))
}

fn decoding(config: &BuildConfig, model: SampledModel<'_>) -> Decoding {
    Decoding {
        // Greedy answers are all the same, and vLLM rejects a request for several.
        choices: if config.temperature == 0.0 { 1 } else { config.n_samples },
        temperature: config.temperature,
        top_p: config.top_p,
        top_k: config.top_k,
        repetition_penalty: config.repetition_penalty,
        max_new_tokens: config.max_new_tokens,
        stop_token_ids: model.lalm().map(|lalm| lalm.generation.eos_token_ids.clone()).unwrap_or_default(),
    }
}

/// The recordings come before the text, as in the rows of the dataset: templates that move audio to the front give the
/// same prompt then. Each is sent at the model's rate and cut to what the model hears, as the local encoder hears it.
///
/// # Errors
/// [`BuildError::Model`] if a recording cannot be read any more.
fn prompt(
    question: &Screened,
    model: SampledModel<'_>,
    config: &BuildConfig,
    run_seed: u64,
) -> Result<ServerPrompt, BuildError> {
    let rate_hz = model.audio().config().sampling_rate as u32;
    let asked = &question.asked;
    let mut clips = Vec::with_capacity(asked.shown.audio.len());
    for path in &asked.shown.audio {
        let recording = idk_audio::load_window(path, rate_hz, model.audio().max_samples())
            .map_err(|source| BuildError::recording(path, source))?;
        clips.push(wav_bytes(&recording.audio.samples, rate_hz));
    }
    let id = question.id().to_owned();
    Ok(ServerPrompt {
        seed: first_seed(run_seed, &id),
        id,
        messages: vec![asked.message(config.prompt)],
        clips,
        token_ids: model.lalm().map(|_| question.ids.clone()),
        model: None,
        letters: 0,
        only: config.answers_to(asked).into_iter().map(str::to_owned).collect(),
    })
}

/// The rows of one question. One greedy answer stands for all of them.
fn rows(
    question: &Screened,
    answers: &[ServerAnswer],
    config: &BuildConfig,
    run_seed: u64,
) -> Vec<SampleRow> {
    let (asked, first_seed) = (&question.asked, first_seed(run_seed, question.id()));
    let rows = answers.iter().cycle().take(config.n_samples).enumerate().map(|(sample, answer)| {
        let seed = first_seed + sample as u64;
        sample_row(config, asked, (sample, seed), &answer.text, answer.log_prob, answer.tokens)
    });
    rows.collect()
}
