//! The loss on held-out rows.

use idk_model::{ForwardContext, Lalm, map_in_order};

use crate::data::{Totals, TrainingBatch};
use crate::error::TrainError;
use crate::step::accumulate::{Loss, Sums, add_sums};
use crate::step::answer_nll::answer_nll;

/// The loss over the batches, on the CPU several at once, and what else is measured. `totals` counts all held-out rows.
///
/// # Errors
/// Those of [`answer_nll`] and of the loss.
pub fn evaluate(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    batches: &[TrainingBatch],
    totals: Totals,
    loss: &Loss<'_>,
) -> Result<(f64, Sums), TrainError> {
    let share = |batch: &TrainingBatch| -> Result<(f64, Sums), TrainError> {
        let (share, measured) = loss(&answer_nll(lalm, context, batch)?, batch, totals)?;
        let share: f32 = share.inner().try_into_scalar().map_err(TrainError::device("the loss"))?;
        Ok((f64::from(share), measured))
    };
    let (mut sum, mut sums) = (0.0, Sums::new());
    for share in map_in_order(batches, &lalm.device, share) {
        let (share, measured) = share?;
        sum += share;
        add_sums(&mut sums, &measured);
    }
    Ok((sum, sums))
}
