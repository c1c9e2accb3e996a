//! Losses and gradients of micro-batches, several of them at once, added up.

use burn::tensor::{Device, Tensor};
use idk_model::workers;

use crate::error::TrainError;
use crate::parameters::{Gradients, Parameters, make_trainable};

/// Losses and whatever else is measured of a micro-batch, from trainable parameters, its index and the batch.
pub(crate) type Forward<'a, P, B, M> =
    dyn Fn(&P, usize, &B) -> Result<(Tensor<1>, M), TrainError> + Sync + 'a;

/// What the micro-batches of a step add up to.
pub(crate) struct Summed<M> {
    /// The sum of their losses.
    pub(crate) loss: f64,
    /// Its gradient; incomplete if `bad` is set.
    pub(crate) gradients: Gradients,
    /// What else was measured, in the order of the micro-batches; ends with the bad one.
    pub(crate) measured: Vec<M>,
    /// The first micro-batch whose loss is not finite.
    pub(crate) bad: Option<usize>,
}

/// Runs the micro-batches, on the CPU several at once, and adds up the `[1]` losses that `forward` gives and their
/// gradients, in order: the sums do not depend on the number of threads.
pub(crate) fn sum_over_batches<P: Parameters + Clone + Sync, B: Sync, M: Send>(
    parameters: &P,
    batches: &[B],
    device: &Device,
    forward: &Forward<'_, P, B, M>,
) -> Result<Summed<M>, TrainError> {
    let mut summed = Summed { loss: 0.0, gradients: Gradients::default(), measured: Vec::new(), bad: None };
    // Micro-batches at once.
    let workers = workers(device);
    for (wave, batches) in batches.chunks(workers).enumerate() {
        let shares = run_together(batches, |index, batch| {
            run_share(parameters, |leaves| forward(leaves, wave * workers + index, batch))
        });
        for (index, share) in shares.into_iter().enumerate() {
            let (loss, measured, gradients) = share?;
            summed.loss += loss;
            summed.measured.push(measured);
            if !loss.is_finite() {
                summed.bad = Some(wave * workers + index);
                return Ok(summed);
            }
            summed.gradients.add(gradients);
        }
    }
    Ok(summed)
}

/// Forward and backward of one micro-batch, with leaves of its own: graphs that share a leaf would wait for each
/// other in the backward pass.
fn run_share<P: Parameters + Clone, M>(
    parameters: &P,
    forward: impl FnOnce(&P) -> Result<(Tensor<1>, M), TrainError>,
) -> Result<(f64, M, Gradients), TrainError> {
    let mut leaves = parameters.clone();
    make_trainable(&mut leaves);
    let (share, measured) = forward(&leaves)?;
    let loss: f32 = share.clone().inner().try_into_scalar().map_err(TrainError::device("the loss"))?;
    let gradients =
        if loss.is_finite() { Gradients::of(&mut leaves, share.backward()) } else { Gradients::default() };
    Ok((f64::from(loss), measured, gradients))
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
