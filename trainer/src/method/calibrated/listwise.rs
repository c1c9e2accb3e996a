//! Calibrated refusal over a list: the question's options and the refusals, for guided answers.

use burn::tensor::{Tensor, TensorData};
use idk_common::Identity;
use idk_model::{Adapters, Lalm};

use crate::data::{Loader, Totals, TrainingBatch, TrainingRow};
use crate::error::TrainError;
use crate::method::calibrated::config::CalibratedConfig;
use crate::method::given::{Candidates, Given, score_answers};
use crate::method::graded::{Graded, Grader};
use crate::method::{TrainingMethod, of_rows};
use crate::step::{AnswerNll, Metrics, Sums, add_sums};
use crate::train_run::TrainRun;

/// Calibrated refusal over the options and the refusals.
pub(crate) struct Listwise<'a> {
    lalm: &'a Lalm,
    config: &'a CalibratedConfig,
    grader: Grader<'a>,
    start: Adapters,
    given: Given,
}

impl<'a> Listwise<'a> {
    pub(crate) fn new(
        lalm: &'a Lalm,
        config: &'a CalibratedConfig,
        grader: Grader<'a>,
        start: Adapters,
    ) -> Self {
        Self { lalm, config, grader, start, given: Given::default() }
    }
}

impl TrainingMethod for Listwise<'_> {
    fn start(&self) -> &Adapters {
        &self.start
    }

    fn identity(&self, rows: &[TrainingRow], val: &[TrainingRow], selects: bool) -> Identity {
        self.config.identity().as_texts().and(of_rows(rows, val, selects))
    }

    fn begin(&mut self, rows: [&Loader<'_>; 2], _run: &TrainRun<'_>) -> Result<(), TrainError> {
        self.given = Given::of_rows(self.grader, rows);
        Ok(())
    }

    fn prepare(&self, batch: &mut TrainingBatch, _policy: &Adapters, _step: u64) -> Result<(), TrainError> {
        batch.reference = score_answers(self.lalm, None, batch)?;
        Ok(())
    }

    fn loss(
        &self,
        nll: &AnswerNll,
        batch: &TrainingBatch,
        totals: Totals,
    ) -> Result<(Tensor<1>, Sums), TrainError> {
        listwise_loss(self.config, nll, batch, totals, &self.given.of_batch(batch))
    }

    fn metrics(&self, sums: &[f64], totals: Totals) -> Metrics {
        listwise_metrics(sums, totals)
    }
}

/// The loss of a batch's rows. `P` are the probabilities of a row's answers among each other, `p` that of all its
/// refusals together, `q` the base model's probabilities of the options among each other (`batch.reference`), and `y` is 1
/// where the likeliest of them is not right and 0 where it is:
///
/// ```text
/// - [ refusal_weight y log p + (1 - y) log(1 - p) ]     refuse or answer
/// + own_weight KL(q || P / (1 - p))                     the options as the base model ranks them
/// ```
///
/// as a mean over rows. A row that has no option, or no refusal, has no loss. `graded` is in the order of the batch's answers.
///
/// # Errors
/// [`TrainError::Device`] if the probabilities cannot be read back.
pub fn listwise_loss(
    config: &CalibratedConfig,
    nll: &AnswerNll,
    batch: &TrainingBatch,
    totals: Totals,
    graded: &[Graded],
) -> Result<(Tensor<1>, Sums), TrainError> {
    let device = nll.tokens.device().inner();
    let table = Candidates::of(batch, device.clone());
    let rows: Vec<BaseChoice> =
        (0..table.rows).map(|row| BaseChoice::of(&table, row, batch, graded)).collect();
    let log_p = table.log_probs(&nll.tokens, batch); // [rows, most]
    let refuses = log_sum_exp(log_p.clone() + table.mask(&|answer| graded[answer].is_refusal)); // [rows, 1]
    let answers = log_sum_exp(log_p.clone() + table.mask(&|answer| !graded[answer].is_refusal)); // [rows, 1]
    let of_rows = |weight: &dyn Fn(&BaseChoice) -> f64| {
        let values: Vec<f32> = rows.iter().map(|row| weight(row) as f32).collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows.len(), 1]), &device)
    };
    let q: Vec<f32> = rows.iter().flat_map(|row| row.q.iter().map(|&q| q as f32)).collect();
    let q = Tensor::<2>::from_data(TensorData::new(q, [table.rows, table.most]), &device);
    // KL(q || P / (1 - p)) = sum q log q - sum q log P + log(1 - p); the first is a constant.
    let decides = (refuses * of_rows(&|row| config.refusal_weight * row.wrong())).sum()
        + (answers.clone() * of_rows(&|row| row.right())).sum();
    let keeps = (log_p.clone() * q).sum() - (answers * of_rows(&|row| row.usable())).sum();
    let negative_entropy: f64 = rows.iter().map(BaseChoice::negative_entropy).sum();
    let loss = (keeps.mul_scalar(-config.own_weight) - decides)
        .add_scalar(config.own_weight * negative_entropy)
        .div_scalar(totals.rows.max(1) as f64);
    let read: Vec<f32> = log_p.inner().try_into_vec_as().map_err(TrainError::device("the probabilities"))?;
    let mut sums = Sums::new();
    for (row, log_p) in rows.iter().zip(read.chunks(table.most.max(1))) {
        add_sums(&mut sums, &row.sums(config, log_p));
    }
    Ok((loss, sums))
}

/// What the base model would choose from the options of a row.
struct BaseChoice {
    /// Its probabilities of the options among each other, one for each cell of the row; 0 for refusals.
    q: Vec<f64>,
    /// Whether each cell is a refusal.
    is_refusal: Vec<bool>,
    /// Whether the likeliest (the first of equals) is not right; `None` for a row without a loss.
    is_wrong: Option<bool>,
}

impl BaseChoice {
    fn of(table: &Candidates, row: usize, batch: &TrainingBatch, graded: &[Graded]) -> Self {
        let cells = &table.cells[row * table.most..][..table.most];
        let is_refusal: Vec<bool> =
            cells.iter().map(|cell| cell.is_some_and(|answer| graded[answer].is_refusal)).collect();
        let score = |(cell, &refuses): (&Option<usize>, &bool)| {
            cell.filter(|_| !refuses).map(|answer| (answer, batch.reference[answer]))
        };
        let scores: Vec<Option<(usize, f64)>> = cells.iter().zip(&is_refusal).map(score).collect();
        let best = scores.iter().flatten().copied();
        let best = best.reduce(|best, next| if next.1.total_cmp(&best.1).is_gt() { next } else { best });
        let Some((chosen, largest)) = best.filter(|_| is_refusal.contains(&true)) else {
            return Self { q: vec![0.0; cells.len()], is_refusal, is_wrong: None };
        };
        let weights: Vec<f64> =
            scores.iter().map(|score| score.map_or(0.0, |(_, value)| (value - largest).exp())).collect();
        let total: f64 = weights.iter().sum();
        let q = weights.into_iter().map(|weight| weight / total).collect();
        Self { q, is_refusal, is_wrong: Some(!graded[chosen].is_right) }
    }

    fn usable(&self) -> f64 {
        f64::from(u8::from(self.is_wrong.is_some()))
    }

    fn wrong(&self) -> f64 {
        f64::from(u8::from(self.is_wrong == Some(true)))
    }

    fn right(&self) -> f64 {
        f64::from(u8::from(self.is_wrong == Some(false)))
    }

    fn negative_entropy(&self) -> f64 {
        self.q.iter().filter(|&&q| q > 0.0).map(|&q| q * q.ln()).sum()
    }

    /// What is logged of the row, from the log-probabilities of its cells: the two terms of its loss, 1 if it has one, `p`
    /// and `y`.
    fn sums(&self, config: &CalibratedConfig, log_p: &[f32]) -> [f64; 5] {
        if self.is_wrong.is_none() {
            return [0.0; 5];
        }
        let log_p: Vec<f64> = log_p.iter().map(|&value| f64::from(value)).collect();
        let total = |refuses: bool| -> f64 {
            let cells = log_p.iter().zip(&self.is_refusal).filter(|(_, is_refusal)| **is_refusal == refuses);
            cells.map(|(value, _)| value.exp()).sum()
        };
        let (p, answers) = (total(true), total(false));
        let kept: f64 =
            self.q.iter().zip(&log_p).filter(|(q, _)| **q > 0.0).map(|(q, log_p)| q * log_p).sum();
        // A probability that is 0 in float64 counts as the smallest one.
        let log = |probability: f64| probability.max(f64::MIN_POSITIVE).ln();
        let decides = config.refusal_weight * self.wrong() * log(p) + self.right() * log(answers);
        let divergence = self.negative_entropy() - kept + log(answers);
        [-decides, config.own_weight * divergence, 1.0, p, self.wrong()]
    }
}

/// The terms of the loss (they add up to it), the mean probability of refusing, and the share of rows whose likeliest
/// option is not right.
pub fn listwise_metrics(sums: &[f64], totals: Totals) -> Metrics {
    let sum = |index: usize| sums.get(index).copied().unwrap_or(0.0);
    let (rows, usable) = (totals.rows.max(1) as f64, sum(2).max(1.0));
    vec![
        ("loss/refusal", sum(0) / rows),
        ("loss/own", sum(1) / rows),
        ("probs/refusal", sum(3) / usable),
        ("error_rate", sum(4) / usable),
    ]
}

/// `log sum exp` of each row.
///
/// # Shapes
/// - `values`: `[rows, most]`
/// - output: `[rows, 1]`
fn log_sum_exp(values: Tensor<2>) -> Tensor<2> {
    let largest = values.clone().inner().max_dim(1);
    (values - largest.clone()).exp().sum_dim(1).log() + largest
}
