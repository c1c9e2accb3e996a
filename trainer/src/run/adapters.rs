//! The loop of a run that trains adapters, whatever it trains them on.

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::seed::derive_seed;
use idk_model::{Adapters, Lalm, LoraConfig};

use crate::checkpoint::{self, Checkpoint};
use crate::error::TrainError;
use crate::feed::Feed;
use crate::optimizer::AdamW;
use crate::order::StepOrder;
use crate::session::Session;
use crate::step::{StepOutcome, StepSize};
use crate::train_run::{TrainReport, TrainRun};
use crate::validation::Measure;

/// What tells one way of training adapters from another; `B` is a micro-batch of its rows.
pub(crate) trait AdapterTask<B> {
    /// The training rows.
    fn rows(&self) -> &Feed<'_, B>;

    /// One optimiser step.
    fn step(
        &self,
        adapters: &mut Adapters,
        optimizer: &mut AdamW,
        batches: &[B],
        plan: &StepPlan,
    ) -> Result<StepOutcome, TrainError>;

    /// Metrics on the validation rows; empty without any.
    fn validate(&self, adapters: &Adapters, run: &TrainRun<'_>) -> Result<BTreeMap<String, f64>, TrainError>;
}

/// How a step trains.
pub(crate) struct StepPlan {
    /// One seed a micro-batch; empty without dropout.
    pub(crate) dropout_seeds: Vec<u64>,
    pub(crate) size: StepSize,
}

/// Trains `adapters`, or those of the checkpoint that was found, to the end of the run, and writes `adapter/` when the
/// run is done: the best adapter if the configuration chooses by a metric, else the last one.
pub(crate) fn train_adapters<B: Send>(
    lalm: &Lalm,
    mut adapters: Adapters,
    mut session: Session<'_>,
    found: Option<Checkpoint>,
    task: &dyn AdapterTask<B>,
    mut measure: Option<&mut Measure<'_>>,
) -> Result<(Adapters, TrainReport), TrainError> {
    let lora = adapters.config.clone();
    if let Some(found) = found {
        adapters = load(&found.path, lalm, &lora)?;
        session.restore(&found, &mut adapters, &lalm.device)?;
    }
    let run = session.run;
    let rows = task.rows();
    let mut order = StepOrder::new(run.seed, session.config, &rows.lengths);
    let steps = (session.state.step..session.total_steps).map(|step| order.micro_batches(step));
    rows.stream(steps, &run, |batches| -> Result<(), TrainError> {
        let mut ended = session.is_done();
        while !ended {
            let step = session.state.step;
            let Some(batches) = batches.next() else { break };
            let (samples, batches) = batches?;
            let plan = plan(&session, &lora, batches.len());
            let outcome = task.step(&mut adapters, &mut session.optimizer, &batches, &plan)?;
            drop(batches);
            if let Some(bad) = outcome.not_finite {
                session.save_before_failure(&mut |dir| Ok(adapters.save(dir, run.base_name)?))?;
                return Err(TrainError::NonFinite { quantity: bad.quantity, step: step + 1, ids: bad.ids });
            }
            session.finish_step(&outcome, samples)?;
            if session.wants_eval() {
                let mut values = task.validate(&adapters, &run)?;
                if let Some(measure) = measure.as_deref_mut() {
                    let step = session.state.step;
                    let measured =
                        measure(step, &adapters).map_err(|source| TrainError::Measure { step, source })?;
                    values.extend(measured);
                }
                session.log_eval(&values)?;
            }
            ended = session.save_if_due(&mut |dir| Ok(adapters.save(dir, run.base_name)?))?;
        }
        Ok(())
    })?;
    let report = session.report();
    if !report.interrupted {
        if let Some(best) = report.best {
            adapters = load(&checkpoint::verified(run.dir, best.step)?, lalm, &lora)?;
        }
        adapters.save(&run.dir.adapter(), run.base_name)?;
    }
    Ok((adapters, report))
}

fn load(path: &Path, lalm: &Lalm, lora: &LoraConfig) -> Result<Adapters, TrainError> {
    let mut adapters = Adapters::load(path, lalm)?;
    // PEFT's files hold the pattern in a portable form; the next save must start from the same one.
    adapters.config = lora.clone();
    Ok(adapters)
}

fn plan(session: &Session<'_>, lora: &LoraConfig, micro_batches: usize) -> StepPlan {
    let (config, step) = (session.config, session.state.step);
    let size = StepSize { learning_rate: session.learning_rate(), max_grad_norm: config.max_grad_norm };
    StepPlan { dropout_seeds: dropout_seeds(session.run.seed, lora, step, micro_batches), size }
}

/// One seed a micro-batch, a pure function of run, step and micro-batch; none without dropout.
fn dropout_seeds(run_seed: u64, lora: &LoraConfig, step: u64, batches: usize) -> Vec<u64> {
    if lora.dropout <= 0.0 {
        return Vec::new();
    }
    let seed = |micro: usize| derive_seed(run_seed, "dropout", &[&step.to_string(), &micro.to_string()]);
    (0..batches).map(seed).collect()
}
