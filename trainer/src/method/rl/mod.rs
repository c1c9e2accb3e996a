//! Reinforcement learning with a ternary reward, as TruthRL (Wei et al. 2025, <https://arxiv.org/abs/2509.25760>): a right
//! answer is worth more than a refusal, and a refusal more than a wrong answer.
//!
//! Each step samples a group of answers to each of its questions from the policy as it is, grades them and follows their
//! advantages; or, with `exact`, follows the expected reward over given answers. The samples are a function of the seed of
//! the run, the step, the row and the policy, so that a resumed run draws the same.

pub(crate) mod advantage;
pub(crate) mod config;
pub(crate) mod exact;
pub(crate) mod loss;
mod rollout;

use std::fmt;

use burn::tensor::Tensor;
use idk_common::{Identity, Problems};
use idk_model::{Adapters, Lalm, LoraConfig, ModelError};

use self::config::RlConfig;
use self::exact::{exact_loss, exact_metrics};
use self::loss::{rl_loss, rl_metrics};
use crate::data::{Loader, RowTokens, Totals, TrainingBatch, TrainingRow, fingerprint};
use crate::error::TrainError;
use crate::method::TrainingMethod;
use crate::step::{AnswerNll, Metrics, Sums};
use crate::train_run::TrainRun;

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Graded {
    /// The reward that is followed.
    pub reward: f64,
    /// Counts for the metric `right_rate`.
    pub is_right: bool,
    /// Counts for the metric `refused_rate`.
    pub is_refusal: bool,
}

/// Grades answers by the id of their row and their text. It must always give the same grade.
#[derive(Clone, Copy)]
pub struct Grader<'a>(pub &'a (dyn Fn(&str, &str) -> Graded + Sync));

impl fmt::Debug for Grader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grader")
    }
}

/// Reinforcement learning.
pub(crate) struct Rl<'a> {
    lalm: &'a Lalm,
    config: &'a RlConfig,
    grader: Grader<'a>,
    start: Adapters,
    /// What the policy is held to; `None` is the base model.
    reference: Option<Adapters>,
    /// Hash of the tensors of `start`; "base" if they change nothing.
    start_sha256: String,
    /// With `exact` the grade of every given answer, of all rows of the run.
    given: Vec<Vec<Graded>>,
    seed: u64,
}

impl<'a> Rl<'a> {
    /// `start` is the adapter of `rl.init`, if there is one.
    ///
    /// # Errors
    /// [`TrainError::Config`] for LoRA dropout: the samples are drawn without it, so the ratio to them would be off.
    pub(crate) fn new(
        lalm: &'a Lalm,
        config: &'a RlConfig,
        grader: Grader<'a>,
        lora: &LoraConfig,
        start: Option<Adapters>,
        seed: u64,
        fresh: impl FnOnce() -> Result<Adapters, ModelError>,
    ) -> Result<Self, TrainError> {
        if lora.dropout > 0.0 {
            let mut problems = Problems::of_section("lora");
            problems.add("dropout", "must be 0 with the method \"rl\", whose samples are drawn without it");
            return Err(TrainError::Config { problems: problems.into_vec() });
        }
        let start_sha256 = start.as_ref().map_or(Ok("base".to_owned()), Adapters::sha256)?;
        let reference = start.clone();
        let start = start.map_or_else(fresh, Ok)?;
        Ok(Self { lalm, config, grader, start, reference, start_sha256, given: Vec::new(), seed })
    }

    fn grade(&self, batch: &TrainingBatch, answer: usize, text: &str) -> Graded {
        self.grader.0(&batch.ids[batch.prompt_of[answer]], text)
    }

    /// The grades of the batch's given answers, in their order.
    fn grades(&self, batch: &TrainingBatch) -> Vec<Graded> {
        let of_row = |&row: &usize| self.given.get(row).cloned().unwrap_or_default().into_iter();
        let mut rows: Vec<_> = batch.rows.iter().map(of_row).collect();
        batch.prompt_of.iter().filter_map(|&prompt| rows[prompt].next()).collect()
    }
}

impl TrainingMethod for Rl<'_> {
    fn start(&self) -> &Adapters {
        &self.start
    }

    fn identity(&self, rows: &[TrainingRow], val: &[TrainingRow], selects: bool) -> Identity {
        let identity = self.config.identity().as_texts().with("rl.init", self.start_sha256.clone());
        let identity = identity.with("rows", fingerprint(rows));
        if selects { identity.with("val_rows", fingerprint(val)) } else { identity }
    }

    fn check(&self, row: &TrainingRow, tokens: &RowTokens) -> Result<(), TrainError> {
        let (tokens, limit) =
            (tokens.prompt.len() + self.config.max_new_tokens, self.lalm.config.text.max_position_embeddings);
        let fits = self.config.exact || tokens <= limit;
        if fits { Ok(()) } else { Err(TrainError::TooLong { id: row.id.clone(), tokens, limit }) }
    }

    /// Given answers are graded by their text: tokens may be decoded to another spelling of it.
    fn begin(&mut self, rows: [&Loader<'_>; 2], _run: &TrainRun<'_>) -> Result<(), TrainError> {
        if self.config.exact {
            let grade =
                |row: &TrainingRow| row.answers.iter().map(|text| self.grader.0(&row.id, text)).collect();
            self.given = rows.iter().flat_map(|loader| loader.rows).map(grade).collect();
        }
        Ok(())
    }

    fn prepare(&self, batch: &mut TrainingBatch, policy: &Adapters, step: u64) -> Result<(), TrainError> {
        if self.config.exact { self.score_given(batch) } else { self.sample(batch, policy, step) }
    }

    fn iterations(&self) -> usize {
        if self.config.exact { 1 } else { self.config.num_iterations }
    }

    fn loss(
        &self,
        nll: &AnswerNll,
        batch: &TrainingBatch,
        totals: Totals,
    ) -> Result<(Tensor<1>, Sums), TrainError> {
        if self.config.exact {
            exact_loss(self.config, nll, batch, totals, &self.grades(batch))
        } else {
            rl_loss(self.config, nll, batch, totals)
        }
    }

    fn metrics(&self, sums: &[f64], totals: Totals) -> Metrics {
        if self.config.exact {
            exact_metrics(self.config, sums, totals)
        } else {
            rl_metrics(self.config, sums)
        }
    }
}
