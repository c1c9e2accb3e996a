//! Before anything is sampled: which questions can be asked at all. The others are listed with a reason.

use std::collections::{BTreeSet, HashSet};

use idk_audio::AudioError;
use idk_common::chat::AUDIO_TAG;
use idk_model::ModelError;
use idk_questions::{AskedQuestion, PackedSet, Question, Rejection, Verdict, judge, reason};
use idk_server::has_special_token;
use rayon::prelude::*;

use crate::config::{BuildConfig, OptionOrder, Sampler};
use crate::control::Control;
use crate::error::BuildError;
use crate::sample::model::SampledModel;
use crate::sample::screened::{Screened, ScreenedSet};

/// Questions that are screened together: while they are, their prompts are in memory.
const TOGETHER: usize = 1024;

/// Reads every recording (in parallel) and sorts the questions into usable and rejected, so that a bad file shows before the
/// first hour is spent.
///
/// # Errors
/// [`BuildError::Stopped`]; [`ModelError::Audio`] for a recording that could not be read, which says nothing about it.
pub(crate) fn screen<'a>(
    model: SampledModel<'_>,
    set: &'a PackedSet,
    config: &BuildConfig,
    seed: u64,
    control: &Control<'_>,
) -> Result<ScreenedSet<'a>, BuildError> {
    let questions = &set.questions;
    let progress = (control.progress)("reading audio", questions.len() as u64);
    let shuffle_seed = (config.options == OptionOrder::Shuffle).then_some(seed);
    let mut screened = ScreenedSet::new(questions, shuffle_seed, set.rejected.clone());
    let mut seen = HashSet::new();
    for start in (0..questions.len()).step_by(TOGETHER) {
        let screen_one = |place: usize| {
            let question = questions.get(place).unwrap_or_default();
            // Nothing is lost by stopping here; what is returned does not matter then.
            if control.stopped() {
                return Ok(Err(question.rejection("stopped", "")));
            }
            let outcome = screen_question(model, &screened.ask(question), config);
            progress.inc(1);
            outcome
        };
        let end = questions.len().min(start + TOGETHER);
        let outcomes: Vec<Result<Screened, Rejection>> = (start..end)
            .into_par_iter()
            .map(screen_one)
            .collect::<Result<_, AudioError>>()
            .map_err(ModelError::from)?;
        if control.stopped() {
            return Err(BuildError::Stopped { sampled: None, total: questions.len() });
        }
        for (place, outcome) in (start..end).zip(outcomes) {
            match outcome {
                _ if !seen.insert(questions.id_number(place)) => {
                    let question = questions.get(place).unwrap_or_default();
                    let twice = question.rejection(reason::DUPLICATE_ID, "the id stands in the set before");
                    screened.rejected.push(twice);
                }
                Ok(usable) => screened.push(place, usable),
                Err(rejection) => screened.rejected.push(rejection),
            }
        }
    }
    progress.finish();
    Ok(screened)
}

/// The question with its prompt, if it can be asked.
///
/// # Errors
/// A recording that could not be read this time.
fn screen_question(
    model: SampledModel<'_>,
    asked: &AskedQuestion,
    config: &BuildConfig,
) -> Result<Result<Screened, Rejection>, AudioError> {
    let question = &asked.original;
    if let Err(rejection) = check_question(question, config) {
        return Ok(Err(rejection));
    }
    let reason_of = |error: &AudioError| error.is_about_the_file().then(|| error.reason());
    let clips = match question.open_audio(|path| model.clip(path), reason_of)? {
        Ok(clips) => clips,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let rejected = |error: ModelError| asked.original.rejection(reason::BAD_PROMPT, error.to_string());
    let screened = match Screened::new(model, asked.clone(), clips, config) {
        Ok(screened) => screened,
        Err(error) => return Ok(Err(rejected(error))),
    };
    let Some(lalm) = model.lalm() else { return Ok(Ok(screened)) };
    let answer = screened.guide.as_ref().map_or(config.max_new_tokens, |guide| guide.longest());
    let positions = lalm.config.text.max_position_embeddings;
    Ok(question.check_length(screened.ids.len() + answer, positions).map(|()| screened))
}

/// The reader has checked files; sets that were made in memory get the same checks here.
fn check_question(question: &Question, config: &BuildConfig) -> Result<(), Rejection> {
    if question.is_answerable() && !question.choices.is_empty() && question.answer_index().is_none() {
        let detail = format!("`{}` is not one of the {} choices", question.answer, question.choices.len());
        return Err(question.rejection(reason::ANSWER_NOT_IN_CHOICES, detail));
    }
    let distinct: BTreeSet<&String> = question.choices.iter().collect();
    if distinct.len() < question.choices.len() {
        return Err(question.rejection(reason::DUPLICATE_CHOICES, "two choices are the same"));
    }
    let texts = || question.choices.iter().chain([&question.question, &question.answer]);
    if texts().any(|text| text.contains(AUDIO_TAG)) {
        return Err(question.rejection(reason::RESERVED_TOKEN, format!("a text contains `{AUDIO_TAG}`")));
    }
    if config.sampler == Sampler::OpenAi && texts().any(|text| has_special_token(text)) {
        let detail = "a text contains a special token, which a server would read as one";
        return Err(question.rejection(reason::RESERVED_TOKEN, detail));
    }
    // Else a model that refuses as it was taught would be judged to have chosen an option.
    let answers = |text: &&String| judge(text, question).verdict != Verdict::Refused;
    match config.refusal_texts().iter().find(answers) {
        Some(text) => {
            Err(question
                .rejection(reason::REFUSAL_IS_AN_OPTION, format!("`{text}` reads as one of the options")))
        }
        None => Ok(()),
    }
}
