//! Before anything is sampled: which questions can be asked at all. The others are listed with a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use idk_audio::AudioError;
use idk_common::chat::AUDIO_TAG;
use idk_model::{Answerer, Clip, Guide, ModelError};
use idk_questions::{AskedQuestion, Question, QuestionSet, Rejection, Verdict, judge, reason};
use idk_server::has_special_token;
use rayon::prelude::*;

use crate::config::{BuildConfig, OptionOrder, Sampler};
use crate::control::Control;
use crate::error::BuildError;
use crate::format::sampled::Screening;
use crate::sample::model::SampledModel;

/// A question that can be asked. There may be a million of them: what can be made again is not kept.
#[derive(Clone, Debug)]
pub(crate) struct Screened<'a> {
    question: &'a Question,
    shuffle_seed: Option<u64>,
    /// Its recordings.
    pub(crate) clips: Vec<Clip>,
    /// The prompt's tokens, one placeholder for each audio token; none without a tokenizer.
    pub(crate) ids: PromptIds,
    /// The only answers that it may get, if its samples are guided.
    pub(crate) guide: Option<Arc<Guide>>,
}

impl Screened<'_> {
    /// The question's id.
    pub(crate) fn id(&self) -> &str {
        &self.question.id
    }

    /// The question as it is asked.
    pub(crate) fn asked(&self) -> AskedQuestion {
        AskedQuestion::new(self.question.clone(), self.shuffle_seed)
    }
}

/// The tokens of a prompt. Its hundreds of audio placeholders take as much memory as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PromptIds {
    /// Each token with how often it follows itself.
    runs: Vec<(u32, u32)>,
}

impl PromptIds {
    pub(crate) fn new(ids: &[u32]) -> Self {
        let run = |run: &[u32]| (run[0], run.len() as u32);
        Self { runs: ids.chunk_by(|one, next| one == next).map(run).collect() }
    }

    /// How many tokens there are.
    pub(crate) fn len(&self) -> usize {
        self.runs.iter().map(|&(_, count)| count as usize).sum()
    }

    /// Every token.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flat_map(|&(id, count)| std::iter::repeat_n(id, count as usize))
    }
}

/// What became of every question of a set.
#[derive(Debug, Default)]
pub(crate) struct ScreenedSet<'a> {
    /// In the order of the set.
    pub(crate) usable: Vec<Screened<'a>>,
    /// Rows that the reader rejected, then questions rejected here, in the order of the set.
    pub(crate) rejected: Vec<Rejection>,
}

impl ScreenedSet<'_> {
    /// The books of the screening of `input` questions.
    pub(crate) fn counts(&self, input: usize) -> Screening {
        let clips = || self.usable.iter().flat_map(|question| &question.clips);
        let mut noted_audio = BTreeMap::new();
        for note in clips().flat_map(|clip| clip.notes().names()) {
            *noted_audio.entry(note.to_owned()).or_insert(0) += 1;
        }
        Screening {
            input,
            kept: self.usable.len(),
            rejected: self.rejected.len(),
            rejected_by_reason: reason::counts(&self.rejected),
            cut_audio: clips().filter(|clip| clip.is_cut()).count(),
            noted_audio,
        }
    }
}

/// Reads every recording (in parallel) and sorts the questions into usable and rejected, so that a bad file shows before the
/// first hour is spent.
///
/// # Errors
/// [`BuildError::Stopped`]; [`ModelError::Audio`] for a recording that could not be read, which says nothing about it.
pub(crate) fn screen<'a>(
    model: SampledModel<'_>,
    set: &'a QuestionSet,
    config: &BuildConfig,
    seed: u64,
    control: &Control<'_>,
) -> Result<ScreenedSet<'a>, BuildError> {
    let progress = (control.progress)("reading audio", set.questions.len() as u64);
    let screen_one = |question: &'a Question| {
        // Nothing is lost by stopping here; what is returned does not matter then.
        if control.stopped() {
            return Ok(Err(question.rejection("stopped", "")));
        }
        let outcome = screen_question(model, question, config, seed);
        progress.inc(1);
        outcome
    };
    let outcomes: Vec<Result<Screened<'a>, Rejection>> = set
        .questions
        .par_iter()
        .map(screen_one)
        .collect::<Result<_, AudioError>>()
        .map_err(ModelError::from)?;
    if control.stopped() {
        return Err(BuildError::Stopped { sampled: None, total: set.questions.len() });
    }
    progress.finish();
    let mut screened = ScreenedSet { usable: Vec::new(), rejected: set.rejected.clone() };
    let mut seen = BTreeSet::new();
    for (question, outcome) in set.questions.iter().zip(outcomes) {
        if !seen.insert(&question.id) {
            let twice = question.rejection(reason::DUPLICATE_ID, "the id stands in the set before");
            screened.rejected.push(twice);
            continue;
        }
        match outcome {
            Ok(usable) => screened.usable.push(usable),
            Err(rejection) => screened.rejected.push(rejection),
        }
    }
    Ok(screened)
}

/// The question with its prompt, if it can be asked.
///
/// # Errors
/// A recording that could not be read this time.
fn screen_question<'a>(
    model: SampledModel<'_>,
    question: &'a Question,
    config: &BuildConfig,
    seed: u64,
) -> Result<Result<Screened<'a>, Rejection>, AudioError> {
    if let Err(rejection) = check_question(question, config) {
        return Ok(Err(rejection));
    }
    let shuffle_seed = (config.options == OptionOrder::Shuffle).then_some(seed);
    let asked = AskedQuestion::new(question.clone(), shuffle_seed);
    let reason_of = |error: &AudioError| error.is_about_the_file().then(|| error.reason());
    let clips = match question.open_audio(|path| model.clip(path), reason_of)? {
        Ok(clips) => clips,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let SampledModel::Folder(answerer) = model else {
        let ids = PromptIds::default();
        return Ok(Ok(Screened { question, shuffle_seed, clips, ids, guide: None }));
    };
    let audio_tokens: Vec<usize> = clips.iter().map(Clip::audio_tokens).collect();
    let ids = answerer.lalm.tokenizer.prompt_ids(&[asked.message(config.prompt)], &audio_tokens);
    let (ids, guide) = match ids.and_then(|ids| Ok((ids, guide(answerer, &asked, config)?))) {
        Ok(tokens) => tokens,
        Err(error) => return Ok(Err(question.rejection(reason::BAD_PROMPT, error.to_string()))),
    };
    let positions = answerer.lalm.config.text.max_position_embeddings;
    let answer = guide.as_ref().map_or(config.max_new_tokens, |guide| guide.longest());
    let fits = question.check_length(ids.len() + answer, positions);
    Ok(fits.map(|()| Screened { question, shuffle_seed, clips, ids: PromptIds::new(&ids), guide }))
}

/// The only answers that a question may get, if its samples are guided.
fn guide(
    answerer: &Answerer<'_>,
    asked: &AskedQuestion,
    config: &BuildConfig,
) -> Result<Option<Arc<Guide>>, ModelError> {
    let texts = config.answers_to(asked);
    if texts.is_empty() {
        return Ok(None);
    }
    let texts = texts.into_iter().map(|text| (text, 0.0));
    Ok(Some(Arc::new(answerer.guide(&[asked.message(config.prompt)], texts)?)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_a_prompt_are_those_that_it_was_made_of() {
        for ids in [&[][..], &[7], &[1, 5, 5, 5, 2, 5, 5], &[3; 750]] {
            let kept = PromptIds::new(ids);
            assert_eq!((kept.len(), kept.iter().collect::<Vec<_>>()), (ids.len(), ids.to_vec()));
        }
        assert_eq!(PromptIds::new(&[3; 750]).runs, [(3, 750)]);
    }
}
