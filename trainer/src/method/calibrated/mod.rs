//! Calibrated refusal: the probability of the refusal's first token is trained towards the share of the model's own
//! samples that are not right, and its own answer is kept where it does not refuse.
//!
//! A row is a question with the model's own answer, the refusal and the error rate; a row without an error rate keeps the
//! own answer and teaches nothing about refusing. The base model is not needed as a reference: one sample stands for the
//! divergence from it.

pub(crate) mod config;
pub(crate) mod listwise;
pub(crate) mod loss;

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use idk_common::Identity;
use idk_model::{Adapters, Lalm};

use self::config::CalibratedConfig;
use self::loss::{calibrated_loss, calibrated_metrics};
use crate::data::{Loader, RowTokens, Totals, TrainingBatch, TrainingRow};
use crate::error::TrainError;
use crate::method::{TrainingMethod, of_rows};
use crate::step::{AnswerNll, Metrics, Sums};
use crate::train_run::TrainRun;

/// Calibrated refusal.
pub(crate) struct Calibrated<'a> {
    lalm: &'a Lalm,
    config: &'a CalibratedConfig,
    start: Adapters,
    /// The distinct first tokens of the training rows' refusals.
    first_tokens: BTreeSet<u32>,
    /// Of all rows of the run.
    error_rates: Vec<Option<f64>>,
}

impl<'a> Calibrated<'a> {
    pub(crate) fn new(lalm: &'a Lalm, config: &'a CalibratedConfig, start: Adapters) -> Self {
        Self { lalm, config, start, first_tokens: BTreeSet::new(), error_rates: Vec::new() }
    }

    /// The first tokens of a row's own answer and of its refusal.
    fn beginnings(&self, row: &TrainingRow) -> Result<[Option<u32>; 2], TrainError> {
        let first = |answer: usize| -> Result<Option<u32>, TrainError> {
            let Some(text) = row.answers.get(answer) else { return Ok(None) };
            let failed = |source| TrainError::Row { id: row.id.clone(), source: Box::new(source) };
            let ids = self.lalm.tokenizer.answer_ids(&row.messages, text).map_err(failed)?;
            Ok(ids.first().copied())
        };
        Ok([first(0)?, first(1)?])
    }
}

impl TrainingMethod for Calibrated<'_> {
    fn start(&self) -> &Adapters {
        &self.start
    }

    fn identity(&self, rows: &[TrainingRow], val: &[TrainingRow], selects: bool) -> Identity {
        self.config.identity().as_texts().and(of_rows(rows, val, selects))
    }

    fn check(&self, row: &TrainingRow, tokens: &RowTokens) -> Result<(), TrainError> {
        if tokens.answers.len() != 2 {
            return Err(TrainError::NotTwoAnswers { id: row.id.clone(), answers: tokens.answers.len() });
        }
        match row.error_rate {
            Some(rate) if !(0.0..=1.0).contains(&rate) => {
                Err(TrainError::ErrorRate { id: row.id.clone(), error_rate: rate })
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, rows: [&Loader<'_>; 2], run: &TrainRun<'_>) -> Result<(), TrainError> {
        let all = rows.iter().flat_map(|loader| loader.rows);
        self.error_rates = all.map(|row| row.error_rate).collect();
        let training = rows[0].rows;
        let beginnings =
            training.iter().map(|row| self.beginnings(row)).collect::<Result<Vec<_>, TrainError>>()?;
        self.first_tokens = beginnings.iter().filter_map(|[_, refusal]| *refusal).collect();
        let unusable = beginnings
            .iter()
            .filter(|[own, _]| own.is_some_and(|own| self.first_tokens.contains(&own)))
            .count();
        if unusable == training.len() {
            return Err(TrainError::OwnBeginsAsRefusal { rows: unusable });
        }
        if unusable > 0 {
            (run.warn)(&format!(
                "{unusable} of {} rows are left out of the loss: their own answer begins with the same token as a refusal",
                training.len()
            ));
        }
        Ok(())
    }

    /// Adds the first tokens of the other refusals as answers of one token, to learn their probabilities.
    fn prepare(&self, batch: &mut TrainingBatch, _policy: &Adapters, _step: u64) -> Result<(), TrainError> {
        for row in 0..batch.len() {
            let of_row = batch.answers.get(batch.len() + row).and_then(|refusal| refusal.first()).copied();
            for &token in self.first_tokens.iter().filter(|token| Some(**token) != of_row) {
                batch.answers.push(vec![token]);
                batch.prompt_of.push(row);
            }
        }
        Ok(())
    }

    fn loss(
        &self,
        nll: &AnswerNll,
        batch: &TrainingBatch,
        totals: Totals,
    ) -> Result<(Tensor<1>, Sums), TrainError> {
        let error_rate = |&row: &usize| self.error_rates.get(row).copied().flatten();
        let error_rates: Vec<Option<f64>> = batch.rows.iter().map(error_rate).collect();
        calibrated_loss(self.config, nll, batch, &error_rates, totals)
    }

    fn metrics(&self, sums: &[f64], totals: Totals) -> Metrics {
        calibrated_metrics(sums, totals)
    }
}
