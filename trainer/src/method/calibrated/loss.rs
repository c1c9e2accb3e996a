//! The loss of calibrated refusal and what is logged of it.

use std::f64::consts::LN_2;
use std::ops::Range;

use burn::tensor::{Int, Tensor, TensorData};

use crate::data::{Totals, TrainingBatch};
use crate::error::TrainError;
use crate::method::calibrated::config::CalibratedConfig;
use crate::step::{AnswerNll, Metrics, Sums, add_sums};

/// The largest `log p` that `log(1 - p)` is taken of: beyond it float32 cannot tell `p` from 1. Without gradient there.
const LARGEST_LOG_P: f64 = -1e-6;

/// Stands for a first token that a row does not have.
const NO_TOKEN: f32 = -1e30;

/// The loss of a batch's rows, `[own, refusal]` answers first, then the first tokens of other refusals as answers of one
/// token. With the prompt `x`, the own answer `s`, the error rate `y`, the refusal's first token `I` and the tokens `f`
/// after it, `p` the sum of the probabilities of all refusals' first tokens:
///
/// ```text
/// - [ refusal_weight y log p + (1 - y) log(1 - p) ]     refuse or answer
/// - own_weight [ log P(s, end | x) - log(1 - p) ]       own answer, given that it is no refusal
/// - phrase_weight y log P(f, end | x, I)                rest of the refusal's text
/// ```
///
/// as a mean over rows, with sums over the tokens of a row. A row without an error rate has the second term alone. A row
/// whose own answer begins as a refusal does has no loss: `P(s) / (1 - p)` is no probability there.
///
/// # Errors
/// [`TrainError::Device`] if the log-probabilities cannot be read back.
pub fn calibrated_loss(
    config: &CalibratedConfig,
    nll: &AnswerNll,
    batch: &TrainingBatch,
    error_rates: &[Option<f64>],
    totals: Totals,
) -> Result<(Tensor<1>, Sums), TrainError> {
    let values: Vec<f32> =
        nll.tokens.clone().inner().try_into_vec_as().map_err(TrainError::device("the log-probabilities"))?;
    let rows = RowTerms::of_batch(config, batch, error_rates);
    let mut sums = Sums::new();
    for row in &rows {
        add_sums(&mut sums, &row.sums(&values));
    }

    // What is linear in the tokens' log-probabilities is one product; only `log p` and `log(1 - p)` of each row are not.
    let mut weights = vec![0.0_f32; values.len()];
    for row in &rows {
        weights[row.own.clone()].fill(row.own_weight as f32);
        weights[row.phrase.clone()].fill(row.phrase_weight as f32);
    }
    let constant = |values: Vec<f32>| {
        let length = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [length]), &nll.tokens.device().inner())
    };
    let linear = (nll.tokens.clone() * constant(weights)).sum();
    let log_p = refusal_log_probs(&nll.tokens, &rows);
    let of_rows =
        |weight: &dyn Fn(&RowTerms) -> f64| constant(rows.iter().map(|row| weight(row) as f32).collect());
    let refuses = (log_p.clone() * of_rows(&|row| row.refusal_weight)).sum();
    let answers = (log1mexp(log_p) * of_rows(&|row| row.answer_weight - row.own_weight)).sum();
    Ok(((linear - refuses - answers).div_scalar(totals.rows.max(1) as f64), sums))
}

/// The terms of a row: places of tokens among those of the batch, and their weights.
struct RowTerms {
    /// Of the own answer with its end.
    own: Range<usize>,
    /// Of the first token of each refusal.
    firsts: Vec<usize>,
    /// Of the refusal's tokens after the first.
    phrase: Range<usize>,
    /// Whether the row has a loss.
    usable: bool,
    error_rate: Option<f64>,
    /// Factors of `log p`, `log(1 - p)`, `log P(own)` and `log P(phrase)`.
    refusal_weight: f64,
    answer_weight: f64,
    own_weight: f64,
    phrase_weight: f64,
}

impl RowTerms {
    fn of_batch(config: &CalibratedConfig, batch: &TrainingBatch, error_rates: &[Option<f64>]) -> Vec<Self> {
        let count = batch.len();
        let mut starts = Vec::with_capacity(batch.answers.len());
        let mut next = 0;
        for answer in &batch.answers {
            starts.push(next);
            next += answer.len();
        }
        let end = |answer: usize| starts[answer] + batch.answers[answer].len();
        let row = |row: usize| {
            let others = (2 * count..batch.answers.len()).filter(|&answer| batch.prompt_of[answer] == row);
            let refusals: Vec<usize> = std::iter::once(count + row).chain(others).collect();
            let usable =
                refusals.iter().all(|&answer| batch.answers[answer].first() != batch.answers[row].first());
            let error_rate = error_rates.get(row).copied().flatten().filter(|_| usable);
            let with_rate = |weight: &dyn Fn(f64) -> f64| error_rate.map_or(0.0, weight);
            Self {
                own: starts[row]..end(row),
                firsts: refusals.iter().map(|&answer| starts[answer]).collect(),
                phrase: starts[count + row] + 1..end(count + row),
                usable,
                error_rate,
                refusal_weight: with_rate(&|rate| config.refusal_weight * rate),
                answer_weight: with_rate(&|rate| 1.0 - rate),
                own_weight: if usable { config.own_weight } else { 0.0 },
                phrase_weight: with_rate(&|rate| config.phrase_weight * rate),
            }
        };
        (0..count).map(row).collect()
    }

    /// What is logged of the row, from the `-log p` of all tokens: the three terms of its loss, then 1, `p` and the error
    /// rate if it has one, then 1 and `log P(own)` if it is used.
    fn sums(&self, nll: &[f32]) -> [f64; 8] {
        let log_prob = |range: Range<usize>| -nll[range].iter().map(|&value| f64::from(value)).sum::<f64>();
        let p: f64 = self.firsts.iter().map(|&place| (-f64::from(nll[place])).exp()).sum();
        let log_not_p = (-p.min(LARGEST_LOG_P.exp())).ln_1p();
        let own = log_prob(self.own.clone());
        let of_rate = |value: f64| if self.error_rate.is_some() { value } else { 0.0 };
        let of_usable = |value: f64| if self.usable { value } else { 0.0 };
        [
            of_rate(-self.refusal_weight * p.ln() - self.answer_weight * log_not_p),
            of_usable(-self.own_weight * (own - log_not_p)),
            of_rate(-self.phrase_weight * log_prob(self.phrase.clone())),
            of_rate(1.0),
            of_rate(p),
            self.error_rate.unwrap_or(0.0),
            of_usable(1.0),
            of_usable(own),
        ]
    }
}

/// The terms of the loss (they add up to it), the mean probability of refusing, the mean error rate that it should have
/// with a `refusal_weight` of 1, and the mean log-probability of the own answers.
pub fn calibrated_metrics(sums: &[f64], totals: Totals) -> Metrics {
    let sum = |index: usize| sums.get(index).copied().unwrap_or(0.0);
    let rows = totals.rows.max(1) as f64;
    let mean = |value: usize, count: usize| sum(value) / sum(count).max(1.0);
    vec![
        ("loss/refusal", sum(0) / rows),
        ("loss/own", sum(1) / rows),
        ("loss/phrase", sum(2) / rows),
        ("probs/refusal", mean(4, 3)),
        ("error_rate", mean(5, 3)),
        ("logps/own", mean(7, 6)),
    ]
}

/// `log p` of each row: the sum over its refusals' first tokens.
///
/// # Shapes
/// - `nll`: `[answer tokens]`
/// - output: `[rows]`
fn refusal_log_probs(nll: &Tensor<1>, rows: &[RowTerms]) -> Tensor<1> {
    let device = nll.device().inner();
    let most = rows.iter().map(|row| row.firsts.len()).max().unwrap_or(0);
    let (mut places, mut bias) = (Vec::new(), Vec::new());
    for row in rows {
        for place in 0..most {
            // A place that is not used only has to exist.
            places.push(row.firsts.get(place).copied().unwrap_or(0) as i32);
            bias.push(if place < row.firsts.len() { 0.0 } else { NO_TOKEN });
        }
    }
    let shape = [rows.len(), most];
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [rows.len() * most]), &device);
    let bias = Tensor::<2>::from_data(TensorData::new(bias, shape), &device);
    let log_probs = nll.clone().select(0, places).neg().reshape(shape) + bias; // [rows, refusals]
    let largest = log_probs.clone().inner().max_dim(1); // [rows, 1]
    let sum = (log_probs - largest.clone()).exp().sum_dim(1).log(); // [rows, 1]
    (sum + largest).reshape([rows.len()])
}

/// `log(1 - exp(x))` for `x < 0`, accurate near 0 and far from it (Mächler 2012,
/// <https://cran.r-project.org/web/packages/Rmpfr/vignettes/log1mexp-note.pdf>).
///
/// Each of the two forms is clamped to its side of `-ln 2`, where both are `-ln 2`: their sum needs no choice, and no
/// gradient is infinite.
fn log1mexp(x: Tensor<1>) -> Tensor<1> {
    let far = x.clone().clamp_max(-LN_2).exp().neg().log1p();
    // 1 - exp(x) = 2 t / (1 + t) with t = tanh(-x / 2), without cancellation.
    let t = x.clamp(-LN_2, LARGEST_LOG_P).mul_scalar(-0.5).tanh();
    let near = (t.clone().mul_scalar(2.0) / t.add_scalar(1.0)).log();
    far + near.add_scalar(LN_2)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn log_one_minus_p_is_accurate_and_its_gradient_finite_for_every_p() {
        let xs = [-80.0_f64, -20.0, -5.0, -0.7, -0.69, -0.1, -1e-3, -1e-5, -1e-7, 0.0];
        let leaf = Tensor::<1>::from_floats(xs.map(|x| x as f32), &Device::flex()).autodiff().require_grad();
        let found = log1mexp(leaf.clone());
        let values: Vec<f32> = found.clone().inner().try_into_vec_as().unwrap();
        let mut gradients = found.sum().backward();
        let slopes: Vec<f32> = leaf.grad_remove(&mut gradients).unwrap().try_into_vec_as().unwrap();
        for ((x, value), slope) in xs.into_iter().zip(values).zip(slopes) {
            let clamped = x.min(LARGEST_LOG_P);
            let expected = (-clamped.exp_m1()).ln();
            assert!(
                (f64::from(value) - expected).abs() < 2e-6 * expected.abs().max(0.1),
                "{x}: {value} {expected}"
            );
            let expected = if x > LARGEST_LOG_P { 0.0 } else { x.exp() / x.exp_m1() };
            assert!(
                (f64::from(slope) - expected).abs() < 1e-5 * expected.abs().max(0.1),
                "{x}: {slope} {expected}"
            );
        }
    }
}
