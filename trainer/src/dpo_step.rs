//! One optimiser step of DPO: gradients over its micro-batches of pairs, clipping, update.

use burn::tensor::{Tensor, TensorData};
use idk_model::{Adapters, ForwardContext, Lalm};

use crate::accumulate::sum_over_batches;
use crate::dpo_config::DpoConfig;
use crate::dpo_loss::{PairLogProbs, PairSums, pair_losses, per_token};
use crate::error::TrainError;
use crate::optimizer::AdamW;
use crate::pair::PairBatch;
use crate::pair_forward::{answer_log_probs, pair_nll};
use crate::parameters::Gradients;
use crate::step::{StepOutcome, StepSize, update};

/// Loss, gradients and metrics of one DPO step, before clipping.
#[derive(Debug, Clone)]
pub struct DpoGradients {
    /// Mean loss of the pairs, with the weighted SFT loss.
    pub loss: f64,
    /// Means over the pairs under TRL's names.
    pub metrics: Vec<(&'static str, f64)>,
    /// Tokens without padding; a prompt counts once.
    pub num_tokens: usize,
    /// Gradient of `loss`. Incomplete if `loss` is not finite.
    pub gradients: Gradients,
    /// Pairs of the first micro-batch whose loss is not finite.
    pub bad_rows: Vec<String>,
}

/// What the loss of a step is divided by: the same for each of its micro-batches, so that any split gives the same step.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    /// Pairs.
    pub pairs: usize,
    /// Tokens of their chosen answers.
    pub chosen_tokens: usize,
}

impl Totals {
    fn of(batches: &[PairBatch]) -> Self {
        Self {
            pairs: batches.iter().map(PairBatch::len).sum(),
            chosen_tokens: batches.iter().map(PairBatch::chosen_tokens).sum(),
        }
    }
}

/// What a micro-batch adds to the logs of its step.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    pairs: PairSums,
    /// `-log p` summed over the tokens of the chosen answers.
    chosen_nll: f64,
}

/// The part of the loss that a micro-batch adds, and what is logged of it.
///
/// As in TRL the loss is the mean over the pairs, and the SFT loss the mean over all tokens of the chosen answers.
fn share_of_loss(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    batch: &PairBatch,
    config: &DpoConfig,
    totals: Totals,
) -> Result<(Tensor<1>, Measured), TrainError> {
    let nll = pair_nll(lalm, context, batch)?;
    let policy = answer_log_probs(&nll, batch, per_token(config.loss));
    let reference = reference_of(batch, config);
    let losses = pair_losses(config, &policy, &to_tensors(lalm, &reference));
    let chosen_nll = nll.narrow(0, 0, batch.chosen_tokens()).sum();
    let mut loss = losses.sum().div_scalar(totals.pairs.max(1) as f64);
    let mut measured = Measured::default();
    if config.sft_weight > 0.0 {
        let sum: f32 =
            chosen_nll.clone().inner().try_into_scalar().map_err(TrainError::device("the SFT loss"))?;
        measured.chosen_nll = f64::from(sum);
        loss = loss + chosen_nll.mul_scalar(config.sft_weight / totals.chosen_tokens.max(1) as f64);
    }
    let read = |tensor: Tensor<1>| -> Result<Vec<f32>, TrainError> {
        tensor.inner().try_into_vec_as().map_err(TrainError::device("the log-probabilities"))
    };
    let (chosen, rejected) = (read(policy.chosen)?, read(policy.rejected)?);
    for ((&chosen, &rejected), &reference) in chosen.iter().zip(&rejected).zip(&reference) {
        measured.pairs.add(config.beta, [f64::from(chosen), f64::from(rejected)], reference);
    }
    Ok((loss, measured))
}

/// The reference's log-probabilities as the loss wants them: sums or means.
fn reference_of(batch: &PairBatch, config: &DpoConfig) -> Vec<[f64; 2]> {
    let divisor = |answer: &Vec<u32>| if per_token(config.loss) { answer.len().max(1) as f64 } else { 1.0 };
    let pairs = batch.reference.iter().zip(&batch.answers);
    pairs.map(|(sums, answers)| [0, 1].map(|side| sums[side] / divisor(&answers[side]))).collect()
}

fn to_tensors(lalm: &Lalm, pairs: &[[f64; 2]]) -> PairLogProbs {
    let side = |side: usize| {
        let values: Vec<f32> = pairs.iter().map(|pair| pair[side] as f32).collect();
        Tensor::from_data(TensorData::new(values, [pairs.len()]), &lalm.device)
    };
    PairLogProbs { chosen: side(0), rejected: side(1) }
}

fn metrics_of(config: &DpoConfig, parts: &[Measured], totals: Totals) -> Vec<(&'static str, f64)> {
    let mut pairs = PairSums::default();
    for part in parts {
        pairs.join(&part.pairs);
    }
    let mut metrics = pairs.metrics();
    if config.sft_weight > 0.0 {
        let nll: f64 = parts.iter().map(|part| part.chosen_nll).sum();
        metrics.push(("nll_loss", nll / totals.chosen_tokens.max(1) as f64));
    }
    metrics
}

/// Loss and gradients of the adapters over the micro-batches of one step; the base model is a constant.
///
/// `dropout_seeds` has one seed per micro-batch; without it LoRA dropout is off.
///
/// # Errors
/// Those of [`pair_nll`].
pub fn dpo_gradients(
    lalm: &Lalm,
    adapters: &Adapters,
    batches: &[PairBatch],
    dropout_seeds: &[u64],
    config: &DpoConfig,
) -> Result<DpoGradients, TrainError> {
    let totals = Totals::of(batches);
    let summed = sum_over_batches(adapters, batches, &lalm.device, &|leaves, index, batch| {
        let dropout_seed = dropout_seeds.get(index).copied();
        let context = ForwardContext { adapters: Some(leaves), dropout_seed };
        share_of_loss(lalm, &context, batch, config, totals)
    })?;
    Ok(DpoGradients {
        loss: summed.loss,
        metrics: metrics_of(config, &summed.measured, totals),
        num_tokens: batches.iter().map(PairBatch::num_tokens).sum(),
        gradients: summed.gradients,
        bad_rows: summed.bad.map_or_else(Vec::new, |index| batches[index].ids.clone()),
    })
}

/// The loss and TRL's metrics on held-out pairs; `totals` counts what all batches hold together.
///
/// # Errors
/// Those of [`pair_nll`].
pub fn evaluate_pairs(
    lalm: &Lalm,
    adapters: &Adapters,
    batches: impl Iterator<Item = Result<PairBatch, TrainError>>,
    totals: Totals,
    config: &DpoConfig,
) -> Result<Vec<(&'static str, f64)>, TrainError> {
    let context = ForwardContext { adapters: Some(adapters), dropout_seed: None };
    let (mut loss, mut parts) = (0.0, Vec::new());
    for batch in batches {
        let (share, measured) = share_of_loss(lalm, &context, &batch?, config, totals)?;
        let share: f32 = share.inner().try_into_scalar().map_err(TrainError::device("the loss"))?;
        loss += f64::from(share);
        parts.push(measured);
    }
    let mut metrics = vec![("loss", loss)];
    metrics.extend(metrics_of(config, &parts, totals));
    Ok(metrics)
}

/// One DPO step on the adapters: gradients over all micro-batches, clipping, AdamW.
///
/// # Errors
/// As [`sft_step`](crate::step::sft_step). A loss or gradient that is not finite is no error here: see
/// [`StepOutcome::not_finite`].
pub fn dpo_step(
    lalm: &Lalm,
    adapters: &mut Adapters,
    batches: &[PairBatch],
    dropout_seeds: &[u64],
    config: &DpoConfig,
    optimizer: &mut AdamW,
    size: StepSize,
) -> Result<StepOutcome, TrainError> {
    let step = dpo_gradients(lalm, adapters, batches, dropout_seeds, config)?;
    let outcome = StepOutcome {
        loss: step.loss,
        grad_norm: f64::NAN,
        num_tokens: step.num_tokens,
        metrics: step.metrics,
        not_finite: None,
    };
    let all_ids = || batches.iter().flat_map(|batch| batch.ids.clone()).collect();
    update(adapters, outcome, step.gradients, step.bad_rows, all_ids, optimizer, size)
}
