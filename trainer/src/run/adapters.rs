//! A run that trains adapters, by whatever method.

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::Identity;
use idk_common::seed::derive_seed;
use idk_model::{Adapters, ForwardContext, Lalm, LoraConfig, is_gpu, map_in_order, workers};

use crate::config::TrainConfig;
use crate::data::{Loader, RowAudio, StepOrder, Totals, TrainingBatch, TrainingRow};
use crate::error::TrainError;
use crate::method::graded::Grader;
use crate::method::{self, MethodConfig, TrainingMethod};
use crate::run::checkpoint::{self, Checkpoint};
use crate::run::estimate::rows_at_once;
use crate::run::report::TrainReport;
use crate::run::session::Session;
use crate::run::validation::{Measure, Validation};
use crate::step::{StepOutcome, StepSize, Sums, adapter_gradients, add_sums, evaluate, update};
use crate::train_run::TrainRun;

/// How adapters are trained.
#[derive(Debug, Clone, Copy)]
pub struct AdapterConfig<'a> {
    /// Their shape, and the layers that they are on.
    pub lora: &'a LoraConfig,
    /// Steps, learning rate, evaluations, checkpoints.
    pub train: &'a TrainConfig,
    /// The loss.
    pub method: MethodConfig<'a>,
    /// Grades answers, for a method that asks for it.
    pub grader: Option<Grader<'a>>,
}

/// Trains LoRA adapters on `rows`.
///
/// Leaves checkpoints, logs and, when the run is done, `adapter/` in the run folder: the best adapter if the
/// configuration chooses by a metric, else the last one. A run that is resumed at any checkpoint gives the same bytes as
/// one that was never stopped. Validation rows give `eval_loss` and the metrics of the method.
///
/// # Errors
/// Bad configuration or rows before anything is written; [`TrainError::NonFinite`] as soon as a loss or gradient is
/// not finite, with the last checkpoint as it was; [`TrainError::Changed`] if the run to resume had other inputs.
pub fn train_adapters(
    lalm: &Lalm,
    config: AdapterConfig<'_>,
    rows: &[TrainingRow],
    validation: Validation<'_>,
    run: TrainRun<'_>,
) -> Result<(Adapters, TrainReport), TrainError> {
    let AdapterConfig { lora, train, method, grader } = config;
    train.validate()?;
    method.validate()?;
    validation.check(train)?;
    if rows.is_empty() {
        return Err(TrainError::NoExamples);
    }
    let mut method = method::open(method, grader, lalm, lora, run.seed)?;
    let own;
    let store = match run.features {
        Some(store) => store,
        None => {
            own = train.feature_store(run.identity.text("model").unwrap_or_default());
            &own
        }
    };
    let audio = RowAudio::new(lalm, method.start(), store, run.warn);
    let loader =
        |rows, start| Loader::new(lalm, &audio, rows, start, &|row, tokens| method.check(row, tokens));
    let (training, held_out) = (loader(rows, 0)?, loader(validation.rows, rows.len())?);
    audio.keep(rows.iter().chain(validation.rows), |clips| run.progress("encode audio", clips))?;

    let lora_identity = Identity::default().with_section("lora", lora).as_texts();
    let inputs = lora_identity.and(method.identity(rows, validation.rows, train.selects()));
    let total_steps = train.total_steps(rows.len());
    let (session, found) = Session::open(train, run, Some(rows.len()), total_steps, true, inputs)?;
    method.begin([&training, &held_out], &run)?;
    let task = AdapterTraining { lalm, lora, method: &*method, training, held_out };
    task.train(session, found, validation.measure)
}

/// What every step of a run needs.
struct AdapterTraining<'a> {
    lalm: &'a Lalm,
    lora: &'a LoraConfig,
    method: &'a dyn TrainingMethod,
    training: Loader<'a>,
    held_out: Loader<'a>,
}

impl AdapterTraining<'_> {
    /// Trains the adapters that the method starts from, or those of the checkpoint that was found, to the end of the run.
    fn train(
        &self,
        mut session: Session<'_>,
        found: Option<Checkpoint>,
        mut measure: Option<&mut Measure<'_>>,
    ) -> Result<(Adapters, TrainReport), TrainError> {
        let mut adapters = self.method.start().clone();
        if let Some(found) = found {
            adapters = self.load(&found.path)?;
            session.restore(&found, &mut adapters, &self.lalm.device)?;
        }
        let run = session.run;
        let mut order =
            StepOrder::new(run.seed, session.config, &self.training.lengths, self.rows_at_once(&session));
        let steps = (session.state.step..session.total_steps).map(|step| order.micro_batches(step));
        self.training.stream(steps, |batches| -> Result<(), TrainError> {
            let mut ended = session.is_done();
            while !ended {
                let step = session.state.step;
                let Some(batches) = batches.next() else { break };
                let batches = batches?;
                let samples = batches.iter().map(TrainingBatch::len).sum();
                let outcome = self.step(&mut adapters, &mut session, &batches)?;
                if let Some(bad) = outcome.not_finite {
                    session.save_before_failure(&mut |dir| Ok(adapters.save(dir, run.base_name)?))?;
                    return Err(TrainError::NonFinite {
                        quantity: bad.quantity,
                        step: step + 1,
                        ids: bad.ids,
                    });
                }
                session.finish_step(&outcome, samples)?;
                if session.wants_eval() {
                    let values = self.measure(&adapters, &session, measure.as_deref_mut())?;
                    session.log_eval(&values)?;
                }
                ended = session.save_if_due(&mut |dir| Ok(adapters.save(dir, run.base_name)?))?;
            }
            Ok(())
        })?;
        let report = session.report();
        if !report.interrupted {
            if let Some(best) = report.best {
                adapters = self.load(&checkpoint::verified(run.dir, best.step)?)?;
            }
            adapters.save(&run.dir.adapter(), run.base_name)?;
        }
        Ok((adapters, report))
    }

    fn step(
        &self,
        adapters: &mut Adapters,
        session: &mut Session<'_>,
        batches: &[TrainingBatch],
    ) -> Result<StepOutcome, TrainError> {
        let step = session.state.step;
        let batches = self.prepared(batches, adapters, step)?;
        let seeds = dropout_seeds(session.run.seed, self.lora, step, batches.len());
        let size =
            StepSize { learning_rate: session.learning_rate(), max_grad_norm: session.config.max_grad_norm };
        let totals = Totals::of_batches(&batches);
        let mut update_once = || {
            let gradients =
                adapter_gradients(self.lalm, adapters, &batches, &seeds, &|nll, batch, totals| {
                    self.method.loss(nll, batch, totals)
                })?;
            let metrics = self.method.metrics(&gradients.sums, totals);
            update(adapters, gradients, metrics, &batches, &mut session.optimizer, size)
        };
        let mut outcome = update_once()?;
        for _ in 1..self.method.iterations() {
            if outcome.not_finite.is_some() {
                break;
            }
            outcome = update_once()?;
        }
        Ok(outcome)
    }

    /// The batches with what the method needs besides their rows.
    fn prepared(
        &self,
        batches: &[TrainingBatch],
        adapters: &Adapters,
        step: u64,
    ) -> Result<Vec<TrainingBatch>, TrainError> {
        let prepare = |batch: &TrainingBatch| {
            let mut batch = batch.clone();
            self.method.prepare(&mut batch, adapters, step)?;
            Ok(batch)
        };
        map_in_order(batches, &self.lalm.device, prepare).into_iter().collect()
    }

    fn rows_at_once(&self, session: &Session<'_>) -> usize {
        rows_at_once(session.config.batch_size, is_gpu(&self.lalm.device))
    }

    /// Metrics on the validation rows, and what the caller measures.
    fn measure(
        &self,
        adapters: &Adapters,
        session: &Session<'_>,
        measure: Option<&mut Measure<'_>>,
    ) -> Result<BTreeMap<String, f64>, TrainError> {
        let step = session.state.step;
        let mut values = self.validate(adapters, session)?;
        if let Some(measure) = measure {
            let measured = measure(step, adapters).map_err(|source| TrainError::Measure { step, source })?;
            values.extend(measured);
        }
        Ok(values)
    }

    fn validate(
        &self,
        adapters: &Adapters,
        session: &Session<'_>,
    ) -> Result<BTreeMap<String, f64>, TrainError> {
        if self.held_out.rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let context = ForwardContext { adapters: Some(adapters), dropout_seed: None };
        let (step, totals) = (session.state.step, self.held_out.totals);
        let at_once = workers(&self.lalm.device);
        let (mut loss, mut sums) = (0.0, Sums::new());
        self.held_out.in_order(self.rows_at_once(session), |batches| -> Result<(), TrainError> {
            loop {
                let wave = (&mut *batches).take(at_once).collect::<Result<Vec<_>, _>>()?;
                if wave.is_empty() {
                    return Ok(());
                }
                let wave = self.prepared(&wave, adapters, step)?;
                let (share, measured) =
                    evaluate(self.lalm, &context, &wave, totals, &|nll, batch, totals| {
                        self.method.loss(nll, batch, totals)
                    })?;
                loss += share;
                add_sums(&mut sums, &measured);
            }
        })?;
        let metrics = self.method.metrics(&sums, totals);
        let metrics = metrics.into_iter().map(|(name, value)| (name.to_owned(), value));
        Ok(metrics.chain([("loss".to_owned(), loss)]).collect())
    }

    fn load(&self, path: &Path) -> Result<Adapters, TrainError> {
        let mut adapters = Adapters::load(path, self.lalm)?;
        // PEFT's files hold the pattern in a portable form; the next save must start from the same one.
        adapters.config = self.lora.clone();
        Ok(adapters)
    }
}

/// One seed per micro-batch, a pure function of run, step and micro-batch; none without dropout.
fn dropout_seeds(run_seed: u64, lora: &LoraConfig, step: u64, batches: usize) -> Vec<u64> {
    if lora.dropout <= 0.0 {
        return Vec::new();
    }
    let seed = |micro: usize| derive_seed(run_seed, "dropout", &[&step.to_string(), &micro.to_string()]);
    (0..batches).map(seed).collect()
}
