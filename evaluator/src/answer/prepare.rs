//! A test set made ready once: recordings read, options put in order. Base and adapters answer the same thing.

use std::collections::BTreeMap;

use idk_audio::AudioError;
use idk_common::progress::NewProgress;
use idk_model::{Clip, ModelError};
use idk_questions::{AskedQuestion, PromptStyle, Question, QuestionSet, Rejection, reason};
use idk_server::has_special_token;
use rayon::prelude::*;

use crate::answer::ask::explicit_option::refusals_of;
use crate::answer::ask::{Item, MethodRunner};
use crate::answer::prompts::Prompts;
use crate::backend::Backend;
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::Method;

/// A test set whose recordings can be used. Their features are in the run's [`FeatureStore`](idk_model::FeatureStore),
/// from the first answer on.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The usable questions, in the order of the file.
    pub questions: Vec<AskedQuestion>,
    /// The recordings of each of them.
    pub clips: Vec<Vec<Clip>>,
    /// Rows that the reader rejected, then questions whose recordings cannot be used.
    pub rejected: Vec<Rejection>,
    /// Recordings that are longer than the model's window; only their beginning is heard.
    pub cut_audio: usize,
    /// How question and options become a text.
    pub style: PromptStyle,
    /// The refusals that an answer may be chosen from besides the options.
    pub refusals: Vec<String>,
}

impl Prepared {
    /// Every usable question with its recordings.
    pub(crate) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.questions.iter().zip(self.clips.iter().map(Vec::as_slice))
    }
}

/// Reads the recordings of a test set for the base model `backend`. `style` is how questions are asked, `refusals` are the
/// texts that an answer may be chosen from besides the options.
///
/// Questions whose recording cannot be used are listed in [`Prepared::rejected`].
///
/// # Errors
/// [`EvalError::Config`]; [`EvalError::NoQuestions`]; [`EvalError::TooManyRejected`]; [`EvalError::Model`], also for a
/// recording that could not be read this time, which says nothing about it.
pub fn prepare(
    backend: &Backend<'_>,
    set: &QuestionSet,
    config: &EvalConfig,
    style: PromptStyle,
    refusals: &[String],
    seed: u64,
    progress: NewProgress,
) -> Result<Prepared, EvalError> {
    config.validate()?;
    let prompts = Prompts::load(&config.prompts)?;
    let chosen = limited(&set.questions, config.limit);
    let mut prepared = Prepared {
        questions: Vec::new(),
        clips: Vec::new(),
        rejected: set.rejected.clone(),
        cut_audio: 0,
        style,
        refusals: refusals.to_vec(),
    };
    if chosen.is_empty() {
        return Err(EvalError::NoQuestions { rejected: set.rejected.len() });
    }
    let bar = progress("reading audio", chosen.len() as u64);
    let read = |question: &&Question| {
        let reason = |error: &AudioError| error.is_about_the_file().then(|| error.reason());
        let clips = question.open_audio(|path| backend.clip(path), reason);
        bar.inc(1);
        clips
    };
    let read: Vec<Result<Vec<Clip>, Rejection>> =
        chosen.par_iter().map(read).collect::<Result<_, AudioError>>().map_err(ModelError::from)?;
    bar.finish();
    for (question, clips) in chosen.iter().zip(read) {
        let asked = AskedQuestion::new((*question).clone(), config.shuffle_options.then_some(seed));
        let fits = match clips {
            Ok(clips) => {
                prepared.cut_audio += clips.iter().filter(|clip| clip.is_cut()).count();
                check(backend, (&asked, &clips), config, &prompts, &prepared)?.map(|()| clips)
            }
            Err(rejection) => Err(rejection),
        };
        match fits {
            Ok(clips) => {
                prepared.questions.push(asked);
                prepared.clips.push(clips);
            }
            Err(rejection) => prepared.rejected.push(rejection),
        }
    }
    check_rejected(&prepared, chosen.len() + set.rejected.len(), config)?;
    Ok(prepared)
}

/// Whether the model reads the question as it is written, and holds it.
fn check(
    backend: &Backend<'_>,
    item: Item<'_>,
    config: &EvalConfig,
    prompts: &Prompts,
    prepared: &Prepared,
) -> Result<Result<(), Rejection>, EvalError> {
    let asked = item.0;
    let mut texts = asked.shown.choices.iter().chain([&asked.shown.question]);
    if matches!(backend, Backend::Served(_)) && texts.any(|text| has_special_token(text)) {
        let detail = "a text contains a special token, which a server would read as one";
        return Ok(Err(asked.original.rejection(reason::RESERVED_TOKEN, detail)));
    }
    let Some(lalm) = backend.lalm() else { return Ok(Ok(())) };
    let needed = positions(backend, item, config, prompts, prepared)?;
    Ok(asked.original.check_length(needed, lalm.config.text.max_position_embeddings))
}

/// Positions of the question with the longest prompt and answer of any method.
fn positions(
    backend: &Backend<'_>,
    item: Item<'_>,
    config: &EvalConfig,
    prompts: &Prompts,
    prepared: &Prepared,
) -> Result<usize, EvalError> {
    let style = prepared.style;
    let mut needed = 0;
    for &method in [Method::Base].iter().chain(&config.methods) {
        let refusals = &refusals_of(method, prompts, &prepared.refusals);
        let (with_options, own_answers) = (false, None);
        let runner =
            MethodRunner { backend, method, prompts, style, refusals, with_options, own_answers, config };
        needed = needed.max(runner.positions(item)?);
    }
    Ok(needed)
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

/// A test set that shrinks unseen would compare with nobody's numbers.
fn check_rejected(prepared: &Prepared, total: usize, config: &EvalConfig) -> Result<(), EvalError> {
    let rejected = prepared.rejected.len();
    if rejected as f64 > config.max_rejected_share * total as f64 {
        let reasons = reason::with_first(&prepared.rejected);
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
            clips: Vec::new(),
            rejected: vec![rejection("a"), rejection("b")],
            cut_audio: 0,
            style: PromptStyle::default(),
            refusals: Vec::new(),
        };
        let error = check_rejected(&prepared, 20, &EvalConfig::default()).unwrap_err().to_string();
        assert!(
            error.contains("2 of 20") && error.contains("2 truncated-audio") && error.contains("`a`"),
            "{error}"
        );
    }
}
