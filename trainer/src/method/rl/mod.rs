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

use burn::tensor::Tensor;
use idk_common::{Identity, Problems};
use idk_model::{Adapters, Lalm, LoraConfig, ModelError};

use self::config::RlConfig;
use self::exact::{exact_loss, exact_metrics};
use self::loss::{rl_loss, rl_metrics};
use crate::data::{Loader, RowTokens, Totals, TrainingBatch, TrainingRow};
use crate::error::TrainError;
use crate::method::given::{Given, score_answers};
use crate::method::graded::{Graded, Grader};
use crate::method::{TrainingMethod, of_rows};
use crate::step::{AnswerNll, Metrics, Sums};
use crate::train_run::TrainRun;

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
    given: Given,
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
        Ok(Self { lalm, config, grader, start, reference, start_sha256, given: Given::default(), seed })
    }

    fn grade(&self, batch: &TrainingBatch, answer: usize, text: &str) -> Graded {
        self.grader.0(&batch.ids[batch.prompt_of[answer]], text)
    }
}

impl TrainingMethod for Rl<'_> {
    fn start(&self) -> &Adapters {
        &self.start
    }

    fn identity(&self, rows: &[TrainingRow], val: &[TrainingRow], selects: bool) -> Identity {
        let identity = self.config.identity().as_texts().with("rl.init", self.start_sha256.clone());
        identity.and(of_rows(rows, val, selects))
    }

    fn check(&self, row: &TrainingRow, tokens: &RowTokens) -> Result<(), TrainError> {
        let (tokens, limit) =
            (tokens.prompt.len() + self.config.max_new_tokens, self.lalm.config.text.max_position_embeddings);
        let fits = self.config.exact || tokens <= limit;
        if fits { Ok(()) } else { Err(TrainError::TooLong { id: row.id.clone(), tokens, limit }) }
    }

    fn begin(&mut self, rows: [&Loader<'_>; 2], _run: &TrainRun<'_>) -> Result<(), TrainError> {
        if self.config.exact {
            self.given = Given::of_rows(self.grader, rows);
        }
        Ok(())
    }

    fn prepare(&self, batch: &mut TrainingBatch, policy: &Adapters, step: u64) -> Result<(), TrainError> {
        if !self.config.exact {
            return self.sample(batch, policy, step);
        }
        if self.config.beta > 0.0 {
            batch.reference = score_answers(self.lalm, self.reference.as_ref(), batch)?;
        }
        Ok(())
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
            exact_loss(self.config, nll, batch, totals, &self.given.of_batch(batch))
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
