//! The book-keeping of a run that every training mode shares: position, logs, checkpoints and progress.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use idk_common::Identity;
use idk_common::progress::Progress;

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::run::checkpoint::{self, Checkpoint};
use crate::run::logs::Logs;
use crate::run::on_resume::add_new_keys;
use crate::run::report::TrainReport;
use crate::run::schedule;
use crate::run::state::TrainState;
use crate::step::{AdamW, Parameters, StepOutcome};
use crate::train_run::TrainRun;

pub(crate) struct Session<'a> {
    pub(crate) config: &'a TrainConfig,
    pub(crate) run: TrainRun<'a>,
    pub(crate) state: TrainState,
    pub(crate) optimizer: AdamW,
    pub(crate) total_steps: u64,
    /// Rows of the dataset; `None` if rows are made without end.
    rows: Option<usize>,
    logs: Logs,
    progress: Progress,
    resumed_from: Option<u64>,
    /// The evaluation after the current step was the best so far.
    improved: bool,
    started: Instant,
    pace: Pace,
}

/// How many tokens a second the steps of this start train on; evaluations and checkpoints do not count.
struct Pace {
    tokens: u64,
    in_steps: Duration,
    step_began: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { tokens: 0, in_steps: Duration::ZERO, step_began: Instant::now() }
    }

    fn step(&mut self, tokens: usize) {
        self.tokens += tokens as u64;
        self.in_steps += self.step_began.elapsed();
        self.next_step();
    }

    fn next_step(&mut self) {
        self.step_began = Instant::now();
    }

    fn tokens_per_s(&self) -> f64 {
        self.tokens as f64 / self.in_steps.as_secs_f64().max(1e-9)
    }
}

impl<'a> Session<'a> {
    /// Starts or resumes the run. The caller then loads its tensors from the checkpoint, if there is one, and calls
    /// [`Session::restore`].
    pub(crate) fn open(
        config: &'a TrainConfig,
        run: TrainRun<'a>,
        rows: Option<usize>,
        total_steps: u64,
        decay_vectors: bool,
        inputs: Identity,
    ) -> Result<(Self, Option<Checkpoint>), TrainError> {
        let identity = inputs
            .and(run.identity.clone())
            .and(config.identity().as_texts())
            .with("seed", run.seed.to_string());
        if !run.resume && checkpoint::any(run.dir)? {
            return Err(TrainError::RunNotEmpty { path: run.dir.checkpoints() });
        }
        let found = if run.resume { checkpoint::load_newest(run.dir)? } else { None };
        let state = match &found {
            Some(found) => {
                for warning in &found.warnings {
                    (run.warn)(warning);
                }
                let mut state = found.state.clone();
                add_new_keys(&mut state.identity, &identity);
                let changes = state.resume_with(&identity, run.allow_changes, &found.path)?;
                if !changes.is_empty() {
                    let shown = changes.iter().map(|it| format!("{} = {}, not {}", it.key, it.now, it.then));
                    let shown: Vec<String> = shown.collect();
                    (run.warn)(&format!("after step {} the run has {}", state.step, shown.join("; ")));
                }
                checkpoint::settle(run.dir, &state, config.save_total_limit)?;
                state
            }
            None => TrainState::new(identity),
        };
        let logs = Logs::open(run.dir, state.step)?;
        let progress = run.progress("train", total_steps);
        if found.is_some() {
            progress.resume_at(state.step);
        }
        let session = Self {
            config,
            run,
            optimizer: AdamW::new(config, decay_vectors),
            total_steps,
            rows,
            logs,
            progress,
            resumed_from: found.as_ref().map(|found| found.state.step),
            improved: false,
            started: Instant::now(),
            pace: Pace::new(),
            state,
        };
        Ok((session, found))
    }

    /// Loads the optimiser state that belongs to `parameters`, which were loaded from the same checkpoint.
    pub(crate) fn restore(
        &mut self,
        found: &Checkpoint,
        parameters: &mut impl Parameters,
        device: &Device,
    ) -> Result<(), TrainError> {
        let path = found.optimizer_path();
        self.optimizer.load(&path, device)?;
        self.optimizer.check_fits(parameters, &path)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.step >= self.total_steps || self.state.selection.ended.is_some()
    }

    pub(crate) fn learning_rate(&self) -> f64 {
        schedule::learning_rate(self.config, self.state.step, self.total_steps)
    }

    /// Counts and logs a finished step that saw `samples` rows.
    pub(crate) fn finish_step(&mut self, outcome: &StepOutcome, samples: usize) -> Result<(), TrainError> {
        let rate = self.learning_rate();
        let state = &mut self.state;
        state.step += 1;
        state.samples_seen += samples as u64;
        state.num_tokens += outcome.num_tokens as u64;
        if let Some(rows) = self.rows {
            state.position += samples as u64;
            if state.position >= rows as u64 {
                (state.epoch, state.position) = (state.epoch + 1, 0);
            }
        }
        if outcome.not_finite.is_some() {
            state.skipped_steps += 1;
        } else {
            state.first_loss = state.first_loss.or(Some(outcome.loss));
            state.last_loss = Some(outcome.loss);
        }
        let step = state.step;
        if step.is_multiple_of(self.config.log_every) || step == self.total_steps {
            let mut values =
                vec![("loss", outcome.loss), ("grad_norm", outcome.grad_norm), ("learning_rate", rate)];
            values.extend(&outcome.metrics);
            values.push(("num_tokens", self.state.num_tokens as f64));
            self.logs.train_row(step, self.epoch(), &values)?;
        }
        self.pace.step(outcome.num_tokens);
        let pace = self.pace.tokens_per_s();
        self.progress.set_message(format!("loss {:.4} lr {rate:.2e} {pace:.0} tokens/s", outcome.loss));
        self.progress.inc(1);
        Ok(())
    }

    /// Epochs done, with the part of the current one.
    fn epoch(&self) -> Option<f64> {
        let rows = self.rows? as f64;
        Some(self.state.epoch as f64 + self.state.position as f64 / rows.max(1.0))
    }

    pub(crate) fn wants_eval(&self) -> bool {
        let every = self.config.eval_every;
        self.is_done() || (every > 0 && self.state.step.is_multiple_of(every))
    }

    /// Logs an evaluation after the current step and decides whether it is the best one and whether the run ends here.
    pub(crate) fn log_eval(&mut self, values: &BTreeMap<String, f64>) -> Result<(), TrainError> {
        let step = self.state.step;
        if !values.is_empty() {
            let row: Vec<(&str, f64)> = values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            self.logs.eval_row(step, self.epoch(), &row)?;
            let shown: Vec<String> = row.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
            self.progress.line(&format!("step {step}: validation {}", shown.join(", ")));
            // JSON has no NaN.
            let defined = values.iter().filter(|(_, value)| value.is_finite());
            self.state.last_eval = defined.map(|(name, value)| (name.clone(), *value)).collect();
        }
        self.improved = self.state.selection.observe(self.config, step, values)?;
        Ok(())
    }

    /// Whether the run was told to stop.
    fn stopped(&self) -> bool {
        self.run.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Saves if the current step is one to save at, the best so far, the last one, or the run was told to stop; returns
    /// whether the run ends here.
    ///
    /// The signal's flag is read once: a signal that arrives after that is seen after the next step, which is saved.
    pub(crate) fn save_if_due(
        &mut self,
        write_model: &mut dyn FnMut(&Path) -> Result<(), TrainError>,
    ) -> Result<bool, TrainError> {
        let every = self.config.save_every;
        let improved = std::mem::take(&mut self.improved);
        let due = improved || (every > 0 && self.state.step.is_multiple_of(every));
        let ends = self.is_done() || self.stopped();
        if due || ends {
            self.logs.sync()?;
            checkpoint::save(
                self.run.dir,
                &self.state,
                &self.optimizer,
                self.config.save_total_limit,
                write_model,
            )?;
        }
        self.pace.next_step();
        Ok(ends)
    }

    /// Saves the weights that a step which is not finite left as they were, unless they are saved already; removes no
    /// other checkpoint, which may be from before the run went astray.
    pub(crate) fn save_before_failure(
        &self,
        write_model: &mut dyn FnMut(&Path) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        if self.state.step == 0 || self.run.dir.checkpoint(self.state.step).exists() {
            return Ok(());
        }
        self.logs.sync()?;
        checkpoint::save(self.run.dir, &self.state, &self.optimizer, 0, write_model)?;
        Ok(())
    }

    pub(crate) fn warn(&self, text: &str) {
        (self.run.warn)(text);
    }

    pub(crate) fn report(self) -> TrainReport {
        let interrupted = !self.is_done();
        self.progress.finish();
        let state = self.state;
        TrainReport {
            steps: state.step,
            total_steps: self.total_steps,
            resumed_from: self.resumed_from,
            skipped_steps: state.skipped_steps,
            samples_seen: state.samples_seen,
            num_tokens: state.num_tokens,
            first_loss: state.first_loss,
            last_loss: state.last_loss,
            last_eval: state.last_eval,
            best: state.selection.best,
            ended_early: state.selection.ended,
            interrupted,
            wall_s: self.started.elapsed().as_secs_f64(),
        }
    }
}
