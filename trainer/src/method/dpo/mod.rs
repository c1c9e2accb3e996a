//! Direct preference optimisation (Rafailov et al. 2023, <https://arxiv.org/abs/2305.18290>): the chosen answer of a pair is
//! preferred to the rejected one.
//!
//! The reference is what the adapters start from: the base model, or the adapter in `dpo.init`. Its log-probabilities are
//! computed once, before the first step, and kept in `checkpoints/reference.json`.

pub(crate) mod config;
pub(crate) mod loss;
mod reference;

use burn::tensor::{Tensor, TensorData};
use idk_common::Identity;
use idk_model::{Adapters, Lalm};

use self::config::DpoConfig;
use self::loss::{PairLogProbs, pair_losses, pair_metrics, pair_sums, per_token};
use self::reference::{Reference, log_probs};
use crate::data::{Loader, RowTokens, Totals, TrainingBatch, TrainingRow, fingerprint};
use crate::error::TrainError;
use crate::method::TrainingMethod;
use crate::step::{AnswerNll, Metrics, Sums, add_sums};
use crate::train_run::TrainRun;

/// Direct preference optimisation.
pub(crate) struct Dpo<'a> {
    lalm: &'a Lalm,
    config: &'a DpoConfig,
    start: Adapters,
    /// Whether `start` changes the base model.
    is_reference: bool,
    /// Hash of the tensors of `start`; "base" if they change nothing.
    start_sha256: String,
    /// Log-probabilities of the `[chosen, rejected]` answers under the reference, of all rows of the run.
    reference: Vec<[f64; 2]>,
}

impl<'a> Dpo<'a> {
    pub(crate) fn new(
        lalm: &'a Lalm,
        config: &'a DpoConfig,
        start: Adapters,
        is_reference: bool,
    ) -> Result<Self, TrainError> {
        let start_sha256 = if is_reference { start.sha256()? } else { "base".to_owned() };
        Ok(Self { lalm, config, start, is_reference, start_sha256, reference: Vec::new() })
    }

    /// The reference depends on these and on the model, and on nothing else.
    fn made_from(&self, rows: &[TrainingRow], val: &[TrainingRow]) -> Identity {
        Identity::default()
            .with("dpo.init", self.start_sha256.clone())
            .with("pairs", fingerprint(rows))
            .with("val_pairs", fingerprint(val))
    }
}

impl TrainingMethod for Dpo<'_> {
    fn start(&self) -> &Adapters {
        &self.start
    }

    fn identity(&self, rows: &[TrainingRow], val: &[TrainingRow], _selects: bool) -> Identity {
        self.config.identity().as_texts().and(self.made_from(rows, val))
    }

    fn check(&self, row: &TrainingRow, tokens: &RowTokens) -> Result<(), TrainError> {
        match tokens.answers.as_slice() {
            [chosen, rejected] if chosen == rejected => Err(TrainError::SameAnswers { id: row.id.clone() }),
            [_, _] => Ok(()),
            answers => Err(TrainError::NotTwoAnswers { id: row.id.clone(), answers: answers.len() }),
        }
    }

    fn begin(&mut self, rows: [&Loader<'_>; 2], run: &TrainRun<'_>) -> Result<(), TrainError> {
        let inputs = self.made_from(rows[0].rows, rows[1].rows).and(run.identity.clone());
        let adapters = self.is_reference.then_some(&self.start);
        let computed = Reference::load_or_compute(run, inputs, rows.map(|rows| rows.rows.len()), &|part| {
            log_probs(self.lalm, adapters, rows[part], run)
        })?;
        self.reference = computed.log_probs.concat();
        Ok(())
    }

    fn prepare(&self, batch: &mut TrainingBatch, _policy: &Adapters, _step: u64) -> Result<(), TrainError> {
        let of_row = |side: usize| {
            batch.rows.iter().map(move |&row| self.reference.get(row).map_or(f64::NAN, |pair| pair[side]))
        };
        batch.reference = of_row(0).chain(of_row(1)).collect();
        Ok(())
    }

    fn loss(
        &self,
        nll: &AnswerNll,
        batch: &TrainingBatch,
        totals: Totals,
    ) -> Result<(Tensor<1>, Sums), TrainError> {
        dpo_loss(self.config, nll, batch, totals)
    }

    fn metrics(&self, sums: &[f64], totals: Totals) -> Metrics {
        dpo_metrics(self.config, sums, totals)
    }
}

/// As in TRL the loss is the mean over the pairs, and the SFT loss the mean over all tokens of the chosen answers.
///
/// # Errors
/// [`TrainError::Device`] if the log-probabilities cannot be read back.
pub fn dpo_loss(
    config: &DpoConfig,
    nll: &AnswerNll,
    batch: &TrainingBatch,
    totals: Totals,
) -> Result<(Tensor<1>, Sums), TrainError> {
    let policy = answer_log_probs(&nll.tokens, batch, per_token(config.loss));
    let reference = reference_of(batch, config);
    let losses = pair_losses(config, &policy, &to_tensors(nll, &reference));
    let chosen_nll = nll.tokens.clone().narrow(0, 0, batch.first_answer_tokens()).sum();
    let mut loss = losses.sum().div_scalar(totals.rows.max(1) as f64);
    let mut chosen_sum = 0.0;
    if config.sft_weight > 0.0 {
        let sum: f32 =
            chosen_nll.clone().inner().try_into_scalar().map_err(TrainError::device("the SFT loss"))?;
        chosen_sum = f64::from(sum);
        loss = loss + chosen_nll.mul_scalar(config.sft_weight / totals.first_answer_tokens.max(1) as f64);
    }
    let read = |tensor: Tensor<1>| -> Result<Vec<f32>, TrainError> {
        tensor.inner().try_into_vec_as().map_err(TrainError::device("the log-probabilities"))
    };
    let (chosen, rejected) = (read(policy.chosen)?, read(policy.rejected)?);
    let mut sums = Sums::new();
    for ((&chosen, &rejected), &reference) in chosen.iter().zip(&rejected).zip(&reference) {
        let of_pair = pair_sums(config.beta, [f64::from(chosen), f64::from(rejected)], reference);
        add_sums(&mut sums, &of_pair);
    }
    sums.push(chosen_sum);
    Ok((loss, sums))
}

/// What TRL logs.
pub fn dpo_metrics(config: &DpoConfig, sums: &[f64], totals: Totals) -> Metrics {
    let mut metrics = pair_metrics(sums);
    if let (Some(chosen_nll), true) = (sums.last(), config.sft_weight > 0.0) {
        metrics.push(("nll_loss", chosen_nll / totals.first_answer_tokens.max(1) as f64));
    }
    metrics
}

/// The log-probabilities of whole answers from the `-log p` of their tokens: sums, or means with `per_token`.
pub fn answer_log_probs(nll: &Tensor<1>, batch: &TrainingBatch, per_token: bool) -> PairLogProbs {
    let (pairs, tokens) = (batch.len(), nll.dims()[0]);
    // One product with a constant matrix instead of a sum for each answer.
    let mut weights = vec![0.0_f32; 2 * pairs * tokens];
    let mut start = 0;
    for (row, answer) in batch.answers.iter().enumerate() {
        let weight = if per_token { -1.0 / answer.len() as f32 } else { -1.0 };
        weights[row * tokens + start..][..answer.len()].fill(weight);
        start += answer.len();
    }
    let weights = TensorData::new(weights, [2 * pairs, tokens]);
    let weights = Tensor::<2>::from_data(weights, &nll.device().inner());
    let log_probs = weights.matmul(nll.clone().reshape([tokens, 1])).reshape([2 * pairs]);
    PairLogProbs {
        chosen: log_probs.clone().narrow(0, 0, pairs),
        rejected: log_probs.narrow(0, pairs, pairs),
    }
}

/// The reference's log-probabilities of each pair as the loss wants them: sums or means.
fn reference_of(batch: &TrainingBatch, config: &DpoConfig) -> Vec<[f64; 2]> {
    let of_answer = |answer: usize| {
        let tokens = batch.answers[answer].len().max(1) as f64;
        batch.reference[answer] / if per_token(config.loss) { tokens } else { 1.0 }
    };
    (0..batch.len()).map(|pair| [of_answer(pair), of_answer(batch.len() + pair)]).collect()
}

fn to_tensors(nll: &AnswerNll, pairs: &[[f64; 2]]) -> PairLogProbs {
    let side = |side: usize| {
        let values: Vec<f32> = pairs.iter().map(|pair| pair[side] as f32).collect();
        Tensor::from_data(TensorData::new(values, [pairs.len()]), &nll.tokens.device().inner())
    };
    PairLogProbs { chosen: side(0), rejected: side(1) }
}
