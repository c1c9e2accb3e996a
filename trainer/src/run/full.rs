//! Full-parameter training: how a base model is made from scratch, or some of its parts from given ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use idk_common::{Identity, Problem, prefetch};
use idk_model::{Clip, Lalm};

use crate::config::TrainConfig;
use crate::data::{AudioInput, RowTokens, Totals, TrainingBatch, TrainingRow};
use crate::error::TrainError;
use crate::method::sft::{sft_loss, sft_metrics};
use crate::run::report::TrainReport;
use crate::run::session::Session;
use crate::step::{StepSize, TrainedModel, full_gradients, update};
use crate::train_run::TrainRun;

/// Steps that may be skipped in a run because a loss or gradient was not finite. One bad batch of an endless stream
/// does no harm; more than a few mean that the model has diverged.
pub const MAX_SKIPPED_STEPS: u64 = 3;

/// What makes the rows of a step; called on another thread, with steps in order.
///
/// Its rows must depend on the step alone, so that a resumed run sees the rows that it would have seen.
pub type NextBatch<'a> =
    dyn Fn(u64) -> Result<Vec<TrainingRow>, Box<dyn std::error::Error + Send + Sync>> + Sync + 'a;

/// Measures the model every `eval_every` steps and after the last one; the metrics go to the logs as `eval_<name>`.
pub type Evaluate<'a> =
    dyn FnMut(u64, &Lalm) -> Result<BTreeMap<String, f64>, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Trains every tensor of the model's trained parts, except the fixed positions of the encoder, for `max_steps` steps.
///
/// The rows of a step are run in micro-batches of `batch_size`; `gradient_accumulation_steps`, `epochs` and `shuffle` are not used:
/// the stream decides. They are made ahead on another thread, since rendering audio takes about as long as a small
/// model's step. Weight decay acts on matrices and kernels, not on biases and norm weights. Checkpoints hold the
/// whole model as a Hugging Face folder in f32.
///
/// # Errors
/// As [`crate::train_adapters`]; a loss or gradient that is not finite skips the update, and ends the run with
/// [`TrainError::NonFinite`] once that has happened more than [`MAX_SKIPPED_STEPS`] times.
pub fn train_full(
    mut model: TrainedModel,
    next_batch: &NextBatch<'_>,
    evaluate: Option<&mut Evaluate<'_>>,
    config: &TrainConfig,
    run: TrainRun<'_>,
) -> Result<(Lalm, TrainReport), TrainError> {
    config.validate()?;
    if let Some(quantisation) = model.lalm.quantisation() {
        let what =
            format!("{} is for adapters alone: quantised weights are not trained", quantisation.name());
        return Err(TrainError::Config { problems: vec![Problem::of_key("model", "dtype", what)] });
    }
    if config.selects() {
        let what = "and `target_refusal_rate` are for adapters alone";
        return Err(TrainError::Config { problems: vec![Problem::of_key("train", "metric_for_best", what)] });
    }
    if let Some(part) = model.missing_part() {
        let what = format!("names the {}, of which this model has no tensors of its own", part.name());
        return Err(TrainError::Config { problems: vec![Problem::of_key("model", "trainable", what)] });
    }
    let total_steps = config.max_steps.ok_or(TrainError::NoMaxSteps)?;
    let (mut session, found) = Session::open(config, run, None, total_steps, false, Identity::default())?;
    if let Some(found) = found {
        let device = model.lalm.device.clone();
        model.lalm = Lalm::load(&found.path, &device)?;
        session.restore(&found, &mut model, &device)?;
    }
    let steps = session.state.step..total_steps;
    let make = |step| next_batch(step).map_err(|source| TrainError::Batch { step, source });
    prefetch(steps.map(make), |batches| train_loop(&mut model, batches, evaluate, &mut session))?;
    Ok((model.lalm, session.report()))
}

fn train_loop(
    model: &mut TrainedModel,
    batches: &mut dyn Iterator<Item = Result<Vec<TrainingRow>, TrainError>>,
    mut evaluate: Option<&mut Evaluate<'_>>,
    session: &mut Session<'_>,
) -> Result<(), TrainError> {
    let mut ended = session.is_done();
    while !ended {
        let step = session.state.step;
        let gone = || TrainError::Batch { step, source: "the thread that makes the rows ended".into() };
        let rows = batches.next().ok_or_else(gone)??;
        let samples = rows.len();
        let micro_batches = micro_batches(&model.lalm, &rows, session.config.batch_size)?;
        let size =
            StepSize { learning_rate: session.learning_rate(), max_grad_norm: session.config.max_grad_norm };
        let gradients = full_gradients(model, &micro_batches, &sft_loss)?;
        let metrics = sft_metrics(&gradients.sums, Totals::of_batches(&micro_batches));
        let outcome = update(model, gradients, metrics, &micro_batches, &mut session.optimizer, size)?;
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
            let values = evaluate(session.state.step, &model.lalm)
                .map_err(|source| TrainError::Batch { step, source })?;
            session.log_eval(&values)?;
        }
        ended = session.save_if_due(&mut |dir| Ok(model.lalm.save(dir, idk_model::SaveDtype::F32)?))?;
    }
    Ok(())
}

fn micro_batches(
    lalm: &Lalm,
    rows: &[TrainingRow],
    batch_size: usize,
) -> Result<Vec<TrainingBatch>, TrainError> {
    if rows.is_empty() {
        return Err(TrainError::NoExamples);
    }
    let batch = |rows: &[TrainingRow]| {
        let tokens = rows.iter().map(|row| RowTokens::of(lalm, row)).collect::<Result<Vec<_>, _>>()?;
        let mel = |clip: &Clip| Ok(Arc::unwrap_or_clone(clip.mel(&lalm.mel)?));
        let mels = |row: &TrainingRow| row.audio.iter().map(mel).collect::<Result<_, TrainError>>();
        let mels = rows.iter().map(mels).collect::<Result<_, _>>()?;
        let ids = rows.iter().map(|row| row.id.clone()).collect();
        let places = (0..rows.len()).collect();
        Ok(TrainingBatch::collate(ids, places, &tokens, AudioInput::Mels(mels), lalm.tokenizer.pad_id()))
    };
    rows.chunks(batch_size).map(batch).collect()
}
