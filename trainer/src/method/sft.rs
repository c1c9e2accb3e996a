//! Supervised fine-tuning: the answer and its end token carry the loss.

use burn::tensor::Tensor;
use idk_common::Identity;
use idk_model::Adapters;

use crate::data::{Totals, TrainingBatch, TrainingRow};
use crate::error::TrainError;
use crate::method::{TrainingMethod, of_rows};
use crate::step::{AnswerNll, Metrics, Sums};

/// Supervised fine-tuning.
pub(crate) struct Sft {
    pub(crate) start: Adapters,
}

impl TrainingMethod for Sft {
    fn start(&self) -> &Adapters {
        &self.start
    }

    fn identity(&self, rows: &[TrainingRow], val: &[TrainingRow], selects: bool) -> Identity {
        of_rows(rows, val, selects)
    }

    fn loss(
        &self,
        nll: &AnswerNll,
        batch: &TrainingBatch,
        totals: Totals,
    ) -> Result<(Tensor<1>, Sums), TrainError> {
        sft_loss(nll, batch, totals)
    }

    fn metrics(&self, sums: &[f64], totals: Totals) -> Metrics {
        sft_metrics(sums, totals)
    }
}

/// The mean `-log p` over all tokens of the answers of a step.
///
/// # Errors
/// None; the type is that of every method's loss.
pub fn sft_loss(nll: &AnswerNll, _: &TrainingBatch, totals: Totals) -> Result<(Tensor<1>, Sums), TrainError> {
    let loss = nll.tokens.clone().sum().div_scalar(totals.answer_tokens.max(1) as f64);
    Ok((loss, vec![nll.correct as f64]))
}

/// The share of the answers' tokens that were the most probable token.
pub fn sft_metrics(sums: &[f64], totals: Totals) -> Metrics {
    let correct = sums.first().copied().unwrap_or(0.0);
    vec![("mean_token_accuracy", correct / totals.answer_tokens.max(1) as f64)]
}
