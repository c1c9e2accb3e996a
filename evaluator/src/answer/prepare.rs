//! A test set made ready once: recordings encoded, options put in order. Base and adapters answer the same thing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::Tensor;
use idk_audio::{AudioError, LogMel};
use idk_common::progress::NewProgress;
use idk_model::{Adapters, ForwardContext, Lalm, ModelError};
use idk_questions::{PromptStyle, Question, QuestionSet, Rejection, reason, shuffled};
use rayon::prelude::*;

use crate::answer::ask::Asker;
use crate::answer::prompts::Prompts;
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::Method;

/// One question with its recordings encoded.
#[derive(Clone, Debug)]
pub struct PreparedQuestion {
    /// As it stands in the question file.
    pub original: Question,
    /// As the model sees it: the options may be in another order.
    pub shown: Question,
    /// Features of each recording, `[audio_tokens, hidden]`, as the decoder takes them.
    pub features: Vec<Tensor<2>>,
    /// SHA-256 of the file of each recording.
    pub audio_sha256: Vec<String>,
}

/// A test set with its recordings encoded by the base model. Adapters on the language model share it; it holds
/// `audio tokens x hidden size` numbers for each recording, about 4 MB for ten seconds on a 7B model.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The usable questions, in the order of the file.
    pub questions: Vec<PreparedQuestion>,
    /// Rows that the reader rejected, then questions whose recordings cannot be used.
    pub rejected: Vec<Rejection>,
    /// Recordings that are longer than the model's window; only their beginning is heard.
    pub cut_audio: usize,
    /// How question and options become a text.
    pub style: PromptStyle,
}

/// Encodes the recordings of a test set.
///
/// Questions whose recording cannot be used are listed in [`Prepared::rejected`].
///
/// # Errors
/// [`EvalError::Config`]; [`EvalError::NoQuestions`]; [`EvalError::TooManyRejected`]; [`EvalError::Model`], also for a
/// recording that could not be read this time, which says nothing about it.
pub fn prepare(
    lalm: &Lalm,
    set: &QuestionSet,
    config: &EvalConfig,
    style: PromptStyle,
    seed: u64,
    progress: NewProgress,
) -> Result<Prepared, EvalError> {
    config.validate()?;
    let prompts = Prompts::load(&config.prompts)?;
    let chosen = limited(&set.questions, config.limit);
    let mut prepared =
        Prepared { questions: Vec::new(), rejected: set.rejected.clone(), cut_audio: 0, style };
    if chosen.is_empty() {
        return Err(EvalError::NoQuestions { rejected: set.rejected.len() });
    }
    let bar = progress("encoding audio", chosen.len() as u64);
    for chunk in chosen.chunks(config.batch_size) {
        let loaded: Vec<Result<Vec<Clip>, Rejection>> = chunk
            .par_iter()
            .map(|question| load_clips(question, lalm))
            .collect::<Result<_, AudioError>>()
            .map_err(ModelError::from)?;
        let mut usable = Vec::new();
        for (question, outcome) in chunk.iter().zip(loaded) {
            match outcome {
                Ok(clips) => usable.push((*question, clips)),
                Err(rejection) => prepared.rejected.push(rejection),
            }
        }
        encode(lalm, &usable, config, &prompts, seed, &mut prepared)?;
        bar.inc(chunk.len() as u64);
    }
    bar.finish();
    check_rejected(&prepared, chosen.len() + set.rejected.len(), config)?;
    Ok(prepared)
}

/// The first `limit` questions of each task.
fn limited(questions: &[Question], limit: Option<usize>) -> Vec<&Question> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chosen = Vec::new();
    for question in questions {
        let count = taken.entry(&question.task).or_insert(0);
        *count += 1;
        if limit.is_none_or(|limit| *count <= limit) {
            chosen.push(question);
        }
    }
    chosen
}

struct Clip {
    mel: LogMel,
    is_cut: bool,
    sha256: String,
}

/// The clips of a question, or why it is rejected.
///
/// # Errors
/// [`AudioError`] for a recording that could not be read this time: rejecting it would let luck choose the test set.
fn load_clips(question: &Question, lalm: &Lalm) -> Result<Result<Vec<Clip>, Rejection>, AudioError> {
    let mut clips = Vec::with_capacity(question.audio.len());
    for path in &question.audio {
        match lalm.mel.load(path) {
            Ok(recording) => clips.push(Clip {
                mel: lalm.mel.log_mel(&recording.audio.samples),
                is_cut: recording.is_cut(),
                sha256: recording.sha256,
            }),
            Err(error) if error.is_about_the_file() => {
                return Ok(Err(Rejection {
                    id: question.id.clone(),
                    // A set may have been filtered, so the row of the file is not known any more.
                    line: 0,
                    reason: error.reason().to_owned(),
                    detail: without_folders(&error.to_string(), question),
                }));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(clips))
}

/// The folders are left out: two evaluations of the same data in two places must write the same bytes.
fn without_folders(message: &str, question: &Question) -> String {
    let folders = question.audio.iter().filter_map(|path| path.parent());
    folders.fold(message.to_owned(), |text, folder| text.replace(&format!("{}/", folder.display()), ""))
}

fn encode(
    lalm: &Lalm,
    usable: &[(&Question, Vec<Clip>)],
    config: &EvalConfig,
    prompts: &Prompts,
    seed: u64,
    prepared: &mut Prepared,
) -> Result<(), EvalError> {
    let mels: Vec<&LogMel> = usable.iter().flat_map(|(_, clips)| clips).map(|clip| &clip.mel).collect();
    let features =
        if mels.is_empty() { Vec::new() } else { lalm.encode_audio(&mels, &ForwardContext::default())? };
    let mut features = features.into_iter();
    for (question, clips) in usable {
        prepared.cut_audio += clips.iter().filter(|clip| clip.is_cut).count();
        let question = PreparedQuestion {
            original: (*question).clone(),
            shown: if config.shuffle_options { shuffled(question, seed) } else { (*question).clone() },
            features: features.by_ref().take(clips.len()).collect(),
            audio_sha256: clips.iter().map(|clip| clip.sha256.clone()).collect(),
        };
        match too_long(lalm, &question, config, prompts, prepared.style)? {
            None => prepared.questions.push(question),
            Some(detail) => prepared.rejected.push(Rejection {
                id: question.original.id.clone(),
                line: 0,
                reason: reason::PROMPT_TOO_LONG.to_owned(),
                detail,
            }),
        }
    }
    Ok(())
}

/// The questions with their recordings read again and encoded through adapters of the audio encoder or the projector.
///
/// # Errors
/// [`EvalError::Model`], also for a recording that cannot be read any more.
pub(crate) fn encoded_with(
    lalm: &Lalm,
    adapters: &Adapters,
    questions: &[&PreparedQuestion],
) -> Result<Vec<PreparedQuestion>, EvalError> {
    let paths: Vec<&PathBuf> = questions.iter().flat_map(|question| &question.original.audio).collect();
    let load = |path: &&PathBuf| Ok(lalm.mel.log_mel_file(path)?);
    let mels: Vec<LogMel> = paths.par_iter().map(load).collect::<Result<_, ModelError>>()?;
    let context = ForwardContext { adapters: Some(adapters), dropout_seed: None };
    let mut features = lalm.encode_audio(&mels.iter().collect::<Vec<_>>(), &context)?.into_iter();
    let with_features = |question: &&PreparedQuestion| PreparedQuestion {
        features: features.by_ref().take(question.original.audio.len()).collect(),
        ..(*question).clone()
    };
    Ok(questions.iter().map(with_features).collect())
}

/// Why a question does not fit the model's positions with the longest prompt and answer of any method, if it does not.
fn too_long(
    lalm: &Lalm,
    question: &PreparedQuestion,
    config: &EvalConfig,
    prompts: &Prompts,
    style: PromptStyle,
) -> Result<Option<String>, EvalError> {
    let mut needed = 0;
    for &method in [Method::Base].iter().chain(&config.methods) {
        let asker = Asker { lalm, adapters: None, method, prompts, style, with_options: false, config };
        needed = needed.max(asker.positions(question)?);
    }
    let positions = lalm.config.text.max_position_embeddings;
    Ok((needed > positions).then(|| format!("{needed} tokens, but the model has {positions} positions")))
}

/// A test set that shrinks unseen would compare with nobody's numbers.
fn check_rejected(prepared: &Prepared, total: usize, config: &EvalConfig) -> Result<(), EvalError> {
    let rejected = prepared.rejected.len();
    if rejected as f64 > config.max_rejected_share * total as f64 {
        let mut reasons: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for rejection in &prepared.rejected {
            let first = || (0, format!("`{}`: {}", rejection.id, rejection.detail));
            reasons.entry(rejection.reason.clone()).or_insert_with(first).0 += 1;
        }
        return Err(EvalError::TooManyRejected {
            rejected,
            total,
            max_share: config.max_rejected_share,
            reasons,
        });
    }
    if prepared.questions.is_empty() {
        return Err(EvalError::NoQuestions { rejected });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_each_task_for_itself() {
        let question = |id: &str, task: &str| Question {
            id: id.to_owned(),
            task: task.to_owned(),
            ..Question::default()
        };
        let questions =
            [question("a", "sound"), question("b", "sound"), question("c", "music"), question("d", "sound")];
        let ids = |limit| limited(&questions, limit).iter().map(|q| q.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(Some(2)), ["a", "b", "c"]);
        assert_eq!(ids(None), ["a", "b", "c", "d"]);
    }

    #[test]
    fn too_many_rejected_questions_stop_the_evaluation_and_name_the_first_of_each_kind() {
        let rejection = |id: &str| Rejection {
            id: id.to_owned(),
            line: 0,
            reason: reason::TRUNCATED_AUDIO.to_owned(),
            detail: "x.wav is cut off".to_owned(),
        };
        let prepared = Prepared {
            questions: Vec::new(),
            rejected: vec![rejection("a"), rejection("b")],
            cut_audio: 0,
            style: PromptStyle::default(),
        };
        let error = check_rejected(&prepared, 20, &EvalConfig::default()).unwrap_err().to_string();
        assert!(
            error.contains("2 of 20") && error.contains("2 truncated-audio") && error.contains("`a`"),
            "{error}"
        );
    }
}
