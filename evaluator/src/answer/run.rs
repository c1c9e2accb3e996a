//! Every question of a test set answered, batch by batch; batches that were answered before are taken as they are.

use idk_common::progress::Progress;
use idk_model::{Adapters, Lalm};

use crate::answer::ask::Asker;
use crate::answer::key::item_key;
use crate::answer::prepare::{Prepared, PreparedQuestion};
use crate::answer::prompts::Prompts;
use crate::answer::record::Answer;
use crate::answer::store::Store;
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::Method;

/// Answers every prepared question; the result is in the order of `prepared`. `contender` is the key of whoever
/// answers, `store` where its answers are kept; without one nothing is looked up and nothing kept.
///
/// # Errors
/// [`EvalError::Model`], [`EvalError::Common`].
pub(crate) fn answer_all(
    asker: &Asker<'_>,
    prepared: &Prepared,
    contender: &str,
    store: Option<&Store>,
    progress: &Progress,
) -> Result<Vec<Answer>, EvalError> {
    let mut answers: Vec<Option<Answer>> = vec![None; prepared.questions.len()];
    let mut reused = 0;
    for batch in batches(asker, prepared)? {
        let questions: Vec<&PreparedQuestion> =
            batch.iter().map(|&index| &prepared.questions[index]).collect();
        let keys: Vec<String> = questions.iter().map(|question| item_key(contender, question)).collect();
        let said = match store.and_then(|store| store.find(&keys, &questions)) {
            Some(stored) => {
                reused += stored.len();
                stored
            }
            None => {
                let said = asker.answer(&questions)?;
                if let Some(store) = store {
                    store.keep(&keys, &said)?;
                }
                said
            }
        };
        for (&index, answer) in batch.iter().zip(said) {
            answers[index] = Some(answer);
        }
        progress.inc(batch.len() as u64);
    }
    if reused > 0 {
        progress.line(&format!("{reused} of {} answers were there already", answers.len()));
    }
    let answers: Option<Vec<Answer>> = answers.into_iter().collect();
    answers.ok_or_else(|| EvalError::Misaligned { method: asker.method.name().to_owned() })
}

/// Answers every prepared question plainly, as the base model or with an adapter, and stores nothing: for measuring an
/// adapter while it is trained.
///
/// # Errors
/// [`EvalError::Model`], [`EvalError::Common`].
pub fn answer_plainly(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    prepared: &Prepared,
    config: &EvalConfig,
    progress: &Progress,
) -> Result<Vec<Answer>, EvalError> {
    let method = if adapters.is_some() { Method::Adapter } else { Method::Base };
    let prompts = Prompts::load(&config.prompts)?;
    let style = prepared.style;
    let asker = Asker { lalm, adapters, method, prompts: &prompts, style, with_options: false, config };
    answer_all(&asker, prepared, "", None, progress)
}

/// Places of the questions, those of similar length together.
fn batches(asker: &Asker<'_>, prepared: &Prepared) -> Result<Vec<Vec<usize>>, EvalError> {
    let lengths: Vec<usize> =
        prepared.questions.iter().map(|question| asker.opening_tokens(question)).collect::<Result<_, _>>()?;
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| (lengths[index], index));
    Ok(order.chunks(asker.config.batch_size.max(1)).map(<[usize]>::to_vec).collect())
}
