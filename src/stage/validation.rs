//! Validation while training: what the adapters so far answer to questions that are not trained on.

use std::collections::BTreeMap;

use idk_common::progress::Progress;
use idk_evaluator::{EvalConfig, Prepared, answer_plainly, prepare};
use idk_model::Adapters;
use idk_questions::metrics::{Counts, Transition};
use idk_questions::{Judgement, Verdict};

use crate::run::Run;
use crate::run::questions::{self, LoadedQuestions, Set};
use crate::terminal::{Failure, progress};

/// The questions of `val` in [data]. They are encoded, and answered by the base model, when they are first asked.
pub(super) struct ValidationQuestions<'a> {
    run: &'a Run<'a>,
    loaded: LoadedQuestions,
    asked: Option<Asked>,
}

struct Asked {
    prepared: Prepared,
    /// What the base model's own answers were.
    base: Vec<Judgement>,
}

impl<'a> ValidationQuestions<'a> {
    /// The questions that the recipe names, if it names any and asks for evaluations while training: `val` alone may be
    /// there for a threshold, and answering it takes a while.
    pub(super) fn of(run: &'a Run<'a>) -> Result<Option<Self>, Failure> {
        let recipe = run.recipe;
        if recipe.data.val.is_empty() || recipe.train.eval_every == 0 {
            return Ok(None);
        }
        let max_rejected = recipe.eval.max_rejected_share;
        let loaded = questions::load(&recipe.data, Set::Val, &run.questions, max_rejected)?;
        Ok(Some(Self { run, loaded, asked: None }))
    }

    /// Hash of the question file.
    pub(super) fn sha256(&self) -> Result<String, Failure> {
        Ok(idk_common::hash::sha256_file(&self.loaded.path)?)
    }

    /// Accuracy, truthfulness, reliability and refusal rate as shares, and RGI over the base model's answers: NaN where it
    /// is not defined.
    pub(super) fn measure(&mut self, adapters: &Adapters) -> Result<BTreeMap<String, f64>, Failure> {
        let asked = match self.asked.take() {
            Some(asked) => asked,
            None => self.ask_base()?,
        };
        let asked = self.asked.insert(asked);
        let now = answers(self.run, Some(adapters), &asked.prepared, &Progress::hidden())?;
        let counts = Counts::of(&now);
        let verdicts =
            |answers: &[Judgement]| -> Vec<Verdict> { answers.iter().map(|answer| answer.verdict).collect() };
        let transition = Transition::of(verdicts(&asked.base).into_iter().zip(verdicts(&now)));
        let values = [
            ("acc", counts.acc()),
            ("tru", counts.tru()),
            ("rel", counts.rel()),
            ("refusal_rate", counts.refusal_rate()),
            ("rgi", transition.rgi().value()),
        ];
        Ok(values.into_iter().map(|(name, value)| (name.to_owned(), value.unwrap_or(f64::NAN))).collect())
    }

    fn ask_base(&self) -> Result<Asked, Failure> {
        let (run, recipe) = (self.run, self.run.recipe);
        let (config, build, seed) = (eval_config(run), &recipe.build, recipe.data.seed);
        let prepared = prepare(
            &run.model.folder()?.answerer().into(),
            &self.loaded.set,
            &config,
            build.prompt,
            build.refusal_texts(),
            seed,
            progress,
        )?;
        let bar = progress("validation of the base model", prepared.questions.len() as u64);
        let base = answers(run, None, &prepared, &bar)?;
        bar.finish();
        Ok(Asked { prepared, base })
    }
}

/// The evaluator's settings; its limit is for the test set.
fn eval_config(run: &Run<'_>) -> EvalConfig {
    EvalConfig { limit: None, ..run.recipe.eval.clone() }
}

fn answers(
    run: &Run<'_>,
    adapters: Option<&Adapters>,
    prepared: &Prepared,
    progress: &Progress,
) -> Result<Vec<Judgement>, Failure> {
    let base = run.model.folder()?.answerer();
    let answerer = match adapters {
        Some(adapters) => base.adapted(adapters)?,
        None => base,
    };
    let answers = answer_plainly(&answerer, prepared, &eval_config(run), progress)?;
    Ok(answers.into_iter().map(|answer| answer.judgement).collect())
}
