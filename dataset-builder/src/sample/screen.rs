//! Before anything is sampled: which questions can be asked at all. The others are listed with a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use idk_audio::{AudioError, LogMel};
use idk_common::chat::{AUDIO_TAG, Message};
use idk_model::{FeatureExtractor, Lalm, ModelError};
use idk_questions::{Question, QuestionSet, Rejection, Verdict, judge, prompt_text, reason, shuffled};
use idk_server::has_special_token;
use rayon::prelude::*;

use crate::config::{BuildConfig, OptionOrder, Sampler};
use crate::control::Control;
use crate::error::BuildError;
use crate::format::sampled::Screening;

/// A question that can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Usable {
    /// The question as it stands in the file.
    pub(crate) original: Question,
    /// The question as the model sees it: the options may be in another order.
    pub(crate) shown: Question,
    /// The prompt's tokens, one placeholder for each audio token.
    pub(crate) ids: Vec<u32>,
    /// Recordings of this question that are longer than the model's window.
    pub(crate) cut_audio: usize,
    /// What is remarkable about its recordings.
    pub(crate) noted: Vec<&'static str>,
}

impl Usable {
    /// The user's message with its audio tags, as it stands in the dataset's rows.
    pub(crate) fn user_message(&self, config: &BuildConfig) -> Message {
        user_message(&self.shown, config)
    }
}

/// What became of every question of a set.
#[derive(Debug, Default)]
pub(crate) struct Screened {
    /// In the order of the set.
    pub(crate) usable: Vec<Usable>,
    /// Rows that the reader rejected, then questions rejected here, in the order of the set.
    pub(crate) rejected: Vec<Rejection>,
}

impl Screened {
    /// How many recordings of usable questions have each note.
    fn notes(&self) -> BTreeMap<String, usize> {
        let mut notes = BTreeMap::new();
        for &note in self.usable.iter().flat_map(|question| &question.noted) {
            *notes.entry(note.to_owned()).or_insert(0) += 1;
        }
        notes
    }

    /// The books of the screening of `input` questions.
    pub(crate) fn counts(&self, input: usize) -> Screening {
        Screening {
            input,
            kept: self.usable.len(),
            rejected: self.rejected.len(),
            rejected_by_reason: reason::counts(&self.rejected),
            cut_audio: self.usable.iter().map(|question| question.cut_audio).sum(),
            noted_audio: self.notes(),
        }
    }
}

/// Loads a recording as the encoder wants it.
///
/// # Errors
/// [`AudioError`] for a recording that cannot be used.
pub(crate) fn load_mel(path: &Path, mel: &FeatureExtractor) -> Result<LogMel, AudioError> {
    Ok(mel.log_mel(&mel.load(path)?.audio.samples))
}

/// Why a question is not usable now.
enum Unusable {
    /// It never will be.
    Rejected(Rejection),
    /// A recording could not be read this time: rejecting it would let luck decide what the dataset holds.
    Unread(AudioError),
}

impl From<Rejection> for Unusable {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Reads every recording once (in parallel, keeping none) and sorts the questions into usable and rejected.
///
/// Reading twice costs little beside sampling, and a bad file shows before the first hour is spent.
///
/// # Errors
/// [`BuildError::Stopped`]; [`ModelError::Audio`] for a recording that could not be read, which says nothing about it.
pub(crate) fn screen(
    lalm: &Lalm,
    set: &QuestionSet,
    config: &BuildConfig,
    seed: u64,
    control: &Control<'_>,
) -> Result<Screened, BuildError> {
    let progress = (control.progress)("reading audio", set.questions.len() as u64);
    let outcomes: Vec<Result<Usable, Rejection>> = set
        .questions
        .par_iter()
        .map(|question| {
            // Nothing is lost by stopping here; what is returned does not matter then.
            if control.stopped() {
                return Ok(Err(reject(question, "stopped", String::new())));
            }
            let outcome = match usable(lalm, question, config, seed) {
                Ok(usable) => Ok(Ok(usable)),
                Err(Unusable::Rejected(rejection)) => Ok(Err(rejection)),
                Err(Unusable::Unread(error)) => Err(error),
            };
            progress.inc(1);
            outcome
        })
        .collect::<Result<_, AudioError>>()
        .map_err(ModelError::from)?;
    if control.stopped() {
        return Err(BuildError::Stopped { sampled: None, total: set.questions.len() });
    }
    progress.finish();
    let mut screened = Screened { usable: Vec::new(), rejected: set.rejected.clone() };
    let mut seen = BTreeSet::new();
    for (question, outcome) in set.questions.iter().zip(outcomes) {
        if !seen.insert(&question.id) {
            screened.rejected.push(reject(
                question,
                reason::DUPLICATE_ID,
                "the id stands in the set before".to_owned(),
            ));
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
fn usable(lalm: &Lalm, question: &Question, config: &BuildConfig, seed: u64) -> Result<Usable, Unusable> {
    check_question(question, config)?;
    let shown = match config.options {
        OptionOrder::Shuffle => shuffled(question, seed),
        OptionOrder::Keep => question.clone(),
    };
    let (audio_tokens, cut_audio, noted) = probe_audio(question, &lalm.mel)?;
    let ids = lalm
        .tokenizer
        .prompt_ids(&[user_message(&shown, config)], &audio_tokens)
        .map_err(|error| reject(question, reason::BAD_PROMPT, error.to_string()))?;
    let (needed, max_tokens) = (ids.len() + config.max_new_tokens, lalm.config.text.max_position_embeddings);
    if needed > max_tokens {
        let detail = format!("{needed} tokens, but the model has {max_tokens} positions");
        return Err(reject(question, reason::PROMPT_TOO_LONG, detail).into());
    }
    Ok(Usable { original: question.clone(), shown, ids, cut_audio, noted })
}

/// The reader has checked files; sets that were made in memory get the same checks here.
fn check_question(question: &Question, config: &BuildConfig) -> Result<(), Rejection> {
    if !question.choices.is_empty() && question.answer_index().is_none() {
        let detail = format!("`{}` is not one of the {} choices", question.answer, question.choices.len());
        return Err(reject(question, reason::ANSWER_NOT_IN_CHOICES, detail));
    }
    let distinct: BTreeSet<&String> = question.choices.iter().collect();
    if distinct.len() < question.choices.len() {
        return Err(reject(question, reason::DUPLICATE_CHOICES, "two choices are the same".to_owned()));
    }
    let texts = || question.choices.iter().chain([&question.question, &question.answer]);
    if texts().any(|text| text.contains(AUDIO_TAG)) {
        return Err(reject(question, reason::RESERVED_TOKEN, format!("a text contains `{AUDIO_TAG}`")));
    }
    if config.sampler == Sampler::OpenAi && texts().any(|text| has_special_token(text)) {
        let detail = "a text contains a special token, which a server would read as one".to_owned();
        return Err(reject(question, reason::RESERVED_TOKEN, detail));
    }
    // Else a model that refuses as it was taught would be judged to have chosen an option.
    let answers = |text: &&String| judge(text, question).verdict != Verdict::Refused;
    match config.refusal_texts().iter().find(answers) {
        Some(text) => Err(reject(
            question,
            reason::REFUSAL_IS_AN_OPTION,
            format!("`{text}` reads as one of the options"),
        )),
        None => Ok(()),
    }
}

/// Audio tokens of each recording, how many recordings are longer than the window, and what is remarkable about them.
fn probe_audio(
    question: &Question,
    mel: &FeatureExtractor,
) -> Result<(Vec<usize>, usize, Vec<&'static str>), Unusable> {
    let (mut audio_tokens, mut cut_audio, mut noted) = (Vec::new(), 0, Vec::new());
    for path in &question.audio {
        let recording = mel.load(path).map_err(|error| match error.is_about_the_file() {
            true => Unusable::Rejected(reject(question, error.reason(), file_and_cause(path, &error))),
            false => Unusable::Unread(error),
        })?;
        cut_audio += usize::from(recording.is_cut());
        noted.extend(recording.notes.names());
        audio_tokens.push(mel.tokens_of_samples(recording.total_samples));
    }
    Ok((audio_tokens, cut_audio, noted))
}

fn user_message(shown: &Question, config: &BuildConfig) -> Message {
    Message::user(shown.audio.len(), &prompt_text(shown, config.prompt))
}

/// Line 0: a set may have been filtered, so the row of the file is not known any more.
fn reject(question: &Question, code: &str, detail: String) -> Rejection {
    Rejection { id: question.id.clone(), line: 0, reason: code.to_owned(), detail }
}

/// The folder is left out: two builds of the same data in two places must write the same bytes.
fn file_and_cause(path: &Path, error: &AudioError) -> String {
    let folder = path.parent().map(|parent| format!("{}/", parent.display())).unwrap_or_default();
    error.to_string().replace(&folder, "")
}
