//! Runs sweeps: answers the same questions at every value of a parameter and compares with the base model.

use std::path::Path;

use idk_common::progress::NewProgress;
use idk_questions::metrics::compare;
use idk_questions::score::clusters;
use idk_questions::{Judgement, Question};

use crate::answer::judge::OpenJudge;
use crate::answer::prepare::Prepared;
use crate::answer::prompts::Prompts;
use crate::answer::record::Answer;
use crate::answer::subject::{Evaluation, NamedAdapter, Subject};
use crate::compare::measures::Measured;
use crate::compare::methods::{ALL, task_names};
use crate::compare::rules::Rule;
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::grid::cell::GridCell;
use crate::grid::file::{Grid, Picked};
use crate::grid::kind::{GridKind, GridSet};
use crate::method::Method;

/// Parts that the answers of val are cut into, by confidence, for the thresholds of a sweep.
const THRESHOLD_STEPS: usize = 50;

/// Who answers the points of sweeps, and how. Answers that are stored in `eval_dir` are used again.
#[derive(Clone, Copy)]
pub struct Sweeper<'a> {
    /// The base model; the adapters come with the steps.
    pub subject: &'a Subject<'a>,
    /// How questions are answered.
    pub config: &'a EvalConfig,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Folder of an evaluation; only its store of answers is used.
    pub eval_dir: &'a Path,
    /// Makes a progress bar.
    pub progress: NewProgress,
}

/// One value of the parameter and the adapter that answers there; without one the base model does.
#[derive(Clone, Debug)]
pub struct SweepStep {
    /// The value.
    pub value: f64,
    /// Who answers.
    pub adapter: Option<NamedAdapter>,
}

/// The steps of a sweep over the adapter's scale: the adapter with its scale times each of `factors`. At 0 it is left out, so that the
/// answers are the base model's own, bit for bit.
pub fn adapter_scale_steps(adapter: &NamedAdapter, factors: &[f64]) -> Vec<SweepStep> {
    let step = |&factor: &f64| {
        let adapters = adapter.adapters.scaled(factor as f32);
        let scaled = NamedAdapter { adapters, ..adapter.clone() };
        SweepStep { value: factor, adapter: (factor != 0.0).then_some(scaled) }
    };
    factors.iter().map(step).collect()
}

/// What a threshold sweep works with: thresholds from val, and the one that is fitted there.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Mean log-probabilities in nats, ascending; an answer below one is refused.
    log_probs: Vec<f64>,
    /// The fitted one, as a probability.
    picked: Option<Picked>,
}

impl Sweeper<'_> {
    /// Answers `prepared` with the base model and at every step.
    ///
    /// # Errors
    /// [`EvalError::Model`], [`EvalError::Common`], [`EvalError::Template`].
    pub fn adapters(
        &self,
        kind: GridKind,
        steps: &[SweepStep],
        set: GridSet,
        prepared: &Prepared,
    ) -> Result<Grid, EvalError> {
        let base = judgements(&self.base(prepared)?);
        let mut cells = Vec::new();
        for step in steps {
            let Some(adapter) = &step.adapter else {
                cells.push(self.cell(step.value, prepared, &base, &base)?);
                continue;
            };
            let label = format!("{} {}", kind.name(), step.value);
            let answers = self.answers(&label, Some(adapter), prepared)?;
            cells.push(self.cell(step.value, prepared, &base, &judgements(&answers))?);
        }
        self.grid(kind, set, prepared, &base, cells)
    }

    /// The thresholds of the base model's answers to val; `None` if it has no option probabilities there.
    ///
    /// # Errors
    /// As [`Self::adapters`].
    pub fn thresholds(&self, val: &Prepared) -> Result<Option<Thresholds>, EvalError> {
        let base = self.base(val)?;
        let mut confidence: Vec<f64> = base.iter().map(Answer::confidence).collect();
        if base.iter().all(|answer| answer.option_log_probs.is_empty()) {
            return Ok(None);
        }
        let (mut picked, mut log_probs) = (None, Vec::new());
        let measured = Measured::new(Method::Threshold, val, &base, None);
        if let Rule::Fitted { fit, probability, .. } =
            Rule::fitted(&measured, &base, self.config.threshold_by)?
        {
            log_probs.extend(fit.threshold);
            let why = format!(
                "fitted on val (`threshold_by` in [eval]): {} of {} refused there",
                fit.lost + fit.gained,
                fit.n
            );
            picked = probability.map(|value| Picked { value, why });
        }
        confidence.sort_by(f64::total_cmp);
        let cut = |step: usize| confidence[step * confidence.len() / THRESHOLD_STEPS];
        log_probs.extend((1..THRESHOLD_STEPS).map(cut));
        // Nothing is below the first, everything below the last.
        log_probs.extend([f64::NEG_INFINITY, 0.0]);
        log_probs.sort_by(f64::total_cmp);
        log_probs.dedup();
        Ok(Some(Thresholds { log_probs, picked }))
    }

    /// Refuses the base model's answers to `prepared` below each threshold.
    ///
    /// # Errors
    /// As [`Self::adapters`].
    pub fn below(
        &self,
        thresholds: &Thresholds,
        set: GridSet,
        prepared: &Prepared,
    ) -> Result<Grid, EvalError> {
        let answers = self.base(prepared)?;
        let base = judgements(&answers);
        let mut cells = Vec::new();
        for &least in &thresholds.log_probs {
            let refuse = |answer: &Answer| {
                if answer.confidence() < least { Judgement::REFUSED } else { answer.judgement }
            };
            let after: Vec<Judgement> = answers.iter().map(refuse).collect();
            cells.push(self.cell(least.exp(), prepared, &base, &after)?);
        }
        let grid = self.grid(GridKind::Threshold, set, prepared, &base, cells)?;
        Ok(Grid { picked: thresholds.picked.clone(), ..grid })
    }

    pub(super) fn base(&self, prepared: &Prepared) -> Result<Vec<Answer>, EvalError> {
        self.answers(Method::Base.name(), None, prepared)
    }

    /// Plain answers of the base model or of an adapter.
    pub(super) fn answers(
        &self,
        label: &str,
        adapter: Option<&NamedAdapter>,
        prepared: &Prepared,
    ) -> Result<Vec<Answer>, EvalError> {
        let judge = OpenJudge::open(&self.config.judge, self.eval_dir)?;
        let run = Evaluation {
            subject: self.subject,
            config: self.config,
            prompts: &Prompts::load(&self.config.prompts)?,
            judge: judge.as_ref(),
            eval_dir: self.eval_dir,
            progress: self.progress,
        };
        let method = if adapter.is_some() { Method::Adapter } else { Method::Base };
        // As an evaluation asks, so that each finds the answers that the other has stored.
        run.answers_of(label, method, adapter, prepared)
    }

    pub(super) fn cell(
        &self,
        value: f64,
        prepared: &Prepared,
        base: &[Judgement],
        after: &[Judgement],
    ) -> Result<GridCell, EvalError> {
        let questions: Vec<Question> =
            prepared.questions.iter().map(|question| question.original.clone()).collect();
        let mut rows = Vec::new();
        for task in task_names(questions.iter().map(|question| question.task.as_str())) {
            let of_task = |list: &[Judgement]| -> Vec<Judgement> {
                let with_tasks = questions.iter().zip(list);
                with_tasks.filter(|(question, _)| question.task == task).map(|(_, &it)| it).collect()
            };
            rows.push((task.clone(), compare(&of_task(base), &of_task(after), None, self.seed, 0)?));
        }
        let all = compare(base, after, Some(&clusters(&questions)), self.seed, self.config.bootstrap_draws)?;
        rows.push((ALL.to_owned(), all));
        Ok(GridCell::new(value.into(), None, rows.iter().map(|(task, row)| (task.as_str(), row))))
    }

    pub(super) fn grid(
        &self,
        kind: GridKind,
        set: GridSet,
        prepared: &Prepared,
        base: &[Judgement],
        cells: Vec<GridCell>,
    ) -> Result<Grid, EvalError> {
        let unchanged = self.cell(0.0, prepared, base, base)?;
        let base_acc = unchanged.tasks.into_iter().map(|(task, score)| (task, score.acc)).collect();
        Ok(Grid::new(kind, set, prepared.questions.len(), base_acc, cells))
    }
}

pub(super) fn judgements(answers: &[Answer]) -> Vec<Judgement> {
    answers.iter().map(|answer| answer.judgement).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use idk_common::progress::Progress;
    use idk_model::Answerer;

    use super::*;
    use crate::test_fixture::{config, features, lalm, named, prepared};

    pub(in crate::grid) fn with_sweeper<T>(
        check: impl FnOnce(&Sweeper<'_>, &NamedAdapter, &Prepared) -> T,
    ) -> T {
        let (lalm, features, dir) = (lalm(), features(), tempfile::tempdir().unwrap());
        let subject = Subject {
            backend: Answerer::base(&lalm, &features).into(),
            model_sha256: "m",
            device: "cpu",
            adapters: &[],
            served_adapters: &[],
            known_share: &BTreeMap::new(),
            run_dir: None,
            val: None,
            samples: None,
            probe: None,
            provenance: &BTreeMap::new(),
            stop: None,
        };
        let config = config();
        let sweeper = Sweeper {
            subject: &subject,
            config: &config,
            seed: 7,
            eval_dir: dir.path(),
            progress: |_, _| Progress::hidden(),
        };
        check(&sweeper, &named("adapter", &lalm), &prepared(&lalm, &config))
    }

    #[test]
    fn at_scale_0_the_answers_are_the_base_models_and_nothing_changes() {
        with_sweeper(|sweeper, adapter, prepared| {
            let steps = adapter_scale_steps(adapter, &[2.0, 0.0]);
            let sweep = sweeper.adapters(GridKind::AdapterScale, &steps, GridSet::Val, prepared).unwrap();
            let zero = sweep.at(0.0).unwrap();
            assert_eq!((zero.acc, zero.rgi), (sweep.base_acc[ALL], None));
            assert_eq!(zero.rgi_reason.as_deref(), Some("changed nothing"));
            assert_eq!((sweep.questions, sweep.cells.len(), sweep.tasks().len()), (4, 2, 3));
        });
    }

    #[test]
    fn a_scaled_adapter_answers_as_one_whose_scale_was_trained_so() {
        with_sweeper(|sweeper, adapter, prepared| {
            let mut doubled = adapter.clone();
            doubled.adapters.modules.values_mut().for_each(|pair| pair.scale *= 2.0);
            let log_probs = |adapter: &NamedAdapter| -> Vec<Option<f64>> {
                let answers = sweeper.answers("x", Some(adapter), prepared).unwrap();
                answers.iter().map(|answer| answer.log_prob).collect()
            };
            let steps = adapter_scale_steps(adapter, &[2.0, 1.0]);
            assert_eq!(log_probs(steps[0].adapter.as_ref().unwrap()), log_probs(&doubled));
            assert_eq!(log_probs(steps[1].adapter.as_ref().unwrap()), log_probs(adapter));
            assert_ne!(log_probs(&doubled), log_probs(adapter));
        });
    }

    #[test]
    fn the_threshold_curve_goes_from_refusing_nothing_to_refusing_all() {
        with_sweeper(|sweeper, _, prepared| {
            let thresholds = sweeper.thresholds(prepared).unwrap().unwrap();
            let sweep = sweeper.below(&thresholds, GridSet::Test, prepared).unwrap();
            let last = sweep.at(1.0).unwrap();
            assert_eq!((last.refusal_rate, last.acc), (Some(100.0), Some(0.0)));
            let rates: Vec<f64> =
                sweep.cells.iter().map(|cell| cell.all().unwrap().refusal_rate.unwrap()).collect();
            assert_eq!(
                (sweep.at(0.0).unwrap().refusal_rate, rates[0], rates.last()),
                (Some(0.0), 0.0, Some(&100.0))
            );
            assert!(rates.is_sorted(), "{rates:?}");
        });
    }
}
