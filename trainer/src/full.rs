//! Full-parameter training: how a base model is made from scratch.

use std::collections::BTreeMap;
use std::sync::Arc;

use idk_common::{Identity, Problem, prefetch};
use idk_model::{Clip, Lalm};

use crate::collate::{collate, tokenize};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::example::Example;
use crate::forward::{AudioInput, MicroBatch};
use crate::session::Session;
use crate::step::full_step;
use crate::train_run::{TrainReport, TrainRun};

/// Steps that may be skipped in a run because a loss or gradient was not finite. One bad batch of an endless stream
/// does no harm; more than a few mean that the model has diverged.
pub const MAX_SKIPPED_STEPS: u64 = 3;

/// What makes the rows of a step; called on another thread, with steps in order.
///
/// Its rows must depend on the step alone, so that a resumed run sees the rows that it would have seen.
pub type NextBatch<'a> =
    dyn Fn(u64) -> Result<Vec<Example>, Box<dyn std::error::Error + Send + Sync>> + Sync + 'a;

/// Measures the model every `eval_every` steps and after the last one; the metrics go to the logs as `eval_<name>`.
pub type Evaluate<'a> =
    dyn FnMut(u64, &Lalm) -> Result<BTreeMap<String, f64>, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Trains every tensor of the model, except the fixed positions of the encoder, for `max_steps` steps.
///
/// The rows of a step are run in micro-batches of `batch_size`; `gradient_accumulation_steps`, `epochs` and `shuffle` are not used:
/// the stream decides. They are made ahead on another thread, since rendering audio takes about as long as a small
/// model's step. Weight decay acts on matrices and kernels, not on biases and norm weights. Checkpoints hold the
/// whole model as a Hugging Face folder in f32.
///
/// # Errors
/// As [`crate::train_lora`]; a loss or gradient that is not finite skips the update, and ends the run with
/// [`TrainError::NonFinite`] once that has happened more than [`MAX_SKIPPED_STEPS`] times.
pub fn train_full(
    lalm: Lalm,
    next_batch: &NextBatch<'_>,
    evaluate: Option<&mut Evaluate<'_>>,
    config: &TrainConfig,
    run: TrainRun<'_>,
) -> Result<(Lalm, TrainReport), TrainError> {
    config.validate()?;
    if config.selects() {
        let what = "and `target_refusal_rate` are for adapters alone";
        return Err(TrainError::Config { problems: vec![Problem::of_key("train", "metric_for_best", what)] });
    }
    let total_steps = config.max_steps.ok_or(TrainError::NoMaxSteps)?;
    let (mut session, found) = Session::open(config, run, None, total_steps, false, Identity::default())?;
    let mut lalm = lalm;
    if let Some(found) = found {
        let device = lalm.device.clone();
        lalm = Lalm::load(&found.path, &device)?;
        session.restore(&found, &mut lalm, &device)?;
    }
    let steps = session.state.step..total_steps;
    let make = |step| next_batch(step).map_err(|source| TrainError::Batch { step, source });
    prefetch(steps.map(make), |batches| train_loop(&mut lalm, batches, evaluate, &mut session))?;
    Ok((lalm, session.report()))
}

fn train_loop(
    lalm: &mut Lalm,
    batches: &mut dyn Iterator<Item = Result<Vec<Example>, TrainError>>,
    mut evaluate: Option<&mut Evaluate<'_>>,
    session: &mut Session<'_>,
) -> Result<(), TrainError> {
    let mut ended = session.is_done();
    while !ended {
        let step = session.state.step;
        let gone = || TrainError::Batch { step, source: "the thread that makes the rows ended".into() };
        let examples = batches.next().ok_or_else(gone)??;
        let samples = examples.len();
        let micro_batches = micro_batches(lalm, examples, session.config.batch_size)?;
        let rate = session.learning_rate();
        let max_norm = session.config.max_grad_norm;
        let outcome = full_step(lalm, &micro_batches, &mut session.optimizer, rate, max_norm)?;
        session.finish_step(&outcome, samples)?;
        if let Some(bad) = outcome.not_finite {
            if session.state.skipped_steps > MAX_SKIPPED_STEPS {
                return Err(TrainError::NonFinite { quantity: bad.quantity, step: step + 1, ids: bad.ids });
            }
            session.warn(&format!(
                "step {} was skipped: its {} is not finite; rows: {}",
                step + 1,
                bad.quantity,
                bad.ids.join(", ")
            ));
        }
        if let Some(evaluate) = evaluate.as_deref_mut().filter(|_| session.wants_eval()) {
            let values =
                evaluate(session.state.step, lalm).map_err(|source| TrainError::Batch { step, source })?;
            session.log_eval(&values)?;
        }
        ended = session.save_if_due(&mut |dir| Ok(lalm.save(dir, idk_model::SaveDtype::F32)?))?;
    }
    Ok(())
}

fn micro_batches(
    lalm: &Lalm,
    examples: Vec<Example>,
    batch_size: usize,
) -> Result<Vec<MicroBatch>, TrainError> {
    if examples.is_empty() {
        return Err(TrainError::NoExamples);
    }
    let mut examples = examples.into_iter().peekable();
    let mut batches = Vec::new();
    while examples.peek().is_some() {
        let rows: Vec<Example> = examples.by_ref().take(batch_size).collect();
        let tokens = rows.iter().map(|row| tokenize(lalm, row)).collect::<Result<Vec<_>, _>>()?;
        let (tokens, labels) = collate(&tokens, lalm.tokenizer.pad_id())?;
        let mel = |clip: &Clip| clip.mel(&lalm.mel).map(Arc::unwrap_or_clone);
        let mels = |row: &Example| row.audio.iter().map(mel).collect::<Result<_, _>>();
        let mels = rows.iter().map(mels).collect::<Result<_, _>>()?;
        let ids = rows.into_iter().map(|row| row.id).collect();
        batches.push(MicroBatch { ids, tokens, labels, audio: AudioInput::Mels(mels) });
    }
    Ok(batches)
}
