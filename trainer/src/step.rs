//! One optimiser step: gradients over its micro-batches, clipping, update.

use burn::tensor::Device;
use idk_model::{Adapters, ForwardContext, Lalm};

use crate::accumulate::{Forward, sum_over_batches};
use crate::error::TrainError;
use crate::optimizer::AdamW;
use crate::parameters::{Gradients, Parameters};

pub use crate::forward::{AudioInput, EvalLoss, MicroBatch, evaluate_loss, forward_nll};

/// Loss and gradients of one optimiser step, before clipping.
#[derive(Debug, Clone)]
pub struct StepGradients {
    /// Sum of `-log p` over all labels of all micro-batches, divided by their number.
    pub loss: f64,
    /// Number of labels.
    pub labels: usize,
    /// Labels that were the most probable token.
    pub correct: usize,
    /// Tokens without padding.
    pub num_tokens: usize,
    /// Gradient of `loss`. Incomplete if `loss` is not finite.
    pub gradients: Gradients,
    /// Rows of the first micro-batch whose loss is not finite.
    pub bad_rows: Vec<String>,
}

/// What one optimiser step did.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// Loss before the update: in SFT the mean `-log p` over the step's labels, in nats.
    pub loss: f64,
    /// L2 norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Tokens without padding.
    pub num_tokens: usize,
    /// What else was measured, under TRL's names.
    pub metrics: Vec<(&'static str, f64)>,
    /// Set if the weights were NOT updated.
    pub not_finite: Option<NotFinite>,
}

/// Why the weights were not updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFinite {
    /// "loss" or "gradient".
    pub quantity: &'static str,
    /// Ids of the rows concerned.
    pub ids: Vec<String>,
}

/// How a step changes what is trained.
#[derive(Debug, Clone, Copy)]
pub struct StepSize {
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Greatest norm of all gradients together; longer ones are scaled down to it. 0 = any.
    pub max_grad_norm: f64,
}

/// Loss and gradients of the adapters over the micro-batches of one step; the base model is a constant.
///
/// `dropout_seeds` has one seed per micro-batch; without it LoRA dropout is off.
///
/// # Errors
/// Those of [`forward_nll`].
pub fn lora_gradients(
    lalm: &Lalm,
    adapters: &Adapters,
    batches: &[MicroBatch],
    dropout_seeds: &[u64],
) -> Result<StepGradients, TrainError> {
    mean_over_labels(adapters, batches, &lalm.device, &|leaves, index, batch| {
        let dropout_seed = dropout_seeds.get(index).copied();
        forward_nll(lalm, &ForwardContext { adapters: Some(leaves), dropout_seed }, batch)
    })
}

/// Loss and gradients of all trained tensors of the model over the micro-batches of one step.
///
/// # Errors
/// Those of [`forward_nll`].
pub fn full_gradients(lalm: &Lalm, batches: &[MicroBatch]) -> Result<StepGradients, TrainError> {
    mean_over_labels(lalm, batches, &lalm.device, &|leaves, _, batch| {
        forward_nll(leaves, &ForwardContext::default(), batch)
    })
}

/// The mean `-log p` over all labels of the micro-batches; `forward` gives a micro-batch's `-log p` and how many labels
/// were the most probable token.
fn mean_over_labels<P: Parameters + Clone + Sync>(
    parameters: &P,
    batches: &[MicroBatch],
    device: &Device,
    forward: &Forward<'_, P, MicroBatch, usize>,
) -> Result<StepGradients, TrainError> {
    let labels: usize = batches.iter().map(|batch| batch.labels.len()).sum();
    let summed = sum_over_batches(parameters, batches, device, &|leaves, index, batch| {
        let (nll, correct) = forward(leaves, index, batch)?;
        Ok((nll.sum().div_scalar(labels.max(1) as f64), correct))
    })?;
    Ok(StepGradients {
        loss: summed.loss,
        labels,
        correct: summed.measured.iter().sum(),
        num_tokens: batches.iter().map(MicroBatch::num_tokens).sum(),
        gradients: summed.gradients,
        bad_rows: summed.bad.map_or_else(Vec::new, |index| batches[index].ids.clone()),
    })
}

/// Clips the gradients and updates the parameters, unless loss or gradient is not finite.
///
/// # Errors
/// [`TrainError::Device`] if a gradient cannot be read back.
pub fn apply(
    parameters: &mut impl Parameters,
    step: StepGradients,
    batches: &[MicroBatch],
    optimizer: &mut AdamW,
    learning_rate: f64,
    max_grad_norm: f64,
) -> Result<StepOutcome, TrainError> {
    let accuracy = step.correct as f64 / step.labels.max(1) as f64;
    let outcome = StepOutcome {
        loss: step.loss,
        grad_norm: f64::NAN,
        num_tokens: step.num_tokens,
        metrics: vec![("mean_token_accuracy", accuracy)],
        not_finite: None,
    };
    let all_ids = || batches.iter().flat_map(|batch| batch.ids.clone()).collect();
    let size = StepSize { learning_rate, max_grad_norm };
    update(parameters, outcome, step.gradients, step.bad_rows, all_ids, optimizer, size)
}

/// Clips the gradients and updates the parameters, unless the loss in `outcome` or the gradient is not finite.
pub(crate) fn update(
    parameters: &mut impl Parameters,
    mut outcome: StepOutcome,
    mut gradients: Gradients,
    bad_rows: Vec<String>,
    all_ids: impl FnOnce() -> Vec<String>,
    optimizer: &mut AdamW,
    size: StepSize,
) -> Result<StepOutcome, TrainError> {
    if !outcome.loss.is_finite() {
        outcome.not_finite = Some(NotFinite { quantity: "loss", ids: bad_rows });
        return Ok(outcome);
    }
    outcome.grad_norm = gradients.norm()?;
    if !outcome.grad_norm.is_finite() {
        outcome.not_finite = Some(NotFinite { quantity: "gradient", ids: all_ids() });
        return Ok(outcome);
    }
    gradients.clip(outcome.grad_norm, size.max_grad_norm);
    optimizer.step(parameters, gradients, size.learning_rate);
    Ok(outcome)
}

/// One SFT step on the adapters: gradients over all micro-batches, clipping (0 = off), AdamW.
///
/// # Errors
/// Those of [`lora_gradients`] and [`apply`]. A loss or gradient that is not finite is no error here: see
/// [`StepOutcome::not_finite`].
pub fn sft_step(
    lalm: &Lalm,
    adapters: &mut Adapters,
    batches: &[MicroBatch],
    dropout_seeds: &[u64],
    optimizer: &mut AdamW,
    learning_rate: f64,
    max_grad_norm: f64,
) -> Result<StepOutcome, TrainError> {
    let step = lora_gradients(lalm, adapters, batches, dropout_seeds)?;
    apply(adapters, step, batches, optimizer, learning_rate, max_grad_norm)
}

/// One step on the whole model: gradients over all micro-batches, clipping (0 = off), AdamW.
///
/// # Errors
/// As [`sft_step`].
pub fn full_step(
    lalm: &mut Lalm,
    batches: &[MicroBatch],
    optimizer: &mut AdamW,
    learning_rate: f64,
    max_grad_norm: f64,
) -> Result<StepOutcome, TrainError> {
    let step = full_gradients(lalm, batches)?;
    apply(lalm, step, batches, optimizer, learning_rate, max_grad_norm)
}
