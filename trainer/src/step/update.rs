//! The end of an optimiser step: clipping and update.

use crate::data::TrainingBatch;
use crate::error::TrainError;
use crate::step::accumulate::StepGradients;
use crate::step::optimizer::AdamW;
use crate::step::parameters::Parameters;

/// Metrics under TRL's names.
pub(crate) type Metrics = Vec<(&'static str, f64)>;

/// What one optimiser step did.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// Loss before the update: in SFT the mean `-log p` over the step's labels, in nats.
    pub loss: f64,
    /// L2 norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Tokens without padding.
    pub num_tokens: usize,
    /// What else was measured.
    pub metrics: Metrics,
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

/// Clips the gradients of a step over `batches` and updates the parameters, unless loss or gradient is not finite: that
/// is no error here, see [`StepOutcome::not_finite`].
///
/// # Errors
/// [`TrainError::Device`] if a gradient cannot be read back.
pub fn update(
    parameters: &mut impl Parameters,
    step: StepGradients,
    metrics: Metrics,
    batches: &[TrainingBatch],
    optimizer: &mut AdamW,
    size: StepSize,
) -> Result<StepOutcome, TrainError> {
    let StepGradients { loss, mut gradients, num_tokens, bad_rows, .. } = step;
    let mut outcome = StepOutcome { loss, grad_norm: f64::NAN, num_tokens, metrics, not_finite: None };
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
    gradients.clip(outcome.grad_norm, size.max_grad_norm);
    optimizer.step(parameters, gradients, size.learning_rate);
    Ok(outcome)
}
