//! One optimiser step: gradients over its micro-batches, clipping, update.

use burn::tensor::{Device, Tensor};
use idk_model::{Adapters, ForwardContext, Lalm};

use crate::error::TrainError;
use crate::optimizer::AdamW;
use crate::parameters::{Gradients, Parameters, make_trainable};

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
    /// Mean `-log p` over the step's labels before the update, in nats.
    pub loss: f64,
    /// L2 norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Number of labels.
    pub labels: usize,
    /// Labels that were the most probable token.
    pub correct: usize,
    /// Tokens without padding.
    pub num_tokens: usize,
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

impl StepOutcome {
    /// Share of labels that were the most probable token.
    pub fn mean_token_accuracy(&self) -> f64 {
        self.correct as f64 / self.labels.max(1) as f64
    }
}

/// Loss and gradients of the adapters over the micro-batches of one step; the base model is a constant.
///
/// `dropout_seeds` has one seed a micro-batch; without it LoRA dropout is off.
///
/// # Errors
/// Those of [`forward_nll`].
pub fn lora_gradients(
    lalm: &Lalm,
    adapters: &Adapters,
    batches: &[MicroBatch],
    dropout_seeds: &[u64],
) -> Result<StepGradients, TrainError> {
    sum_over_batches(adapters, batches, &lalm.device, &|leaves, index, batch| {
        let dropout_seed = dropout_seeds.get(index).copied();
        forward_nll(lalm, &ForwardContext { adapters: Some(leaves), dropout_seed }, batch)
    })
}

/// Loss and gradients of all trained tensors of the model over the micro-batches of one step.
///
/// # Errors
/// Those of [`forward_nll`].
pub fn full_gradients(lalm: &Lalm, batches: &[MicroBatch]) -> Result<StepGradients, TrainError> {
    sum_over_batches(lalm, batches, &lalm.device, &|leaves, _, batch| {
        forward_nll(leaves, &ForwardContext::default(), batch)
    })
}

/// `-log p` of the labels and the number of correct ones, from trainable parameters and the batch with its index.
type Forward<'a, P> = dyn Fn(&P, usize, &MicroBatch) -> Result<(Tensor<1>, usize), TrainError> + Sync + 'a;

/// What one micro-batch adds to the step.
struct Share {
    loss: f64,
    correct: usize,
    gradients: Gradients,
}

/// Runs the micro-batches, on the CPU several at once, and adds them up in their order: the sums do not depend on
/// the number of threads.
fn sum_over_batches<P: Parameters + Clone + Sync>(
    parameters: &P,
    batches: &[MicroBatch],
    device: &Device,
    forward: &Forward<'_, P>,
) -> Result<StepGradients, TrainError> {
    let labels: usize = batches.iter().map(|batch| batch.labels.len()).sum();
    let mut step = StepGradients {
        loss: 0.0,
        labels,
        correct: 0,
        num_tokens: batches.iter().map(MicroBatch::num_tokens).sum(),
        gradients: Gradients::default(),
        bad_rows: Vec::new(),
    };
    let workers = workers(device);
    for (wave, batches) in batches.chunks(workers).enumerate() {
        let shares = run_together(batches, |index, batch| {
            run_share(parameters, labels, |leaves| forward(leaves, wave * workers + index, batch))
        });
        for (share, batch) in shares.into_iter().zip(batches) {
            let share = share?;
            step.loss += share.loss;
            step.correct += share.correct;
            if !share.loss.is_finite() {
                step.bad_rows.clone_from(&batch.ids);
                return Ok(step);
            }
            step.gradients.add(share.gradients);
        }
    }
    Ok(step)
}

/// Forward and backward of one micro-batch, with leaves of its own: graphs that share a leaf would wait for each
/// other in the backward pass.
fn run_share<P: Parameters + Clone>(
    parameters: &P,
    labels: usize,
    forward: impl FnOnce(&P) -> Result<(Tensor<1>, usize), TrainError>,
) -> Result<Share, TrainError> {
    let mut leaves = parameters.clone();
    make_trainable(&mut leaves);
    let (nll, correct) = forward(&leaves)?;
    let mean = nll.sum().div_scalar(labels.max(1) as f64);
    let loss: f32 = mean.clone().inner().try_into_scalar().map_err(TrainError::device("the loss"))?;
    let gradients =
        if loss.is_finite() { Gradients::of(&mut leaves, mean.backward()) } else { Gradients::default() };
    Ok(Share { loss: f64::from(loss), correct, gradients })
}

/// Micro-batches to run at once: the CPU backend computes most element-wise work on the calling thread alone, so
/// threads of their own use the other cores; a GPU has one queue.
fn workers(device: &Device) -> usize {
    if device.clone().inner() == Device::flex() { rayon::current_num_threads().max(1) } else { 1 }
}

/// `f` of every item, each on a thread of its own, results in the order of the items.
///
/// Plain threads and not rayon tasks: a pool thread that waits inside a matrix product would take up the next item
/// and hold the memory of both.
fn run_together<T: Sync, R: Send>(items: &[T], f: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    if let [item] = items {
        return vec![f(0, item)];
    }
    std::thread::scope(|scope| {
        let f = &f;
        let threads: Vec<_> =
            items.iter().enumerate().map(|(index, item)| scope.spawn(move || f(index, item))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, R>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
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
    let StepGradients { loss, labels, correct, num_tokens, mut gradients, bad_rows } = step;
    let mut outcome =
        StepOutcome { loss, grad_norm: f64::NAN, labels, correct, num_tokens, not_finite: None };
    if !loss.is_finite() {
        outcome.not_finite = Some(NotFinite { quantity: "loss", ids: bad_rows });
        return Ok(outcome);
    }
    outcome.grad_norm = gradients.norm()?;
    if !outcome.grad_norm.is_finite() {
        let ids = batches.iter().flat_map(|batch| batch.ids.clone()).collect();
        outcome.not_finite = Some(NotFinite { quantity: "gradient", ids });
        return Ok(outcome);
    }
    gradients.clip(outcome.grad_norm, max_grad_norm);
    optimizer.step(parameters, gradients, learning_rate);
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
