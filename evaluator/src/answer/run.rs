//! Every question of a test set answered, batch by batch; batches that were answered before are taken as they are.

use std::sync::atomic::{AtomicBool, Ordering};

use idk_common::progress::Progress;
use idk_model::{Answerer, Clip, batches_by_length};

use crate::answer::ask::{Item, MethodRunner};
use crate::answer::key::item_key;
use crate::answer::prepare::Prepared;
use crate::answer::prompts::Prompts;
use crate::answer::record::Answer;
use crate::answer::store::Store;
use crate::backend::Backend;
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::Method;

/// Most answers of a server that are stored together: what an interrupted evaluation loses is less.
const MAX_SERVED_BATCH: usize = 32;

/// Answers every prepared question; the result is in the order of `prepared`. `candidate` is the key of whoever
/// answers, `store` where its answers are kept; without one nothing is looked up and nothing kept. `stop` is looked at
/// before each batch.
///
/// # Errors
/// [`EvalError::Model`], [`EvalError::Common`]; [`EvalError::Stopped`].
pub(crate) fn answer_all(
    runner: &MethodRunner<'_>,
    prepared: &Prepared,
    candidate: &str,
    store: Option<&Store>,
    stop: Option<&AtomicBool>,
    progress: &Progress,
) -> Result<Vec<Answer>, EvalError> {
    let mut answers: Vec<Option<Answer>> = vec![None; prepared.questions.len()];
    let (mut reused, mut stored) = (0, 0);
    let items: Vec<Item<'_>> = prepared.items().collect();
    let lengths: Vec<usize> =
        items.iter().map(|&item| runner.opening_tokens(item)).collect::<Result<_, _>>()?;
    let batch_size = match runner.backend {
        Backend::Local(_) => runner.config.batch_size,
        Backend::Served(_) => runner.config.batch_size.min(MAX_SERVED_BATCH),
    };
    for batch in batches_by_length(&lengths, batch_size) {
        if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            let (method, total) = (runner.method.name().to_owned(), answers.len());
            return Err(EvalError::Stopped { method, stored, total });
        }
        let items: Vec<Item<'_>> = batch.iter().map(|&index| items[index]).collect();
        let key = |(question, clips): &Item<'_>| {
            let audio_sha256: Vec<&str> = clips.iter().map(Clip::sha256).collect();
            item_key(candidate, question, &audio_sha256, runner.own_answer(question))
        };
        let keys: Vec<String> = items.iter().map(key).collect();
        let said = match store
            .and_then(|store| store.find(&keys, &items, |question, text| runner.judge(question, text)))
        {
            Some(mut stored) => {
                reused += stored.len();
                for (answer, (question, _)) in stored.iter_mut().zip(&items) {
                    runner.count_tokens(question, answer)?;
                }
                stored
            }
            None => {
                let said = runner.answer(&items)?;
                if let Some(store) = store {
                    store.keep(&keys, &said)?;
                }
                said
            }
        };
        for (&index, answer) in batch.iter().zip(said) {
            answers[index] = Some(answer);
        }
        stored += batch.len();
        progress.inc(batch.len() as u64);
    }
    if reused > 0 {
        progress.line(&format!("{reused} of {} answers were already stored", answers.len()));
    }
    let answers: Option<Vec<Answer>> = answers.into_iter().collect();
    answers.ok_or_else(|| EvalError::Misaligned { method: runner.method.name().to_owned() })
}

/// Answers every prepared question plainly, as the base model or with an adapter, and stores nothing: for measuring an
/// adapter while it is trained.
///
/// # Errors
/// [`EvalError::Model`], [`EvalError::Common`].
pub fn answer_plainly(
    answerer: &Answerer<'_>,
    prepared: &Prepared,
    config: &EvalConfig,
    progress: &Progress,
) -> Result<Vec<Answer>, EvalError> {
    let method = if answerer.adapters.is_some() { Method::Adapter } else { Method::Base };
    let prompts = Prompts::load(&config.prompts)?;
    let (style, refusals) = (prepared.style, prepared.refusals.as_slice());
    let backend = &Backend::Local(answerer.clone());
    let (prompts, with_options, own_answers) = (&prompts, false, None);
    let runner =
        MethodRunner { backend, method, prompts, style, refusals, with_options, own_answers, config };
    answer_all(&runner, prepared, "", None, None, progress)
}
