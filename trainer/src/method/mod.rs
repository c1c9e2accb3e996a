//! The ways to train adapters. Each says what a batch needs besides its rows, and how log-probabilities become a loss.

pub(crate) mod calibrated;
pub(crate) mod config;
pub(crate) mod dpo;
mod features;
mod given;
pub(crate) mod graded;
pub(crate) mod rl;
pub(crate) mod sft;
pub(crate) mod start_adapter;

use burn::tensor::Tensor;
use idk_common::Identity;
use idk_common::seed::derive_seed;
use idk_model::{Adapters, Lalm, LoraConfig};

use crate::data::{Loader, RowTokens, Totals, TrainingBatch, TrainingRow, fingerprint};
use crate::error::TrainError;
use crate::step::{AnswerNll, Metrics, Sums};
use crate::train_run::TrainRun;

pub(crate) use self::config::MethodConfig;
use self::graded::Grader;
use self::start_adapter::start_adapter;

/// A way to train adapters.
pub(crate) trait TrainingMethod: Sync {
    /// What the adapters start from.
    fn start(&self) -> &Adapters;

    /// What a resumed run must agree on, apart from `[lora]` and `[train]`. `val` are the validation rows; with `selects`
    /// they decide which adapter is kept.
    fn identity(&self, rows: &[TrainingRow], val: &[TrainingRow], selects: bool) -> Identity;

    /// Rejects a row that cannot be learnt from.
    fn check(&self, _row: &TrainingRow, _tokens: &RowTokens) -> Result<(), TrainError> {
        Ok(())
    }

    /// Computes what is computed once per run, before the first step. `rows` are those of training and of validation.
    fn begin(&mut self, _rows: [&Loader<'_>; 2], _run: &TrainRun<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// Adds to a batch what the loss needs besides the rows. A method that learns from the policy's own answers draws them
    /// here, from `policy` and `step` alone: a resumed run must draw the same.
    fn prepare(&self, _batch: &mut TrainingBatch, _policy: &Adapters, _step: u64) -> Result<(), TrainError> {
        Ok(())
    }

    /// How many updates a prepared step makes.
    fn iterations(&self) -> usize {
        1
    }

    /// The part of the loss that a micro-batch adds, `[1]`, and what else is measured of it.
    fn loss(
        &self,
        nll: &AnswerNll,
        batch: &TrainingBatch,
        totals: Totals,
    ) -> Result<(Tensor<1>, Sums), TrainError>;

    /// What is logged besides the loss.
    fn metrics(&self, sums: &[f64], totals: Totals) -> Metrics;
}

/// The rows that a run is made from; those of validation only where they decide something.
fn of_rows(rows: &[TrainingRow], val: &[TrainingRow], selects: bool) -> Identity {
    let identity = Identity::default().with("rows", fingerprint(rows));
    if selects { identity.with("val_rows", fingerprint(val)) } else { identity }
}

/// The method of a configuration.
///
/// # Errors
/// Those of the configuration; [`TrainError::InitAdapter`] if the adapter to start from is not of the shape that `lora`
/// says.
pub(crate) fn open<'a>(
    config: MethodConfig<'a>,
    grader: Option<Grader<'a>>,
    lalm: &'a Lalm,
    lora: &LoraConfig,
    seed: u64,
) -> Result<Box<dyn TrainingMethod + 'a>, TrainError> {
    config.validate()?;
    let fresh = || Adapters::init(lalm, lora, derive_seed(seed, "lora", &[]));
    Ok(match config {
        MethodConfig::Sft => Box::new(sft::Sft { start: fresh()? }),
        MethodConfig::Dpo(config) => {
            let start = start_adapter(&config.init, lalm, lora)?;
            let is_reference = start.is_some();
            let start = start.map_or_else(fresh, Ok)?;
            Box::new(dpo::Dpo::new(lalm, config, start, is_reference)?)
        }
        MethodConfig::Calibrated(config) if config.listwise => {
            let grader = grader.ok_or(TrainError::NoGrader)?;
            Box::new(calibrated::listwise::Listwise::new(lalm, config, grader, fresh()?))
        }
        MethodConfig::Calibrated(config) => Box::new(calibrated::Calibrated::new(lalm, config, fresh()?)),
        MethodConfig::Rl(config) => {
            let start = start_adapter(&config.init, lalm, lora)?;
            let grader = grader.ok_or(TrainError::NoGrader)?;
            Box::new(rl::Rl::new(lalm, config, grader, lora, start, seed, fresh)?)
        }
    })
}
