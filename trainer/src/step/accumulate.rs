//! Losses and gradients of micro-batches, several of them at once, added up.

use burn::tensor::{Device, Tensor};
use idk_model::{Adapters, ForwardContext, Lalm, workers};

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
    // Micro-batches at once.
    let workers = workers(device);
    for (wave, batches) in batches.chunks(workers).enumerate() {
        let shares = run_together(batches, |index, batch| {
            run_share(parameters, |leaves| {
                loss(&forward(leaves, wave * workers + index, batch)?, batch, totals)
            })
        });
        for (batch, share) in batches.iter().zip(shares) {
            let (loss, sums, gradients) = share?;
            step.loss += loss;
            add_sums(&mut step.sums, &sums);
            if !loss.is_finite() {
                step.bad_rows.clone_from(&batch.ids);
                return Ok(step);
            }
            step.gradients.add(gradients);
        }
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
        let start = |(index, item)| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, move || f(index, item));
            // Where the system gives no more threads, this one does the work.
            thread.map_err(|_| f(index, item))
        };
        let results: Vec<_> = items.iter().enumerate().map(start).collect();
        let join = |result: Result<std::thread::ScopedJoinHandle<'_, R>, R>| match result {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(done) => done,
        };
        results.into_iter().map(join).collect()
    })
}
