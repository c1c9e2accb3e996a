//! The loss on held-out rows.

use idk_model::{ForwardContext, Lalm};

use crate::data::{Totals, TrainingBatch};
use crate::error::TrainError;
use crate::step::accumulate::{Loss, Sums, add_sums};
use crate::step::answer_nll::answer_nll;

/// The loss over all batches, and what else is measured. `totals` counts what they hold together.
///
/// # Errors
/// Those of the batches, of [`answer_nll`] and of the loss.
pub fn evaluate(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    batches: impl Iterator<Item = Result<TrainingBatch, TrainError>>,
    totals: Totals,
    loss: &Loss<'_>,
) -> Result<(f64, Sums), TrainError> {
    let (mut sum, mut sums) = (0.0, Sums::new());
    for batch in batches {
        let batch = batch?;
        let (share, measured) = loss(&answer_nll(lalm, context, &batch)?, &batch, totals)?;
        let share: f32 = share.inner().try_into_scalar().map_err(TrainError::device("the loss"))?;
        sum += f64::from(share);
        add_sums(&mut sums, &measured);
    }
    Ok((sum, sums))
}
