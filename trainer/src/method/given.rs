//! Answers that are given with their question, all looked at together: the options and the refusals.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use idk_model::{Adapters, Lalm, Prompt, answer_log_probs};

use crate::data::{Loader, TrainingBatch, TrainingRow};
use crate::error::TrainError;
use crate::method::features::features;
use crate::method::graded::{Graded, Grader};

/// Below the logarithm of any probability that is not 0.
pub(crate) const ABSENT: f32 = -1e9;

/// The grades of the given answers of all rows of a run: those of training, then those of validation.
#[derive(Debug, Default)]
pub(crate) struct Given(Vec<Vec<Graded>>);

impl Given {
    /// Graded by their text: tokens may be decoded to another spelling of it.
    pub(crate) fn of_rows(grader: Grader<'_>, rows: [&Loader<'_>; 2]) -> Self {
        let grade = |row: &TrainingRow| row.answers.iter().map(|text| grader.0(&row.id, text)).collect();
        Self(rows.iter().flat_map(|loader| loader.rows).map(grade).collect())
    }

    /// The grades of the batch's answers, in their order.
    pub(crate) fn of_batch(&self, batch: &TrainingBatch) -> Vec<Graded> {
        let of_row = |&row: &usize| self.0.get(row).cloned().unwrap_or_default().into_iter();
        let mut rows: Vec<_> = batch.rows.iter().map(of_row).collect();
        batch.prompt_of.iter().filter_map(|&prompt| rows[prompt].next()).collect()
    }
}

/// Log-probability of each of the batch's answers under `adapters` (`None`: the base model), summed over its tokens.
///
/// # Errors
/// [`TrainError::Model`].
pub(crate) fn score_answers(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    batch: &TrainingBatch,
) -> Result<Vec<f64>, TrainError> {
    let mut tokens = token_log_probs(lalm, adapters, batch)?.into_iter();
    let sum = |answer: &Vec<u32>| tokens.by_ref().take(answer.len()).map(f64::from).sum();
    Ok(batch.answers.iter().map(sum).collect())
}

/// Log-probability of every token of the batch's answers under `adapters` (`None`: the base model), answer by answer.
///
/// # Errors
/// [`TrainError::Model`].
pub(crate) fn token_log_probs(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    batch: &TrainingBatch,
) -> Result<Vec<f32>, TrainError> {
    let prompts = prompts(lalm, adapters, batch)?;
    let mut of_prompts: Vec<Vec<Vec<u32>>> = vec![Vec::new(); batch.len()];
    for (answer, &prompt) in batch.answers.iter().zip(&batch.prompt_of) {
        of_prompts[prompt].push(answer.clone());
    }
    let scores = answer_log_probs(lalm, adapters, &prompts, &of_prompts)?;
    let mut scores: Vec<_> = scores.into_iter().map(Vec::into_iter).collect();
    Ok(batch.prompt_of.iter().flat_map(|&prompt| scores[prompt].next().unwrap_or_default()).collect())
}

/// The prompts of the batch with what `adapters` hear; features of a frozen audio path are there already.
///
/// # Errors
/// [`TrainError::Model`].
pub(crate) fn prompts(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    batch: &TrainingBatch,
) -> Result<Vec<Prompt>, TrainError> {
    let audio = features(lalm, adapters, batch.audio.clone())?;
    let prompt = |(row, audio)| Prompt { ids: batch.prompt(row), audio, guide: None };
    Ok(audio.into_iter().enumerate().map(prompt).collect())
}

/// Sums over the tokens of each answer of the batch.
///
/// # Shapes
/// - `tokens`: `[answer tokens]`
/// - output: `[answers]`
pub(crate) fn whole_answers(tokens: Tensor<1>, batch: &TrainingBatch, device: &Device) -> Tensor<1> {
    let (answers, count) = (batch.answers.len(), tokens.dims()[0]);
    // One product with a constant matrix instead of a sum for each answer.
    let mut belongs = vec![0.0_f32; answers * count];
    let mut start = 0;
    for (row, answer) in batch.answers.iter().enumerate() {
        belongs[row * count + start..][..answer.len()].fill(1.0);
        start += answer.len();
    }
    let belongs = Tensor::<2>::from_data(TensorData::new(belongs, [answers, count]), device);
    belongs.matmul(tokens.reshape([count, 1])).reshape([answers])
}

/// The answers of a batch as a table: a row per prompt, as wide as the most answers of one.
pub(crate) struct Candidates {
    pub(crate) rows: usize,
    pub(crate) most: usize,
    /// Index of the answer in each cell, if there is one.
    pub(crate) cells: Vec<Option<usize>>,
    device: Device,
}

impl Candidates {
    /// Of a batch; the table's tensors will be on `device`.
    pub(crate) fn of(batch: &TrainingBatch, device: Device) -> Self {
        let rows = batch.len();
        let mut of_row: Vec<Vec<usize>> = vec![Vec::new(); rows];
        for (answer, &row) in batch.prompt_of.iter().enumerate() {
            of_row[row].push(answer);
        }
        let most = of_row.iter().map(Vec::len).max().unwrap_or(0);
        let cells =
            of_row.iter().flat_map(|answers| (0..most).map(|place| answers.get(place).copied())).collect();
        Self { rows, most, cells, device }
    }

    /// Log-probabilities of a row's answers among each other, from the `-log p` of the tokens.
    ///
    /// # Shapes
    /// - `nll`: `[answer tokens]`
    /// - output: `[rows, most]`
    pub(crate) fn log_probs(&self, nll: &Tensor<1>, batch: &TrainingBatch) -> Tensor<2> {
        let sums = whole_answers(nll.clone().neg(), batch, &self.device); // [answers]
        // Absent answers read the first.
        let index: Vec<i32> = self.cells.iter().map(|cell| cell.unwrap_or(0) as i32).collect();
        let index = TensorData::new(index, [self.cells.len()]);
        let cells = sums.select(0, Tensor::<1, Int>::from_data(index, &self.device));
        log_softmax(cells.reshape([self.rows, self.most]) + self.mask(&|_| true), 1)
    }

    /// 0 for the answers that `holds` is true of, and for others what makes their probability 0.
    ///
    /// # Shapes
    /// - output: `[rows, most]`
    pub(crate) fn mask(&self, holds: &dyn Fn(usize) -> bool) -> Tensor<2> {
        self.constant(&|answer| if holds(answer) { 0.0 } else { ABSENT }, ABSENT)
    }

    /// A value of every answer, and `absent` where there is none.
    ///
    /// # Shapes
    /// - output: `[rows, most]`
    pub(crate) fn constant(&self, of_answer: &dyn Fn(usize) -> f32, absent: f32) -> Tensor<2> {
        let values: Vec<f32> = self.cells.iter().map(|cell| cell.map_or(absent, of_answer)).collect();
        Tensor::<2>::from_data(TensorData::new(values, [self.rows, self.most]), &self.device)
    }
}
