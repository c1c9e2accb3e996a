//! The expected reward over given answers, without sampling: the question's options and the refusals.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;

use crate::data::{Totals, TrainingBatch};
use crate::error::TrainError;
use crate::method::given::{ABSENT, Candidates};
use crate::method::graded::Graded;
use crate::method::rl::config::RlConfig;
use crate::step::{AnswerNll, Metrics, Sums};

/// `-sum_i P_i r_i + beta KL(P || Q)`, the mean over the rows of the step. `P` are the probabilities of a row's answers
/// among each other, `Q` those of the reference, `r` the rewards in `graded`, which is in the order of the batch's answers.
///
/// # Errors
/// [`TrainError::Device`] if the probabilities cannot be read back.
pub fn exact_loss(
    config: &RlConfig,
    nll: &AnswerNll,
    batch: &TrainingBatch,
    totals: Totals,
    graded: &[Graded],
) -> Result<(Tensor<1>, Sums), TrainError> {
    let table = Candidates::of(batch, nll.tokens.device().inner());
    let log_p = table.log_probs(&nll.tokens, batch); // [rows, most]
    let p = log_p.clone().exp();
    let expected = (p.clone() * table.constant(&|answer| graded[answer].reward as f32, 0.0)).sum();
    let of_reference = |answer| batch.reference.get(answer).map_or(0.0, |&value| value as f32);
    let log_q = table.constant(&of_reference, ABSENT);
    // Absent answers are equal in both, and add nothing.
    let divergence = (p.clone() * (log_p - log_softmax(log_q, 1))).sum();
    let loss = (divergence.clone().mul_scalar(config.beta) - expected).div_scalar(totals.rows.max(1) as f64);
    let read = |tensor: Tensor<2>| -> Result<Vec<f32>, TrainError> {
        tensor.inner().try_into_vec_as().map_err(TrainError::device("the probabilities"))
    };
    let mut measured = vec![0.0; 4];
    for (p, cell) in read(p)?.iter().zip(&table.cells) {
        let Some(answer) = *cell else { continue };
        let (p, graded) = (f64::from(*p), graded[answer]);
        measured[0] += p * graded.reward;
        measured[1] += p * f64::from(u8::from(graded.is_right));
        measured[2] += p * f64::from(u8::from(graded.is_refusal));
    }
    let divergence: f32 =
        divergence.inner().try_into_scalar().map_err(TrainError::device("the divergence"))?;
    measured[3] = f64::from(divergence);
    Ok((loss, measured))
}

/// Expected reward, probabilities of the right answer and of refusing, and the divergence: means over the rows.
pub fn exact_metrics(config: &RlConfig, sums: &[f64], totals: Totals) -> Metrics {
    let mean = |place: usize| sums.get(place).copied().unwrap_or(0.0) / totals.rows.max(1) as f64;
    let mut metrics = vec![("reward", mean(0)), ("right_rate", mean(1)), ("refused_rate", mean(2))];
    if config.beta > 0.0 {
        metrics.push(("kl", mean(3)));
    }
    metrics
}
