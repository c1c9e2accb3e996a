//! Losses and gradients of micro-batches, several of them at once, added up.

use burn::tensor::{Device, Tensor};
use idk_model::{Adapters, ForwardContext, Lalm, each_in_order};

use crate::data::{Totals, TrainingBatch};
use crate::error::TrainError;
use crate::step::answer_nll::{AnswerNll, answer_nll};
use crate::step::parameters::{Gradients, Parameters, make_trainable};
use crate::step::trained_model::TrainedModel;

/// What is measured besides the loss; micro-batches are added up number by number.
pub type Sums = Vec<f64>;

/// Turns log-probabilities into the part of the loss that a micro-batch adds, `[1]`, and what else is measured of it.
/// The totals are those of the step.
pub type Loss<'a> =
    dyn Fn(&AnswerNll, &TrainingBatch, Totals) -> Result<(Tensor<1>, Sums), TrainError> + Sync + 'a;

/// Loss and gradients of one optimiser step, before clipping.
#[derive(Debug, Clone)]
pub struct StepGradients {
    /// The sum over the micro-batches.
    pub loss: f64,
    /// Gradient of `loss`. Incomplete if `loss` is not finite.
    pub gradients: Gradients,
    /// What else was measured.
    pub sums: Sums,
    /// Tokens without padding; a prompt counts once.
    pub num_tokens: usize,
    /// Rows of the first micro-batch whose loss is not finite.
    pub bad_rows: Vec<String>,
}

/// Loss and gradients of the adapters over the micro-batches of one step; the base model is a constant.
///
/// `dropout_seeds` has one seed per micro-batch; without it LoRA dropout is off.
///
/// # Errors
/// Those of [`answer_nll`] and of the loss.
pub fn adapter_gradients(
    lalm: &Lalm,
    adapters: &Adapters,
    batches: &[TrainingBatch],
    dropout_seeds: &[u64],
    loss: &Loss<'_>,
) -> Result<StepGradients, TrainError> {
    sum_over_batches(adapters, batches, &lalm.device, loss, &|leaves, index, batch| {
        let dropout_seed = dropout_seeds.get(index).copied();
        answer_nll(lalm, &ForwardContext { adapters: Some(leaves), dropout_seed }, batch)
    })
}

/// Loss and gradients of the trained parts of the model over the micro-batches of one step.
///
/// # Errors
/// Those of [`answer_nll`] and of the loss.
pub fn full_gradients(
    model: &TrainedModel,
    batches: &[TrainingBatch],
    loss: &Loss<'_>,
) -> Result<StepGradients, TrainError> {
    sum_over_batches(model, batches, &model.lalm.device, loss, &|leaves, _, batch| {
        answer_nll(&leaves.lalm, &ForwardContext::default(), batch)
    })
}

/// Log-probabilities of a micro-batch from trainable parameters, its index and the batch.
type Forward<'a, P> = dyn Fn(&P, usize, &TrainingBatch) -> Result<AnswerNll, TrainError> + Sync + 'a;

/// Runs the micro-batches, on the CPU several at once, and adds up losses and gradients in order: the sums do not depend
/// on the number of threads.
fn sum_over_batches<P: Parameters + Clone + Sync>(
    parameters: &P,
    batches: &[TrainingBatch],
    device: &Device,
    loss: &Loss<'_>,
    forward: &Forward<'_, P>,
) -> Result<StepGradients, TrainError> {
    let totals = Totals::of_batches(batches);
    let mut step = StepGradients {
        loss: 0.0,
        gradients: Gradients::default(),
        sums: Sums::new(),
        num_tokens: batches.iter().map(TrainingBatch::num_tokens).sum(),
        bad_rows: Vec::new(),
    };
    let share = |index: usize, batch: &TrainingBatch| {
        run_share(parameters, |leaves| loss(&forward(leaves, index, batch)?, batch, totals))
    };
    let mut failure = None;
    let mut places = batches.iter();
    each_in_order(batches, device, share, |share| {
        let Some(batch) = places.next().filter(|_| failure.is_none() && step.bad_rows.is_empty()) else {
            return;
        };
        match share {
            Ok((loss, sums, gradients)) => {
                step.loss += loss;
                add_sums(&mut step.sums, &sums);
                if loss.is_finite() {
                    step.gradients.add(gradients);
                } else {
                    step.bad_rows.clone_from(&batch.ids);
                }
            }
            Err(error) => failure = Some(error),
        }
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    Ok(step)
}

/// Adds `more` number by number.
pub(crate) fn add_sums(sums: &mut Sums, more: &[f64]) {
    sums.resize(sums.len().max(more.len()), 0.0);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

/// Forward and backward of one micro-batch, with leaves of its own: graphs that share a leaf would wait for each
/// other in the backward pass.
fn run_share<P: Parameters + Clone>(
    parameters: &P,
    loss: impl FnOnce(&P) -> Result<(Tensor<1>, Sums), TrainError>,
) -> Result<(f64, Sums, Gradients), TrainError> {
    let mut leaves = parameters.clone();
    make_trainable(&mut leaves);
    let (share, sums) = loss(&leaves)?;
    let loss: f32 = share.clone().inner().try_into_scalar().map_err(TrainError::device("the loss"))?;
    // Nothing is tracked where all that the loss depends on is frozen: an audio part alone, and no clip.
    let gradients = if loss.is_finite() && share.is_autodiff() {
        Gradients::of(&mut leaves, share.backward())
    } else {
        Gradients::default()
    };
    Ok((f64::from(loss), sums, gradients))
}
