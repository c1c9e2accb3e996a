//! The expected reward over given answers, without sampling: the question's options and the refusals.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use crate::data::{Totals, TrainingBatch};
use crate::error::TrainError;
use crate::method::rl::Graded;
use crate::method::rl::config::RlConfig;
use crate::method::rl::loss::whole_answers;
use crate::step::{AnswerNll, Metrics, Sums};

/// Below the logarithm of any probability that is not 0.
const ABSENT: f32 = -1e9;

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
    let device = nll.tokens.device().inner();
    let table = Candidates::of(batch);
    let sums = whole_answers(nll.tokens.clone().neg(), batch, &device); // [answers]
    let index = TensorData::new(table.index(), [table.cells.len()]);
    let cells = sums.select(0, Tensor::<1, Int>::from_data(index, &device)).reshape([table.rows, table.most]);
    let constant = |of_answer: &dyn Fn(usize) -> f32, absent: f32| {
        let values: Vec<f32> = table.cells.iter().map(|cell| cell.map_or(absent, of_answer)).collect();
        Tensor::<2>::from_data(TensorData::new(values, [table.rows, table.most]), &device)
    };
    let log_p = log_softmax(cells + constant(&|_| 0.0, ABSENT), 1); // [rows, most]
    let p = log_p.clone().exp();
    let expected = (p.clone() * constant(&|answer| graded[answer].reward as f32, 0.0)).sum();
    let log_q = constant(&|answer| batch.reference.get(answer).map_or(0.0, |&value| value as f32), ABSENT);
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

/// The answers of a batch as a table: a row per prompt, as wide as the most answers of one.
struct Candidates {
    rows: usize,
    most: usize,
    /// Index of the answer in each cell, if there is one.
    cells: Vec<Option<usize>>,
}

impl Candidates {
    fn of(batch: &TrainingBatch) -> Self {
        let rows = batch.len();
        let mut of_row: Vec<Vec<usize>> = vec![Vec::new(); rows];
        for (answer, &row) in batch.prompt_of.iter().enumerate() {
            of_row[row].push(answer);
        }
        let most = of_row.iter().map(Vec::len).max().unwrap_or(0);
        let cells =
            of_row.iter().flat_map(|answers| (0..most).map(|place| answers.get(place).copied())).collect();
        Self { rows, most, cells }
    }

    /// The answer to read for each cell; absent ones read the first.
    fn index(&self) -> Vec<i32> {
        self.cells.iter().map(|cell| cell.unwrap_or(0) as i32).collect()
    }
}
